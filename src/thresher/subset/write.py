"""Writing a subset in one of its formats."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from thresher.data.index import build_index
from thresher.data.writer import write_json, write_table
from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.scores.spec import nearest
from thresher.subset.meta import META_FILE, claim, describe, repeats_of
from thresher.subset.npy import write_npy
from thresher.subset.reshard import lay_out, write_shards

FORMATS = ("npy", "parquet", "shards")
SIZES_FILE = "sizes.json"
NPY_FILE = "subset.npy"
PARQUET_FILE = "subset.parquet"
SAMPLE_IDS_FILE = "sample_ids.npy"
PAIRS_PER_SHARD = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetSummary:
    """A subset on disk: its format, unique pairs, draws in one pass, files, and how to train on it."""

    folder: Path
    format: str
    num_unique: int
    num_rows: int
    files: tuple[str, ...]
    how_to_train: tuple[str, ...]


def write_subset(
    table: pa.Table,
    out: str | Path,
    *,
    format: str,
    shards: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
    samples_seen: int | None = None,
    plan: Mapping[str, Any] | None = None,
    exclude: frozenset[str] = frozenset(),
    pairs_per_shard: int = PAIRS_PER_SHARD,
    index_cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SubsetSummary:
    """Write a manifest (columns `uid`, `pool`, `repeats`) as `npy`, `parquet` or `shards`, with `meta.json`.

    A run that was stopped goes on: shards that are whole are kept, and the end is the same to the byte.
    `weights` (pool -> weight) and `samples_seen` go into the training commands; without weights, those of
    the manifest do.

    Raises:
        InputError: an unknown format, shards that are missing or lack a uid, a folder that holds another
        subset or
            other tar files, or a folder that another run is writing to.
    """
    if format not in FORMATS:
        raise InputError(f"there is no subset format {format!r}; {nearest(format, FORMATS)}")
    if format == "shards" and not shards:
        raise InputError("a subset of format shards is copied from shards; name them")
    if pairs_per_shard < 1:
        raise InputError(f"pairs_per_shard is {pairs_per_shard}; give at least 1")
    if table.num_rows == 0:
        raise InputError("the subset holds no pairs; choose other pools")
    folder = Path(out)
    meta = describe(table, format, shards, weights, samples_seen, plan, pairs_per_shard)
    with folder_lock(folder):
        claim(folder, meta)
        if format == "npy":
            write_npy(folder / NPY_FILE, table.column("uid"), repeats_of(table))
            files: list[str] = [NPY_FILE]
        elif format == "parquet":
            write_table(folder / PARQUET_FILE, table)
            files = [PARQUET_FILE]
        else:
            index = build_index(shards, cache=index_cache, exclude=exclude)
            layout = lay_out(index.rows(table.column("uid")), repeats_of(table), pairs_per_shard)
            write_npy(folder / SAMPLE_IDS_FILE, table.column("uid"), repeats_of(table))
            sizes = write_shards(layout, index, folder, progress)
            write_json(folder / SIZES_FILE, sizes)
            files = [*sizes, SIZES_FILE, SAMPLE_IDS_FILE]
    return SubsetSummary(
        folder=folder,
        format=format,
        num_unique=meta["num_unique"],
        num_rows=meta["num_rows"],
        files=(*files, META_FILE),
        how_to_train=tuple(meta["how_to_train"]),
    )
