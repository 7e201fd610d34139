import tempfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from tests.data.bad_pool import jpeg, pair_members, write_tar
from thresher.data.index import build_index
from thresher.data.shard_index import SCHEMA, index_shard, index_shards


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Two shards of three pairs, and a file that is no tar."""
    for shard in range(2):
        pairs = [pair_members(f"{n}", jpeg(10 * shard + n), f"words {n}") for n in range(3)]
        write_tar(tmp_path / f"{shard}.tar", [member for members in pairs for member in members])
    (tmp_path / "2.tar").write_bytes(b"no tar")
    return [str(tmp_path / f"{shard}.tar") for shard in range(3)]


@pytest.mark.parametrize(
    ("columns", "cached"),
    [
        (["uid"], True),
        (None, False),
        *(pytest.param(*other, marks=pytest.mark.soak) for other in ((["uid"], False), (None, True))),
    ],
)
def test_several_processes_find_the_same(
    shards: list[str], tmp_path: Path, columns: list[str] | None, *, cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    alone = [index_shard(shard, None) for shard in shards]
    for _ in range(2):  # the second time from the cache
        found = dict(index_shards(shards, cache, workers=2, columns=columns))
        assert sorted(found) == [0, 1, 2]
        for place, expected in enumerate(alone):
            assert found[place].pairs.equals(expected.pairs.select(columns or SCHEMA.names))
            assert found[place].rejects.equals(expected.rejects)
            assert (found[place].mark is not None) is cached
    assert build_index(shards, cache=cache).table.equals(pa.concat_tables(part.pairs for part in alone))


def test_what_only_this_process_holds_is_read_here() -> None:
    memory = fsspec.filesystem("memory")
    names = []
    for shard in range(3):
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            write_tar(Path(file.name), pair_members("a", jpeg(shard), "words"))
            memory.put_file(file.name, f"/pool/{shard}.tar")
        names.append(f"memory://pool/{shard}.tar")
    found = dict(index_shards(names, None, workers=2))
    assert [found[place].pairs.num_rows for place in range(3)] == [1, 1, 1]
