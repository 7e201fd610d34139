"""Pools on disk: `pools.json` says what they are, `pools.parquet` which pair is in which."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.errors import InputError
from thresher.scores.spec import nearest

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
    """One pool: its name, its rank (0 is the best), how many pairs it has and the range of their scores."""

    name: str
    rank: int
    num_samples: int
    score_min: float
    score_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Pools on disk, best first.

    `edges` are the quantiles that were cut at, or `thresholds` the lowest scores; the other one is empty.
    `dropped` says how many rows are in no pool, by reason.
    """

    folder: Path
    by: str
    edges: tuple[float, ...]
    thresholds: tuple[float, ...]
    pools: tuple[Pool, ...]
    dropped: tuple[tuple[str, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names, best pool first."""
        return tuple(pool.name for pool in self.pools)

    @property
    def sizes(self) -> dict[str, int]:
        """Name -> number of pairs, best pool first."""
        return {pool.name: pool.num_samples for pool in self.pools}

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
        found = []
        with pq.ParquetFile(self.folder / TABLE_FILE) as file:
            for batch in file.iter_batches(columns=list(dict.fromkeys([*wanted, "pool"]))):
                chosen = batch if rank is None else batch.filter(pc.equal(batch.column("pool"), rank))
                found.append(chosen.select(wanted))
        schema = pa.schema([TABLE_SCHEMA.field(name) for name in wanted])
        return pa.Table.from_batches(found, schema)


def load_pools(path: str | Path) -> Pools:
    """The pools in a folder that `cut` wrote; `path` is the folder or its `pools.json`.

    Raises:
        InputError: there are no pools, or the file is not of this kind.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == POOLS_FILE else folder
    file = folder / POOLS_FILE
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        if (content["schema"], content["version"]) != ("thresher.pools", 1):
            raise InputError(f"{file} says schema {content['schema']!r}; run `cut` again with this release")
        return _from_json(folder, content)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"there are no pools in {folder}; run `cut` first, or check the path") from error
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a pools file ({error!r}); run `cut` again") from error


def _from_json(folder: Path, content: dict[str, Any]) -> Pools:
    fields = ("name", "rank", "num_samples", "score_min", "score_max")
    return Pools(
        folder=folder,
        by=str(content["by"]),
        edges=tuple(content["edges"]),
        thresholds=tuple(content.get("thresholds", ())),
        pools=tuple(Pool(*(pool[name] for name in fields)) for pool in content["pools"]),
        dropped=tuple((drop["reason"], drop["count"]) for drop in content["dropped"]),
    )
