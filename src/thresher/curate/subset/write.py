"""Writing a subset in one of its formats."""

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.curate.pools.rows import state_of
from thresher.curate.reshard.sources import Sources
from thresher.curate.reshard.write import lay_out, open_writers, write_shards
from thresher.curate.subset.meta import META_FILE, Draws, claim_subset, describe
from thresher.curate.subset.npy import write_draws
from thresher.data.files.atomic import table_writer, write_json
from thresher.data.files.location import is_remote, join
from thresher.data.files.lock import folder_lock
from thresher.data.uids import uid_words
from thresher.errors import InputError, nearest
from thresher.executor.run import check_executor

FORMATS = ("npy", "parquet", "shards")
SIZES_FILE = "sizes.json"
NPY_FILE = "subset.npy"
PARQUET_FILE = "subset.parquet"
INDEX_FOLDER = ".index"
SAMPLE_IDS_FILE = "sample_ids.npy"
PAIRS_PER_SHARD = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetSummary:
    """A subset on disk: its format, unique pairs, draws in one pass, files, and how to train on it."""

    folder: Path | str
    format: str
    num_unique: int
    num_rows: int
    files: tuple[str, ...]
    how_to_train: tuple[str, ...]


def write_subset(
    draws: Draws,
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
    executor: str = "local",
    ray_address: str | None = None,
    workers: int | None = 0,
) -> SubsetSummary:
    """Write a manifest (columns `uid`, `pool`, `repeats`) as `npy`, `parquet` or `shards`, with `meta.json`.

    A run that was stopped goes on: shards that are whole are kept, and the end is the same to the byte.
    `out` may be an address such as s3://bucket/subset: each file is uploaded whole, and a shard is kept when
    the store still shows the mark (size and checksum) that it had when it was uploaded. Such a folder cannot
    be locked; see that one run at a time writes there.

    Shards are indexed and written by `workers` processes (0: this one, None: 2), or written on Ray (None: by
    as many as fit); then every node reads the sources and writes to `out` by the same paths or addresses.

    `weights` (pool -> weight) and `samples_seen` go into the training commands; without weights, those of
    the manifest do.

    Raises:
        InputError: an unknown format, shards that are missing or lack a uid, a folder that holds another
            subset or other tar files, or a folder that another run is writing to.
    """
    if format not in FORMATS:
        raise InputError(f"there is no subset format {format!r}; {nearest(format, FORMATS)}")
    if format == "shards" and not shards:
        raise InputError("a subset of format shards is copied from shards; name them")
    if pairs_per_shard < 1:
        raise InputError(f"pairs_per_shard is {pairs_per_shard}; give at least 1")
    check_executor(executor, ray_address)
    folder = str(out)
    states = state_of(shards) if format == "shards" else []
    meta = describe(draws, format, shards, weights, samples_seen, plan, pairs_per_shard)
    with contextlib.nullcontext() if is_remote(folder) else folder_lock(folder):
        claim_subset(folder, meta)
        if format == "npy":
            write_draws(join(folder, NPY_FILE), _words(draws), meta["num_unique"])
            files: list[str] = [NPY_FILE]
        elif format == "parquet":
            with table_writer(join(folder, PARQUET_FILE), draws.schema) as add:
                for batch in draws.to_batches():
                    add(pa.Table.from_batches([batch]))
            files = [PARQUET_FILE]
        else:
            here = 2 if executor == "ray" or workers is None else workers
            num_tars = -(-meta["num_rows"] // pairs_per_shard)
            with (
                open_writers(num_tars, executor=executor, address=ray_address, workers=workers) as write_tars,
                _index_folder(index_cache, folder) as cache,
            ):
                sources = Sources(shards, cache, exclude=exclude, workers=here)
                table = pa.Table.from_batches(draws.to_batches(), draws.schema)
                repeats = table.column("repeats").to_numpy().astype(np.int64)
                layout = lay_out(_rows(sources, table), repeats, pairs_per_shard)
                write_draws(join(folder, SAMPLE_IDS_FILE), _words(draws), meta["num_unique"])
                sizes = write_shards(layout, sources, folder, write_tars, progress)
            _check_unchanged(shards, states, folder)
            write_json(join(folder, SIZES_FILE), sizes)
            files = [*sizes, SIZES_FILE, SAMPLE_IDS_FILE]
    return SubsetSummary(
        folder=folder if is_remote(folder) else Path(folder),
        format=format,
        num_unique=meta["num_unique"],
        num_rows=meta["num_rows"],
        files=(*files, META_FILE),
        how_to_train=tuple(meta["how_to_train"]),
    )


def _words(draws: Draws) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]:
    """Uids and repeats, batch by batch."""
    for batch in draws.to_batches():
        yield uid_words(batch.column("uid")), batch.column("repeats").to_numpy().astype(np.int64)


def _check_unchanged(shards: Sequence[str], states: Sequence[str], folder: str) -> None:
    for shard, before, now in zip(shards, states, state_of(shards), strict=True):
        if now != before:
            raise InputError(
                f"{shard} changed while pairs were copied from it; delete {folder} and write the subset again"
            )


@contextlib.contextmanager
def _index_folder(cache: Path | None, folder: str) -> Iterator[Path]:
    """Where the index of the shards lies: in `cache`, or beside the new shards until they are written."""
    if is_remote(folder):
        with tempfile.TemporaryDirectory() as own:
            yield cache or Path(own)
        return
    own_cache = Path(folder, INDEX_FOLDER)
    yield cache or own_cache
    shutil.rmtree(own_cache, ignore_errors=True)


def _rows(sources: Sources, table: pa.Table) -> npt.NDArray[np.int64]:
    """Numbers of the pairs.

    Raises:
        InputError: the shards lack some, of which each pool's are counted.
    """
    try:
        return sources.rows(table.column("uid"))
    except InputError as error:
        there = pa.array(sources.are_there(table.column("uid")))
        lacking = Counter(table.column("pool").filter(pc.invert(there)).to_pylist())
        if not lacking:
            raise
        whole = Counter(table.column("pool").to_pylist())
        shares = ", ".join(f"{name}: {count} of {whole[name]}" for name, count in lacking.items())
        raise InputError(
            f"{error} ({shares}); where they no longer exist, cut again with the shards (cut --shards), and "
            "the pools are sized by what is there"
        ) from error
