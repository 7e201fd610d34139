import os
from pathlib import Path

import numpy as np
import pytest

from tests.small_pool import uid, write_shards
from thresher.curate.reshard import sources as sources_module
from thresher.curate.reshard.sources import Sources
from thresher.data.index import build_index
from thresher.errors import InputError


@pytest.mark.parametrize("held", [0, 2**28])
def test_plans_are_those_of_all_pairs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(sources_module, "_HELD_BYTES", held)
    shards = write_shards(tmp_path / "in", (5, 6, 4))
    sources = Sources(shards, tmp_path / "index", exclude=frozenset({uid(3)}))
    index = build_index(shards, cache=None)
    rows, copies = np.array([14, 0, 7, 7, 6, 1]), np.arange(6)
    plan = sources.plan(rows, copies)
    expected = [(row, member) for row in rows.tolist() for member in index.members(row)]
    found = zip(plan.file.tolist(), plan.offset.tolist(), plan.length.tolist(), strict=True)
    assert [(plan.files[file], *place) for file, *place in found] == [
        (member.path, member.offset, member.length) for _, member in expected
    ]
    names = [f"{uid(row)}-{copy}." for row, copy in zip(rows.tolist(), copies.tolist(), strict=True)]
    assert [name.decode() for name in plan.names(slice(None))] == [
        f"{names[place]}{plan.exts[ext]}" for place, ext in zip(plan.pair, plan.ext, strict=True)
    ]
    with pytest.raises(InputError, match="1 of 1 uids are not among the 14 pairs"):
        sources.rows([uid(3)])


def test_an_index_that_is_no_longer_that_of_the_shard_is_refused(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    sources = Sources(shards, tmp_path / "index")
    os.utime(shards[1], ns=(0, 0))
    build_index(shards, cache=tmp_path / "index")  # another run
    with pytest.raises(InputError, match=r"00001.tar changed while pairs were copied from it"):
        sources.plan(np.arange(11), np.zeros(11, np.int64))
    again = Sources(shards, tmp_path / "index")
    for path in (tmp_path / "index").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"the index of .*00000.tar is no longer in .*index; run again"):
        again.plan(np.arange(3), np.zeros(3, np.int64))
