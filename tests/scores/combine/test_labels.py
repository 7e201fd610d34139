"""Tables of labels, as people write them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.small_pool import uid
from thresher.errors import InputError
from thresher.scores.combine.labels import read_labels


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def good_of(path: Path) -> dict[str, bool]:
    labels = read_labels(path)
    return dict(zip((name.hex() for name in labels.uids.tolist()), labels.good.tolist(), strict=True))


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("match", "no-match"), ("True", "FALSE")])
def test_labels_are_read_from_text_and_parquet(tmp_path: Path, yes: str, no: str) -> None:
    rows = [(uid(0), yes), (uid(1), no), (uid(2), yes)]
    expected = {uid(0): True, uid(1): False, uid(2): True}
    assert good_of(write(tmp_path / "l.tsv", "uid\tlabel", *("\t".join(row) for row in rows))) == expected
    assert good_of(write(tmp_path / "l.csv", "label,uid", *(f"{b},{a}" for a, b in rows))) == expected
    pq.write_table(
        pa.table({"uid": [a for a, _ in rows], "label": [b for _, b in rows]}), tmp_path / "l.parquet"
    )
    assert good_of(tmp_path / "l.parquet") == expected


def test_pairs_of_a_group_stay_together_in_every_table(tmp_path: Path) -> None:
    lines = [f"{uid(n)}\t{n % 2}\timage-{n // 3}" for n in range(9)]
    labels = read_labels(write(tmp_path / "a.tsv", "uid\tlabel\tgroup", *lines))
    assert sorted(labels.groups.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    fewer = read_labels(write(tmp_path / "b.tsv", "uid\tlabel\tgroup", *lines[3:]))
    assert set(fewer.keys.tolist()) < set(labels.keys.tolist())
    some = labels.taking(labels.groups != 1)
    assert sorted(some.groups.tolist()) == [0, 0, 0, 1, 1, 1]


def test_a_pair_that_is_labelled_twice_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "l.tsv", "uid\tlabel", f"{uid(0)}\t1", f"{uid(0)}\t1", f"{uid(1)}\t0")
    assert len(read_labels(path).uids) == 2


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["uid\tkept", f"{uid(0)}\t1"], "has no column 'label', only uid, kept"),
        (["uid\tlabel", f"{uid(0)}\tmaybe"], "row 1: the label 'maybe' is unknown"),
        (["uid\tlabel", "abc\t1"], "'abc' is not a uid"),
        (["uid\tlabel", f"{uid(0)}\t1", f"{uid(0)}\t0"], "row 2: pair .* has another label in row 1"),
        (["uid\tlabel", f"{uid(0)}"], "line 2: has 1 cells, its header 2"),
    ],
)
def test_what_is_no_label_is_named(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_labels(write(tmp_path / "l.tsv", *lines))
    with pytest.raises(InputError, match="there is no table of labels"):
        read_labels(tmp_path / "absent.tsv")
