import pyarrow as pa
import pytest

from thresher.data.files.atomic import write_table
from thresher.data.files.quarantine import (
    SCHEMA,
    counts_by_reason,
    from_rejects,
    merge_quarantine,
    read_quarantine,
    write_quarantine,
)
from thresher.data.pairs import Reject
from thresher.errors import InputError


def reject(shard: str, key: str, reason: str, offset: int = 0, stage: str = "read") -> Reject:
    return Reject(shard, key, None, stage, reason, offset)


def test_rows_come_back_sorted_whatever_their_order(tmp_path):
    rows = [reject("b.tar", "x", "r"), reject("a.tar", "y", "r", 10), reject("a.tar", "z", "r", 9)]
    for name, order in (("one", rows), ("two", rows[::-1])):
        write_quarantine(tmp_path / f"{name}.parquet", order)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    table = read_quarantine(tmp_path / "one.parquet")
    assert table.column("key").to_pylist() == ["z", "y", "x"]
    assert table.schema == SCHEMA


def test_merging_keeps_what_two_stages_found_once(tmp_path):
    write_quarantine(tmp_path / "1.parquet", [reject("b.tar", "x", "bad"), reject("b.tar", "y", "bad")])
    write_quarantine(
        tmp_path / "0.parquet", [reject("a.tar", "x", "bad"), reject("a.tar", "w", "bad", stage="decode")]
    )
    write_quarantine(tmp_path / "2.parquet", [reject("b.tar", "y", "bad"), reject("b.tar", "y", "worse")])
    parts = [tmp_path / f"{number}.parquet" for number in (2, 0, 1)]
    assert merge_quarantine(parts, tmp_path / "all.parquet") == 5
    first = (tmp_path / "all.parquet").read_bytes()
    assert merge_quarantine(parts[::-1], tmp_path / "all.parquet") == 5
    assert (tmp_path / "all.parquet").read_bytes() == first
    rows = read_quarantine(tmp_path / "all.parquet").to_pylist()
    assert [(row["shard"], row["key"], row["reason"]) for row in rows] == [
        ("a.tar", "w", "bad"),
        ("a.tar", "x", "bad"),
        ("b.tar", "x", "bad"),
        ("b.tar", "y", "bad"),
        ("b.tar", "y", "worse"),
    ]


def test_merging_nothing_gives_an_empty_table(tmp_path):
    assert merge_quarantine([], tmp_path / "all.parquet") == 0
    assert read_quarantine(tmp_path / "all.parquet").equals(SCHEMA.empty_table())


def test_reasons_count_together_when_only_numbers_and_names_differ():
    rows = [reject("a", str(n), f"the caption has {n} characters") for n in (10_001, 20_000)]
    rows += [
        reject("a", "n", f"the member name {name!r} points outside") for name in ("../a", "/b", "x/../../c")
    ]
    assert counts_by_reason(from_rejects(rows)) == {
        "the member name '...' points outside": 3,
        "the caption has N characters": 2,
    }


def test_a_file_that_is_no_quarantine_is_named(tmp_path):
    write_table(tmp_path / "scores.parquet", pa.table({"uid": ["a"]}))
    (tmp_path / "text.parquet").write_text("x")
    for name, reason in (("scores", "shard"), ("text", "no quarantine"), ("absent", "no quarantine")):
        with pytest.raises(InputError, match=reason):
            read_quarantine(tmp_path / f"{name}.parquet")
