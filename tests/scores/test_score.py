"""The whole stage on small shards, with a tiny model."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.bad_pool import DECODE_CASES, OK, jpeg, pair_members, write_tar
from tests.small_pool import caption, contents, uid, write_shards
from thresher.data.files.quarantine import read_quarantine
from thresher.data.images.decode import ImageSpec, decode
from thresher.data.patterns import expand
from thresher.errors import InputError
from thresher.scores.caption import quality
from thresher.scores.registry import SCORERS, parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.parts import list_parts, list_quarantines
from thresher.sharded.scorer import Scorer
from thresher.sharded.stage import Progress

TINY = parse_scorer("clip:model=thresher-tiny-32,device=cpu,precision=fp32,batch_size=4")
CAPTION = parse_scorer("caption")


def table(folder: Path) -> dict[str, list]:
    rows: dict[str, list] = {}
    for part in list_parts(folder):
        for name, values in pq.read_table(part, partitioning=None).to_pydict().items():
            rows.setdefault(name, []).extend(values)
    return rows


def brightness(*, size: int = 8) -> Scorer:
    """A scorer whose value anyone can check: the mean of all pixels."""
    return Scorer(
        fingerprint=f"brightness-{size}",
        spec=ImageSpec(size),
        batch_size=4,
        prepare=list,
        score=lambda images, _: lambda: images.mean(axis=(1, 2, 3)).astype(np.float32),
    )


@pytest.fixture
def with_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORERS, "brightness", brightness)


def test_every_pair_gets_one_row_and_one_value_a_scorer(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 1, 9))
    summary = score_shards(shards, tmp_path / "out", [TINY, CAPTION], workers=2)
    rows = table(tmp_path / "out")
    assert rows["uid"] == [uid(n) for n in range(15)]
    assert rows["key"] == [f"{n:09d}" for n in range(15)]
    assert rows["caption"] == [caption(n) for n in range(15)]
    assert rows["shard"] == [shards[0]] * 5 + [shards[1]] + [shards[2]] * 9
    assert rows["caption_score"] == pytest.approx([quality(caption(n)) for n in range(15)], rel=1e-6)
    assert all(-1 <= score <= 1 for score in rows["clip"])
    assert [path.name for path in list_parts(tmp_path / "out")] == [
        f"0000{n}-0000{n}.parquet" for n in range(3)
    ]
    assert (summary.num_pairs, summary.new_shards, summary.num_quarantined) == (15, 3, 0)
    assert summary.status == ()


def test_images_reach_the_scorer_in_every_size_from_one_decoding(
    tmp_path: Path, with_brightness: None
) -> None:
    (shard,) = write_shards(tmp_path / "in", (7,))
    specs = [parse_scorer("brightness"), parse_scorer("brightness:size=16,as=large")]
    score_shards([shard], tmp_path / "out", specs, workers=1)
    rows = table(tmp_path / "out")
    from thresher.data.pairs import Pair
    from thresher.data.shards import read_pairs

    images = [pair.image_bytes for pair in read_pairs(shard) if isinstance(pair, Pair)]
    for column, size in (("brightness", 8), ("large", 16)):
        expected = [decode(image or b"", ImageSpec(size)).mean() for image in images]
        assert rows[column] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, workers: int) -> None:
    shards = write_shards(tmp_path / "in", (6, 11))
    score_shards(shards, tmp_path / "one", [TINY], workers=1)
    score_shards(shards, tmp_path / "out", [TINY], workers=workers)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_a_shard_scores_alike_alone_and_after_others(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6, 7))
    score_shards(shards, tmp_path / "all", [TINY], workers=2)
    score_shards(shards[2:], tmp_path / "last", [TINY], workers=2)
    assert table(tmp_path / "last")["clip"] == table(tmp_path / "all")["clip"][11:]


def test_captions_alone_decode_nothing(tmp_path: Path) -> None:
    members = [part for n in range(3) for part in pair_members(f"{n}", b"no image", "a red dog", uid(n))]
    write_tar(tmp_path / "0.tar", members)
    summary = score_shards([str(tmp_path / "0.tar")], tmp_path / "out", [CAPTION], workers=0)
    assert (summary.num_pairs, summary.num_quarantined) == (3, 0)


def test_every_bad_pair_goes_to_the_quarantine_and_the_run_goes_on(
    tmp_path: Path, bad_pool: tuple[Path, dict[str, str]]
) -> None:
    folder, expected = bad_pool
    shards = expand(str(folder))
    summary = score_shards(shards, tmp_path / "out", [TINY], workers=2)
    rows = table(tmp_path / "out")
    refused = [
        row for path in list_quarantines(tmp_path / "out") for row in read_quarantine(path).to_pylist()
    ]
    stages = {row["key"]: row["stage"] for row in refused}
    assert {case for case in DECODE_CASES if stages.get(case) == "score"} == DECODE_CASES
    for case, outcome in expected.items():
        if outcome == OK:
            assert case in rows["key"], case
        else:
            reasons = [
                row["reason"]
                for row in refused
                if case == row["key"] or (not row["key"] and case in row["shard"])
            ]
            assert any(outcome in reason for reason in reasons) or case in DECODE_CASES, case
            assert reasons, case
    assert len(rows["key"]) == summary.num_pairs
    assert len(refused) == summary.num_quarantined == sum(summary.quarantine.values())
    unread = {Path(shard).name for shard in summary.unreadable}
    assert unread == {"empty.tar", "no_members.tar", "not_a_tar.tar"}
    assert "3 of 5 shards gave no pairs" in summary.status[0]


def test_a_shard_that_is_gone_is_named_and_tried_again(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3, 4))
    Path(shards[0]).rename(tmp_path / "away")
    summary = score_shards(shards, tmp_path / "out", [CAPTION])
    assert list(summary.unreadable) == [shards[0]]
    assert summary.num_pairs == 4
    stored = json.loads((tmp_path / "out/scores.json").read_text())
    assert stored["unreadable"] == [
        {"shard": shards[0], "reason": "cannot be read: No such file or directory"}
    ]
    (tmp_path / "away").rename(shards[0])
    again = score_shards(shards, tmp_path / "out", [CAPTION])
    assert (again.unreadable, again.num_pairs, again.num_quarantined) == ({}, 7, 0)
    score_shards(shards, tmp_path / "whole", [CAPTION])
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_image_that_kills_its_worker_is_quarantined_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = write_shards(tmp_path / "in", (9,))
    monkeypatch.setattr("thresher.sharded.shard.DECODE", "tests.scores.deadly:decode_images")
    summary = score_shards(shards, tmp_path / "out", [TINY], workers=2)
    refused = read_quarantine(list_quarantines(tmp_path / "out")[0]).to_pylist()
    assert [row["key"] for row in refused] == ["000000004"]  # the only image of that width
    assert refused[0]["reason"] == "decoding this image kills the worker process or never ends"
    assert refused[0]["uid"] == uid(4)
    assert summary.num_pairs == 8
    assert "worker processes died and were replaced" in summary.status[-1]


def test_excluded_pairs_are_not_scored(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (4,))
    summary = score_shards(shards, tmp_path / "out", [CAPTION], exclude=frozenset({uid(1)}))
    assert table(tmp_path / "out")["uid"] == [uid(0), uid(2), uid(3)]
    assert summary.quarantine == {"the uid is in the list of excluded pairs": 1}


def test_a_finished_run_is_not_done_again(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3, 3))
    score_shards(shards, tmp_path / "out", [TINY])
    times = {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "out")}
    again = score_shards(shards, tmp_path / "out", [TINY])
    assert (again.new_shards, again.new_pairs, again.num_pairs) == (0, 0, 6)
    assert {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "out")} == times


def test_a_run_goes_on_with_what_is_missing_and_ends_the_same(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6, 3))
    score_shards(shards, tmp_path / "whole", [TINY, CAPTION])
    score_shards(shards[:1], tmp_path / "out", [TINY, CAPTION])
    more = score_shards(shards, tmp_path / "out", [TINY, CAPTION])
    assert more.new_shards == 2
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_other_weights_precision_or_columns_are_refused(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3,))
    score_shards(shards, tmp_path / "out", [TINY])
    other = parse_scorer("clip:model=thresher-tiny-32,device=cpu,precision=bf16")
    with pytest.raises(InputError, match=r"scored by another clip: its fingerprint is .*name another folder"):
        score_shards(shards, tmp_path / "out", [other])
    with pytest.raises(InputError, match="has the scores clip, this run makes caption_score, clip"):
        score_shards(shards, tmp_path / "out", [TINY, CAPTION])
    smaller = dataclasses.replace(TINY, options=(*TINY.options[:-1], ("precision", "fp32")))
    assert score_shards(shards, tmp_path / "out", [smaller]).new_shards == 0


def test_a_shard_that_changed_is_refused_by_name(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3, 3))
    score_shards(shards, tmp_path / "out", [CAPTION])
    os.utime(shards[1], ns=(1, 1))
    with pytest.raises(
        InputError, match=r"00001.tar changed since it was scored .* delete .*00001-00001.parquet"
    ):
        score_shards(shards, tmp_path / "out", [CAPTION])


def test_other_shards_or_another_exclude_list_are_refused(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3, 3))
    score_shards(shards, tmp_path / "out", [CAPTION])
    with pytest.raises(InputError, match=r"00001.tar, which has no such place among the 1 shards"):
        score_shards(shards[:1], tmp_path / "out", [CAPTION])
    with pytest.raises(InputError, match="has no such place among"):
        score_shards(shards[::-1], tmp_path / "out", [CAPTION])
    with pytest.raises(InputError, match="another exclude list"):
        score_shards(shards, tmp_path / "out", [CAPTION], exclude=frozenset({uid(0)}))


def test_a_file_that_is_no_part_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3,))
    score_shards(shards, tmp_path / "out", [CAPTION])
    (tmp_path / "out/parts/00000-00000.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"00000-00000.parquet is no part of a scores folder"):
        score_shards(shards, tmp_path / "out", [CAPTION])


def test_folders_and_tables_are_scored_and_noticed_when_they_change(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
        (folder / f"{number}.txt").write_text(caption(number))
    (tmp_path / "pairs.csv").write_text("image,caption\nimages/0.jpg,a red dog\nimages/9.jpg,nothing\n")
    shards = [str(folder), str(tmp_path / "pairs.csv")]
    summary = score_shards(shards, tmp_path / "out", [TINY], workers=1)
    assert table(tmp_path / "out")["caption"] == [caption(0), caption(1), caption(2), "a red dog"]
    assert summary.num_quarantined == 1
    assert score_shards(shards, tmp_path / "out", [TINY], workers=1).new_shards == 0
    (folder / "1.txt").write_text("another caption")
    with pytest.raises(InputError, match="images changed since it was scored"):
        score_shards(shards, tmp_path / "out", [TINY], workers=1)


def test_progress_counts_up_to_the_whole(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (9, 2))
    seen: list[Progress] = []
    score_shards(shards, tmp_path / "out", [TINY], progress=seen.append)
    assert [step.pairs for step in seen] == sorted(step.pairs for step in seen)
    assert (seen[-1].pairs, seen[-1].shards_done, seen[-1].num_shards) == (11, 2, 2)


def test_the_summary_file_says_nothing_of_times_and_the_log_does(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3,))
    score_shards(shards, tmp_path / "out", [CAPTION])
    stored = json.loads((tmp_path / "out/scores.json").read_text())
    assert stored == {
        "schema": "thresher.scores",
        "version": 1,
        "scorers": [
            {"column": "caption_score", "name": "caption", "options": {}, "fingerprint": "caption-1"}
        ],
        "shards": 1,
        "counts": {"pairs": 3, "quarantined": 0},
        "quarantine": {},
        "unreadable": [],
    }
    lines = [json.loads(line) for line in (tmp_path / "out/scores.log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["shard", "run"]
    assert lines[0]["pairs"] == 3


def test_an_output_folder_that_is_deleted_on_the_way_is_no_success(tmp_path: Path) -> None:
    shards, out = write_shards(tmp_path / "in", (3, 4)), tmp_path / "out"

    def delete(_: object) -> None:
        shutil.rmtree(out / "parts", ignore_errors=True)

    with pytest.raises(
        InputError, match=r"parts of .* went away while it was filled, the first is .* run again"
    ):
        score_shards(shards, out, [CAPTION], workers=0, progress=delete)
    assert not (out / "scores.json").exists()
    assert score_shards(shards, out, [CAPTION], workers=0).num_pairs > 0
