"""Pools on disk: `pools.json` says what they are, `pools.parquet` which pair is in which."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.data.files.record_file import from_record, own_file, read_record
from thresher.errors import InputError, nearest
from thresher.tables import percent

TABLE_FILE = "pools.parquet"
POOLS_FILE = "pools.json"
QUARANTINE_FILE = "quarantine.parquet"

TABLE_SCHEMA = pa.schema(
    [
        ("uid", pa.string()),
        ("score", pa.float32()),
        ("pool", pa.int16()),
        ("key", pa.string()),
        ("shard", pa.string()),
        ("caption", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool: its name, its rank (0 is the best), how many pairs it has and the range of their scores.

    `absent` is how many rows of the score table would be in it but for their pair, which is in no shard; None
    where the pools were cut without looking at the shards.
    """

    name: str
    rank: int
    num_samples: int
    score_min: float
    score_max: float
    absent: int | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why rows are in no pool, and how many."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Pools on disk, best first.

    `edges` are the quantiles that were cut at, or `thresholds` the lowest scores; the other one is empty.
    `dropped` says how many rows are in no pool, by reason.
    """

    folder: Path
    by: str
    edges: tuple[float, ...]
    thresholds: tuple[float, ...] = ()
    pools: tuple[Pool, ...]
    dropped: tuple[Dropped, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names, best pool first."""
        return tuple(pool.name for pool in self.pools)

    @property
    def sizes(self) -> dict[str, int]:
        """Name -> number of pairs, best pool first."""
        return {pool.name: pool.num_samples for pool in self.pools}

    @property
    def missing(self) -> tuple[str, ...]:
        """A sentence for each pool of which the shards lack pairs that the score table names."""
        return _missing((pool.name, pool.num_samples, pool.absent or 0) for pool in self.pools)

    def find(self, which: int | str) -> Pool:
        """The pool of a rank or a name.

        Raises:
            InputError: there is none; the text names the nearest.
        """
        for pool in self.pools:
            if which in (pool.rank, pool.name):
                return pool
        if isinstance(which, int):
            raise InputError(f"there is no pool of rank {which} in {self.folder}; it has {len(self.pools)}")
        raise InputError(f"there is no pool {which!r} in {self.folder}; {nearest(which, self.names)}")

    def uids(self, which: int | str) -> pa.ChunkedArray:
        """The uids of a pool by rank or name, in input order; `.to_pylist()` makes them texts."""
        rank = self.find(which).rank
        return self.table(["uid"], rank=rank).column("uid")

    def table(self, columns: Sequence[str] | None = None, *, rank: int | None = None) -> pa.Table:
        """Columns of the pool table (all without `columns`), of one pool or of all, in input order."""
        wanted = list(columns) if columns is not None else TABLE_SCHEMA.names
        schema = pa.schema([TABLE_SCHEMA.field(name) for name in wanted])
        return pa.Table.from_batches(self.batches(wanted, rank=rank), schema)

    def batches(self, columns: Sequence[str], *, rank: int | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of `table`, some thousand at a time."""
        path = self.folder / TABLE_FILE
        with own_file(path, _REDO), pq.ParquetFile(path, pre_buffer=False) as file:  # else all of it is held
            for batch in file.iter_batches(columns=list(dict.fromkeys([*columns, "pool"]))):
                chosen = batch if rank is None else batch.filter(pc.equal(batch.column("pool"), rank))
                yield chosen.select(columns)


def missing_pairs(path: str | Path) -> tuple[str, ...]:
    """`Pools.missing` of a `pools.json` (or its folder), which may be made by hand and tell sizes alone."""
    file = Path(path) / POOLS_FILE if Path(path).is_dir() else Path(path)
    with own_file(file, _REDO):
        pools = from_record(tuple[_Size, ...], json.loads(file.read_bytes())["pools"], place="pools")
    return _missing((pool.name, pool.num_samples, pool.absent or 0) for pool in pools)


_REDO = "run `thresher cut` again"


@dataclass(frozen=True, slots=True)
class _Size:
    """What a `pools.json` that is made by hand says of a pool."""

    name: str
    num_samples: int
    absent: int | None = None


def _missing(pools: Iterable[tuple[str, int, int]]) -> tuple[str, ...]:
    return tuple(
        f"{absent:,} of the {absent + there:,} pairs that the scores name for pool {name} "
        f"({percent(absent / (absent + there), 1)}) are in no shard; the pool is the other {there:,}"
        for name, there, absent in pools
        if absent
    )


def load_pools(path: str | Path) -> Pools:
    """The pools in a folder that `cut` wrote; `path` is the folder or its `pools.json`.

    Raises:
        InputError: there are no pools, or the file is not of this kind.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == POOLS_FILE else folder
    file = folder / POOLS_FILE
    if not file.is_file():
        raise InputError(f"there are no pools in {folder}; run `cut` first, or check the path")

    def build(content: Mapping[str, Any]) -> Pools:
        pools: Pools = from_record(Pools, {**content, "folder": folder}, {Path: Path})
        return pools

    return read_record(file, "thresher.pools", 1, "thresher cut", build)
