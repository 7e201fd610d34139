"""Combined scores folders: joined by uid, whole or replaced, ready to be cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.curate.pools.scores import write_scores
from tests.small_pool import contents, uid
from thresher.curate.pools.cut import cut
from thresher.data.files.quarantine import read_quarantine
from thresher.errors import InputError
from thresher.scores.combine.combine import combine
from thresher.scores.combine.learned import load_model
from thresher.sharded.parts import list_parts, list_quarantines


def scores_in(folder: Path, column: str = "combined") -> dict[str, float]:
    table = pa.concat_tables([pq.read_table(part) for part in list_parts(folder)])
    return dict(zip(table.column("uid").to_pylist(), table.column(column).to_pylist(), strict=True))


def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Column clip of six pairs in two parts, and column dfn of the same and one more in another order."""
    one = write_scores(tmp_path / "one", [[0.1, 0.2, 0.3], [0.4, 0.5, -0.6]])
    uids = [uid(n) for n in (5, 0, 9, 3, 1, 4, 2)]
    other = write_scores(tmp_path / "other", [[5, 0, 9, 3], [1, 4, 2]], column="dfn", uids=uids)
    return one, other


def test_columns_are_joined_by_uid_and_not_by_row(tmp_path: Path) -> None:
    made = combine(two_folders(tmp_path), tmp_path / "out", columns=["clip", "dfn"])
    assert scores_in(tmp_path / "out", "dfn") == {uid(n): float(n) for n in range(6)}
    place = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 0}  # of each by clip; by dfn it is its number
    expected = {uid(n): (n + place[n] + 1) / 12 for n in range(6)}
    assert scores_in(tmp_path / "out") == pytest.approx(expected)
    assert made.status == ("1 rows of the other folders are of pairs that the first has not",)
    assert cut(tmp_path / "out", by="combined", edges=(0.5,), out=tmp_path / "p").sizes == {"0-50%": 3}
    assert cut(tmp_path / "out", by="dfn", edges=(0.5,), out=tmp_path / "q").sizes == {"0-50%": 3}


def test_a_product_takes_a_negative_score_for_none_and_says_so(tmp_path: Path) -> None:
    made = combine(two_folders(tmp_path), tmp_path / "out", columns=["clip", "dfn"], method="product")
    expected = {uid(n): clip * n for n, clip in enumerate([0.1, 0.2, 0.3, 0.4, 0.5, 0])}
    assert scores_in(tmp_path / "out") == pytest.approx(expected)
    assert "1 negative scores of clip count as 0 in the product" in made.status


def test_a_pair_without_a_score_is_left_out_with_its_reason(tmp_path: Path) -> None:
    one = write_scores(tmp_path / "one", [[0.1, np.nan, 0.3]], more={"flat": 1.0})
    made = combine([one], tmp_path / "out", columns=["clip", "flat"])
    assert made.num_pairs == 2
    assert "1 of 3 pairs have no score in one of clip, flat" in made.status[0]
    rejects = read_quarantine(list_quarantines(tmp_path / "out")[0]).to_pylist()
    assert [(row["uid"], row["stage"], row["reason"]) for row in rejects] == [
        (uid(1), "combine", "no score: clip is not finite")
    ]
    assert cut(tmp_path / "out", by="combined", edges=(1.0,), out=tmp_path / "p").sizes == {"0-100%": 2}


def test_a_missing_uid_is_named(tmp_path: Path) -> None:
    one, other = two_folders(tmp_path)
    with pytest.raises(
        InputError, match=rf"pair {uid(9)} of .*other has no row in .*one, like 0 others of 7"
    ):
        combine([other, one], tmp_path / "out", columns=["clip", "dfn"])


def test_a_finished_combination_stays_and_another_one_replaces_it(tmp_path: Path) -> None:
    folders = two_folders(tmp_path)
    combine(folders, tmp_path / "out", columns=["clip", "dfn"])
    before = contents(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "out")}
    combine(folders, tmp_path / "out", columns=["clip", "dfn"])
    assert times == {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "out")}
    combine(folders[1:], tmp_path / "out", columns=["dfn"], name="again")
    assert set(scores_in(tmp_path / "out", "again")) == {uid(n) for n in (*range(6), 9)}
    combine(folders, tmp_path / "out", columns=["clip", "dfn"])
    assert contents(tmp_path / "out") == before


def test_a_combination_that_was_stopped_is_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = two_folders(tmp_path)
    combine(folders, tmp_path / "whole", columns=["clip", "dfn"])
    calls = []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("thresher.sharded.job.write_rejects", stop)
        with pytest.raises(KeyboardInterrupt):
            combine(folders, tmp_path / "out", columns=["clip", "dfn"])
    assert not (tmp_path / "out" / "scores.json").exists()
    with pytest.raises(InputError, match="not finished"):
        cut(tmp_path / "out", by="combined", edges=(1.0,), out=tmp_path / "p")
    combine(folders, tmp_path / "out", columns=["clip", "dfn"])
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def labelled(tmp_path: Path, count: int = 200) -> tuple[Path, Path]:
    """Scores of which `clip` says a little about the label and `blur` a little more, and the labels."""
    draw = np.random.default_rng(0)
    good = draw.random(count) < 0.5
    one = write_scores(tmp_path / "one", np.array_split(good + draw.standard_normal(count), 3))
    write_scores(tmp_path / "two", [good + draw.standard_normal(count)], column="blur")
    lines = [f"{uid(n)}\t{int(good[n])}" for n in range(0, count, 2)]
    (tmp_path / "labels.tsv").write_text("\n".join(["uid\tlabel", *lines]))
    return one, tmp_path / "labels.tsv"


def test_what_was_learned_can_be_applied_to_other_scores(tmp_path: Path) -> None:
    one, labels = labelled(tmp_path)
    columns = ["clip", "blur"]
    made = combine(
        [one, tmp_path / "two"], tmp_path / "out", columns=columns, method="learned", labels=labels
    )
    assert made.model is not None
    assert made.model.held_out.num_pairs == 100
    assert not any("labelled pairs are not among" in sentence for sentence in made.status)
    labels.write_text(labels.read_text() + f"\n{uid(9999)}\t1")
    made = combine(
        [one, tmp_path / "two"], tmp_path / "out", columns=columns, method="learned", labels=labels
    )
    assert "1 of 101 labelled pairs are not among those that have all scores" in made.status
    found = scores_in(tmp_path / "out")
    values = np.array(
        [scores_in(one, "clip")[uid(3)], scores_in(tmp_path / "two", "blur")[uid(3)]], np.float32
    )
    model = tmp_path / "out" / "model.json"
    assert found[uid(3)] == pytest.approx(load_model(model).scores(values[None])[0], rel=1e-6)
    again = combine([one, tmp_path / "two"], tmp_path / "again", method="learned", model=model)
    assert scores_in(tmp_path / "again") == found
    assert again.status == ()
    (tmp_path / "two" / "scores.json").write_text(
        (tmp_path / "two" / "scores.json")
        .read_text()
        .replace('"column": "blur"', '"fingerprint": "x", "column": "blur"')
    )
    other = combine([one, tmp_path / "two"], tmp_path / "other", method="learned", model=model)
    assert other.status == ("blur: made otherwise here than where the model was learned",)


def test_what_cannot_be_learned_leaves_what_was_made_before(tmp_path: Path) -> None:
    one, labels = labelled(tmp_path)
    combine([one], tmp_path / "out", columns=["clip"])
    before = contents(tmp_path / "out")
    labels.write_text("\n".join(labels.read_text().splitlines()[:3]))
    with pytest.raises(InputError, match="label more pairs"):
        combine([one], tmp_path / "out", columns=["clip"], method="learned", labels=labels)
    assert contents(tmp_path / "out") == before


def test_arguments_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    one, labels = labelled(tmp_path)
    for sentence, options in (
        ("there is no method 'mean'", {"columns": ["clip"], "method": "mean"}),
        ("learned needs labelled pairs", {"columns": ["clip"], "method": "learned"}),
        ("no other method takes any", {"columns": ["clip"], "labels": labels}),
        ("name the columns to combine", {}),
        ("there is no score column 'clap' in .*did you mean 'clip'", {"columns": ["clap"]}),
        ("'clip' cannot be the name of the combined score", {"columns": ["clip"], "name": "clip"}),
    ):
        with pytest.raises(InputError, match=sentence):
            combine([one], tmp_path / "out", **options)
    with pytest.raises(InputError, match="one of the folders to combine"):
        combine([one], one, columns=["clip"])
    with pytest.raises(InputError, match="both have a column 'clip'"):
        combine([one, write_scores(tmp_path / "same", [[1.0]])], tmp_path / "out", columns=["clip"])
    (tmp_path / "far.tsv").write_text(f"uid\tlabel\n{uid(9999)}\t1\n")
    with pytest.raises(InputError, match="none of the 1 labelled pairs is among the 200"):
        combine([one], tmp_path / "out", columns=["clip"], method="learned", labels=tmp_path / "far.tsv")
