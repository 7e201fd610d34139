from pathlib import Path

import pytest

from tests import stopped
from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.killing import kill_when_ready
from tests.small_pool import contents, write_shards
from thresher.sharded.parts import list_parts


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards, one of them with an image that does not decode."""
    folder = tmp_path_factory.mktemp("pool")
    write_shards(folder, (20, 11))
    members = [*pair_members("good", jpeg(1), "a red house"), *pair_members("bad", jpeg(2)[:200], "a dog")]
    write_tar(folder / "00002.tar", members)
    return folder


@pytest.fixture(scope="module")
def whole(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "embeddings"
    stopped.embed(pool, out)
    return contents(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number", "num_parts"),
    [pytest.param("step", 4, 1, marks=pytest.mark.soak), ("file", 2, 0), ("file", 8, 3)],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    pool: Path, whole: dict[str, bytes], tmp_path: Path, moment: str, number: int, num_parts: int
) -> None:
    out = tmp_path / "embeddings"
    kill_when_ready("tests.stopped", "embed", moment, number, pool, out)
    done = {path: path.stat().st_mtime_ns for path in list_parts(out)}
    assert len(done) == num_parts
    assert not (out / "embeddings.json").exists()
    stopped.embed(pool, out)
    assert contents(out) == whole
    assert {path: path.stat().st_mtime_ns for path in done} == done  # nothing finished was done again
    assert not list(out.rglob(".*.tmp"))
