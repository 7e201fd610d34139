from pathlib import Path

from thresher.data.files.quarantine import write_quarantine
from thresher.data.pairs import Reject
from thresher.report.pool_stats import MAX_REASONS, MAX_ROWS, rejects


def _write(path: Path, reasons: list[str]) -> Path:
    rows = [Reject("s3://bucket/dir/00000.tar", f"k{i}", None, "decode", r, i) for i, r in enumerate(reasons)]
    write_quarantine(path, rows)
    return path


def test_reasons_that_differ_in_numbers_count_together(tmp_path: Path) -> None:
    path = _write(tmp_path / "q.parquet", ["cut at byte 5", "cut at byte 17", "empty", "cut at byte 17"])
    found = rejects(path)
    assert found["num_rows"] == 4
    assert found["reasons"] == [("decode", "cut at byte N", 3), ("decode", "empty", 1)]


def test_a_reason_that_never_varies_is_shown_as_it_is(tmp_path: Path) -> None:
    found = rejects(_write(tmp_path / "q.parquet", ["at most 64 pixels"] * 3))
    assert found["reasons"] == [("decode", "at most 64 pixels", 3)]


def test_lists_are_bounded_and_shards_go_by_their_names(tmp_path: Path) -> None:
    reasons = [f"reason {'x' * i}" for i in range(40) for _ in range(5)]
    found = rejects(_write(tmp_path / "q.parquet", reasons))
    assert found["num_rows"] == 200
    assert found["num_reasons"] == 40
    assert len(found["reasons"]) == MAX_REASONS
    assert len(found["rows"]) == MAX_ROWS
    assert {row[0] for row in found["rows"]} == {"00000.tar"}
