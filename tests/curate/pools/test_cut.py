import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.curate.pools.scores import write_scores
from tests.small_pool import caption, contents, uid
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import Dropped, load_pools
from thresher.data.files.quarantine import read_quarantine, write_quarantine
from thresher.data.pairs import Reject
from thresher.errors import InputError
from thresher.sharded.parts import list_parts, quarantine_path

SCORES = [[0.5, 0.1, 0.9], [0.3, 0.9, 0.2, 0.4], [0.8, 0.7, 0.6]]


def names_of_uids(pools, which) -> list[int]:
    known = {uid(n): n for n in range(200)}
    return [known[found] for found in pools.uids(which).to_pylist()]


def test_the_best_scores_are_the_first_pool(tmp_path: Path) -> None:
    pools = cut(write_scores(tmp_path / "s", SCORES), by="clip", edges=(0.2, 0.5, 1), out=tmp_path / "p")
    assert pools.names == ("0-20%", "20-50%", "50-100%")
    assert names_of_uids(pools, 0) == [2, 4]
    assert names_of_uids(pools, "20-50%") == [7, 8, 9]
    assert names_of_uids(pools, 2) == [0, 1, 3, 5, 6]
    assert pools.sizes == {"0-20%": 2, "20-50%": 3, "50-100%": 5}
    assert pools.pools[1].score_max == pytest.approx(0.8)
    assert pools.pools[1].score_min == pytest.approx(0.6)


def test_the_tables_hold_the_rows_of_the_scores(tmp_path: Path) -> None:
    pools = cut(write_scores(tmp_path / "s", SCORES), by="clip", edges=(0.5, 1), out=tmp_path / "p")
    rows = pools.table().to_pylist()
    assert [row["uid"] for row in rows] == [uid(n) for n in range(10)]
    assert rows[3] == {
        "uid": uid(3),
        "score": pytest.approx(0.3),
        "pool": 1,
        "key": "000000003",
        "shard": "in/00001.tar",
        "caption": caption(3),
    }
    assert load_pools(tmp_path / "p") == load_pools(tmp_path / "p" / "pools.json") == pools


score_lists = st.lists(st.one_of(st.floats(-1, 1, width=32), st.sampled_from([0.0, -0.0, 0.25])), max_size=30)


@settings(max_examples=25)
@given(
    st.lists(score_lists, min_size=1, max_size=4).filter(lambda shards: sum(map(len, shards)) >= 5),
    st.integers(1, 5),
    st.booleans(),
)
def test_every_row_lands_in_exactly_one_pool(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[float]], num_pools: int, whole: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    slots = num_pools if whole else 5
    edges = [k / slots for k in range(1, num_pools + 1)]
    pools = cut(write_scores(folder / "s", shards), by="clip", edges=edges, out=folder / "p")
    table = pools.table()
    uids = table.column("uid").to_pylist()
    num_rows = sum(map(len, shards))
    assert len(set(uids)) == len(uids)
    assert len(uids) + sum(drop.count for drop in pools.dropped) == num_rows
    sizes = list(pools.sizes.values())
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(uids) == num_rows * num_pools // slots
    # the same as sorting everything in one list
    flat = np.asarray([score for shard in shards for score in shard], dtype=np.float32)
    order = sorted(range(num_rows), key=lambda row: -flat[row])
    expected = {uid(row): place for place, row in enumerate(order)}
    bounds = np.cumsum(sizes)
    for row in table.to_pylist():
        assert row["pool"] == int(np.searchsorted(bounds, expected[row["uid"]], side="right"))
    falling = flat[order]
    for pool, end in zip(pools.pools, bounds.tolist(), strict=True):
        assert pool.score_max == falling[end - pool.num_samples]
        assert pool.score_min == falling[end - 1]


def test_rows_that_fail_a_condition_are_in_no_pool_and_edges_count_the_others(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", SCORES)
    for number, part in enumerate(list_parts(scores)):
        table = pq.read_table(part)
        basic = np.array([n % 2 for n in range(10)], np.float32)[[0, 3, 7][number] :][: table.num_rows]
        pq.write_table(table.append_column("basic_rule", pa.array(basic)), part)
    summary = json.loads((scores / "scores.json").read_text())
    summary["scorers"].append({"column": "basic_rule", "name": "basic"})
    (scores / "scores.json").write_text(json.dumps(summary))
    pools = cut(scores, by="clip", edges=(0.4, 1), keep=["basic >= 1", "clip<0.75"], out=tmp_path / "p")
    assert names_of_uids(pools, 0) == [9]  # 1, 3, 5 and 9 of 0.1, 0.3, 0.2 and 0.6 are left: 7 has 0.8
    assert names_of_uids(pools, 1) == [1, 3, 5]
    assert {drop.reason: drop.count for drop in pools.dropped} == {"not basic>=1": 5, "not clip<0.75": 1}
    assert json.loads((tmp_path / "p/pools.json").read_text())["keep"] == ["basic>=1", "clip<0.75"]
    again = cut(scores, by="clip", edges=(0.4, 1), keep=["basic>=0"], out=tmp_path / "p")
    assert sum(again.sizes.values()) == 10


@pytest.mark.parametrize("text", ["basic", "basic=1", "basic>=one", ">=1", "basic>=nan", "1<basic<2"])
def test_a_condition_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"condition .* is not of the form COLUMN>=NUMBER"):
        cut(write_scores(tmp_path / "s", SCORES), by="clip", edges=(1.0,), keep=[text], out=tmp_path / "p")


def test_a_condition_on_a_column_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no score column 'clp'; did you mean 'clip'\?"):
        cut(write_scores(tmp_path / "s", SCORES), by="clip", edges=(1.0,), keep=["clp>0"], out=tmp_path / "p")


def test_a_nan_of_an_excluded_pair_is_passed_over(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", [[0.5], [0.1, math.nan, 0.3]])
    pools = cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p", exclude=frozenset({uid(2)}))
    assert names_of_uids(pools, 0) == [0, 1, 3]


def test_ties_keep_the_order_of_shards_and_rows(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", [[0.5] * 3, [0.5] * 4, [0.5] * 3])
    pools = cut(scores, by="clip", edges=(0.3, 0.7, 1), out=tmp_path / "p")
    assert [names_of_uids(pools, rank) for rank in range(3)] == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9]]


def test_what_lies_below_the_last_edge_is_counted(tmp_path: Path) -> None:
    pools = cut(write_scores(tmp_path / "s", SCORES), by="clip", edges=(0.1, 0.2), out=tmp_path / "p")
    assert pools.table().num_rows == 2
    assert pools.dropped == (Dropped("below the last edge (0.2)", 8),)


def test_thresholds_keep_what_is_at_least_as_good(tmp_path: Path) -> None:
    pools = cut(write_scores(tmp_path / "s", SCORES), by="clip", thresholds=(0.9, 0.4), out=tmp_path / "p")
    assert pools.names == (">=0.9", "0.4..0.9")
    assert names_of_uids(pools, 0) == [2, 4]
    assert names_of_uids(pools, 1) == [0, 6, 7, 8, 9]
    assert pools.dropped == (Dropped("below the last threshold (0.4)", 3),)
    assert json.loads((tmp_path / "p/pools.json").read_text())["thresholds"] == [0.9, 0.4]


def test_edges_mean_the_fractions_that_people_write(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", [[n / 100 for n in range(100)]])
    pools = cut(scores, by="clip", edges=(0.07, 0.29, 0.57, 0.58), out=tmp_path / "p")
    assert list(pools.sizes.values()) == [7, 22, 28, 1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused_with_its_row(tmp_path: Path, bad: float) -> None:
    scores = write_scores(tmp_path / "s", [[0.5], [0.1, bad, 0.3]])
    with pytest.raises(
        InputError, match=rf"pair {uid(2)} of in/00001.tar is {bad} \(row 1 of .*exclude list"
    ):
        cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p")
    assert not (tmp_path / "p/pools.json").exists()


def test_a_cut_that_fails_leaves_no_earlier_pools_that_say_all_is_done(tmp_path: Path) -> None:
    cut(write_scores(tmp_path / "s", [[0.5, 0.1]]), by="clip", edges=(1.0,), out=tmp_path / "p")
    with pytest.raises(InputError):
        cut(write_scores(tmp_path / "t", [[0.5, math.nan]]), by="clip", edges=(0.5, 1), out=tmp_path / "p")
    assert not (tmp_path / "p/pools.json").exists()


def test_a_nan_of_a_quarantined_pair_is_dropped(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", [[0.5], [0.1, math.nan, 0.3]])
    reject = Reject("in/00001.tar", "000000002", uid(2), "score", "no face", 0)
    write_quarantine(quarantine_path(list_parts(scores)[1]), [reject])
    pools = cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p")
    assert names_of_uids(pools, 0) == [0, 1, 3]
    assert pools.dropped == (Dropped("no score, and already in the quarantine", 1),)


def test_of_equal_uids_the_first_row_counts(tmp_path: Path) -> None:
    uids = [uid(0), uid(1), uid(0), uid(3), uid(1), uid(0)]
    scores = write_scores(tmp_path / "s", [[0.1, 0.2], [0.3, 0.4, 0.5], [0.6]], uids=uids)
    pools = cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p")
    assert [row["score"] for row in pools.table().to_pylist()] == pytest.approx([0.1, 0.2, 0.4])
    assert pools.dropped == (Dropped("duplicate uid", 3),)
    refused = read_quarantine(tmp_path / "p/quarantine.parquet").to_pylist()
    assert [(row["key"], row["uid"], row["stage"]) for row in refused] == [
        ("000000002", uid(0), "cut"),
        ("000000004", uid(1), "cut"),
        ("000000005", uid(0), "cut"),
    ]
    assert refused[1]["reason"] == "duplicate uid: an earlier pair has it (in part 00000-00000.parquet)"


def test_parts_read_in_many_pieces_list_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = [uid(n) for n in (0, 1, 2, 3, 4, 5, 1, 7, 0, 9)]
    scores = write_scores(tmp_path / "s", [[0.1] * 3, [0.2] * 7], uids=uids)
    cut(scores, by="clip", edges=(1.0,), out=tmp_path / "whole")
    monkeypatch.setattr("thresher.scores.read._BATCH_ROWS", 2)
    cut(scores, by="clip", edges=(1.0,), out=tmp_path / "pieces")
    whole, pieces = (
        read_quarantine(tmp_path / name / "quarantine.parquet").to_pylist() for name in ("whole", "pieces")
    )
    assert [(row["key"], row["offset"]) for row in whole] == [("000000006", 3), ("000000008", 5)]
    assert pieces == whole


def test_excluded_pairs_are_in_no_pool(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", SCORES)
    pools = cut(
        scores, by="clip", edges=(1.0,), out=tmp_path / "p", exclude=frozenset({uid(2), uid(7), "0" * 32})
    )
    assert names_of_uids(pools, 0) == [0, 1, 3, 4, 5, 6, 8, 9]
    assert pools.dropped == (Dropped("the uid is in the list of excluded pairs", 2),)
    assert read_quarantine(tmp_path / "p/quarantine.parquet").column("uid").to_pylist() == [uid(2), uid(7)]


def test_a_column_is_found_by_its_name_or_by_its_scorer(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", SCORES, column="caption_score", more={"clip": 0.5})
    assert cut(scores, by="caption", edges=(1.0,), out=tmp_path / "p").by == "caption_score"
    assert cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p").by == "clip"
    with pytest.raises(
        InputError, match=r"no score column 'clips'; did you mean 'clip'\? known: caption_score, clip"
    ):
        cut(scores, by="clips", edges=(1.0,), out=tmp_path / "p")


@pytest.mark.parametrize(
    ("cuts", "sentence"),
    [
        ({"edges": (0.2, 0.1)}, "edge 0.1 stands after 0.2; edges must rise"),
        ({"edges": (0.1, 0.1)}, "edges must rise"),
        ({"edges": (0.0, 0.1)}, r"edge 0.0 is not in \(0, 1\]"),
        ({"edges": (0.5, 1.5)}, r"edge 1.5 is not in \(0, 1\]"),
        ({"edges": (math.nan,)}, "edge nan"),
        ({"edges": (0.3, 0.3000000001)}, "two cuts look alike"),
        ({"thresholds": (0.1, 0.2)}, "threshold 0.2 stands after 0.1; thresholds must fall"),
        ({"thresholds": (math.inf, 0.2)}, "threshold inf"),
        ({}, "either edges or thresholds"),
        ({"edges": (0.1,), "thresholds": (0.1,)}, "either edges or thresholds"),
        (
            {"edges": (0.01, 1.0)},
            "pool 0-1% would be empty: 10 pairs are cut, whose scores go from 0.1",
        ),
        ({"thresholds": (0.95,)}, "pool >=0.95 would be empty: .* from 0.1 to 0.9; move the thresholds"),
    ],
)
def test_cuts_that_make_no_sense_are_refused(
    tmp_path: Path, cuts: dict[str, tuple[float, ...]], sentence: str
) -> None:
    scores = write_scores(tmp_path / "s", SCORES)
    with pytest.raises(InputError, match=sentence):
        cut(scores, by="clip", out=tmp_path / "p", **cuts)


def test_messages_that_mislead_where_no_pair_is_left_the_reason_is_named(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", SCORES)
    everything = frozenset(map(uid, range(10)))
    for options, sentence in (
        ({"keep": ["clip>2"]}, r"no pair is left to cut \(10: not clip>2\); loosen the conditions of --keep"),
        ({"exclude": everything}, r"no pair .* \(10: the uid is in the list .*\); check the exclude list"),
    ):
        with pytest.raises(InputError, match=sentence):
            cut(scores, by="clip", edges=(0.5,), out=tmp_path / "p", **options)


def test_numbers_in_the_message_names_of_pools_have_no_exponent(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", [[0.5, 2e-5, 3e6]])
    assert cut(scores, by="clip", thresholds=(2e6, 1e-5), out=tmp_path / "p").names == (
        ">=2000000",
        "0.00001..2000000",
    )
    with pytest.raises(InputError, match=r"whose scores go from 0\.00002 to 3000000; cut fewer pools"):
        cut(scores, by="clip", edges=(0.1,), out=tmp_path / "q")


def test_missing_and_unfinished_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are no scores in .*run `score` first"):
        cut(tmp_path, by="clip", edges=(1.0,), out=tmp_path / "p")
    scores = write_scores(tmp_path / "s", SCORES)
    (scores / "scores.json").unlink()
    with pytest.raises(InputError, match="is not finished; run `score` again"):
        cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p")


def test_pools_that_are_there_are_not_cut_again_and_others_replace_them(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", SCORES)
    cut(scores, by="clip", edges=(0.5, 1), out=tmp_path / "p")
    before = contents(tmp_path / "p")
    time = (tmp_path / "p/pools.parquet").stat().st_mtime_ns
    cut(scores, by="clip", edges=(0.5, 1), out=tmp_path / "p")
    assert (tmp_path / "p/pools.parquet").stat().st_mtime_ns == time
    assert cut(scores, by="clip", edges=(0.2, 1), out=tmp_path / "p").names == ("0-20%", "20-100%")
    cut(scores, by="clip", edges=(0.5, 1), out=tmp_path / "p")
    assert contents(tmp_path / "p") == before


def test_what_is_asked_of_pools_is_named_when_it_is_not_there(tmp_path: Path) -> None:
    pools = cut(write_scores(tmp_path / "s", SCORES), by="clip", edges=(0.5, 1), out=tmp_path / "p")
    with pytest.raises(InputError, match=r"no pool '0-5%' in .*; did you mean '0-50%'\?"):
        pools.uids("0-5%")
    with pytest.raises(InputError, match="no pool of rank 2"):
        pools.uids(2)
    with pytest.raises(InputError, match=r"there are no pools in .*run `cut` first"):
        load_pools(tmp_path / "absent")
    (tmp_path / "p/pools.json").write_text("[]")
    with pytest.raises(InputError, match=r"not 'thresher.pools' version 1; make it with"):
        load_pools(tmp_path / "p")


def test_cutting_never_loads_torch() -> None:
    code = "import sys, thresher.curate.pools, thresher.curate.subset; sys.exit('torch' in sys.modules)"
    path = ":".join(part for part in sys.path if part)
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0


def test_parts_that_got_lost_are_missed(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", [[0.1, 0.2], [0.3, 0.4], [0.5]])
    (scores / "parts").joinpath("00001-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"holds 3 pairs where scores.json says 5, .* run `score` again"):
        cut(scores, by="clip", out=tmp_path / "pools", edges=[0.5])


def test_messages_that_mislead_several_columns_of_one_scorer_are_named(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s", SCORES)
    summary = json.loads((scores / "scores.json").read_text())
    summary["scorers"] = [{"column": column, "name": "dfn"} for column in ("small", "large")]
    (scores / "scores.json").write_text(json.dumps(summary))
    with pytest.raises(
        InputError, match=r"scorer 'dfn' filled 2 columns of .*: small, large; name one of them"
    ):
        cut(scores, by="dfn", edges=(0.5,), out=tmp_path / "p")
