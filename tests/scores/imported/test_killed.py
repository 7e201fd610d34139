from pathlib import Path

import pytest

from tests.killing import kill_when_ready
from tests.scores.imported.killed import ROWS_A_PART, import_in_small_parts
from tests.scores.imported.published import write_metadata, write_npz
from tests.small_pool import contents, uid
from thresher.scores.imported import embeddings as embedding_files
from thresher.scores.imported import scores as score_tables
from thresher.sharded.parts import list_parts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "number", "num_parts"),
    [
        *(("scores", 1, 0), ("scores", 2, 0), ("scores", 6, 2), ("scores", 9, 5)),
        *(("embeddings", 2, 0), ("embeddings", 3, 0), ("embeddings", 8, 2)),
    ],
)
def test_a_killed_import_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, number: int, num_parts: int
) -> None:
    for module in (score_tables, embedding_files):
        monkeypatch.setattr(module, "ROWS_A_PART", ROWS_A_PART)
    uids = [uid(place) if place % 10 else "none" for place in range(30)]
    source = write_metadata(tmp_path / "t", range(30), uid=uids)
    write_metadata(tmp_path / "u", range(40, 58))
    (tmp_path / "u/00.parquet").rename(source / "01.parquet")
    write_npz(source / "00.npz", range(30))
    write_npz(source / "01.npz", range(40, 58))
    import_in_small_parts(kind, source, tmp_path / "whole")
    out = tmp_path / "out"
    kill_when_ready("tests.scores.imported.killed", kind, number, source, out)
    done = {path: path.stat().st_mtime_ns for path in list_parts(out)}
    assert len(done) == num_parts
    assert not (out / f"{kind}.json").exists()
    import_in_small_parts(kind, source, out)
    assert contents(out) == contents(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in done} == done  # nothing finished was done again
    assert not list(out.rglob("*.tmp"))
