import json
from pathlib import Path

import pytest

from tests import stopped
from tests.killing import kill_when_ready
from tests.small_pool import contents, uid, write_shards


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    write_shards(folder, (30, 17, 24))
    manifest = {
        "uid": [uid(n) for n in range(71)],
        "pool": ["all"] * 71,
        "repeats": [n % 3 + 1 for n in range(71)],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def whole(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "subset"
    stopped.subset(pool, out)
    return contents(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number", "num_tars"),
    [
        pytest.param("step", 2, 2, marks=pytest.mark.soak),
        ("file", 4, 0),
        ("file", 10, 1),
        *(pytest.param("file", *at, marks=pytest.mark.soak) for at in ((1, 0), (9, 0), (15, 3))),
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    pool: Path, whole: dict[str, bytes], tmp_path: Path, moment: str, number: int, num_tars: int
) -> None:
    out = tmp_path / "subset"
    kill_when_ready("tests.stopped", "subset", moment, number, pool, out)
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert len(done) == num_tars
    assert not (out / "sizes.json").exists()
    stopped.subset(pool, out)
    assert contents(out) == whole
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not list(out.rglob("*.tmp")) + list(out.rglob(".*.tmp"))
