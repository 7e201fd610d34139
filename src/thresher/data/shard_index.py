"""The pairs of single shards with the places of their files, kept on disk from one run to the next."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.digests import digest
from thresher.data.files.atomic import write_table
from thresher.data.files.quarantine import from_rejects
from thresher.data.pairs import Pair, Reject
from thresher.data.shards import read_pairs, state_of_shard
from thresher.errors import InputError
from thresher.executor.local import TaskFailed
from thresher.executor.run import open_workers

FORMAT = "2"
"""Part of each cached shard's fingerprint: raise it when pairs or uids are read differently."""

MEMBER_TYPE = pa.struct(
    [("ext", pa.string()), ("path", pa.string()), ("offset", pa.int64()), ("length", pa.int64())]
)
SCHEMA = pa.schema(
    [
        ("uid", pa.string()),
        ("key", pa.string()),
        ("caption", pa.string()),
        ("shard", pa.string()),
        ("image_path", pa.string()),
        ("image_offset", pa.int64()),
        ("image_length", pa.int64()),
        ("members", pa.list_(MEMBER_TYPE)),
    ]
)


Marks = Mapping[str, bytes | None]
"""The mark of each shard (`mark_of`)."""


class Indexed(NamedTuple):
    """Pairs (columns of `SCHEMA`) and rejects (quarantine columns) of a shard, with its mark (`mark_of`)."""

    pairs: pa.Table
    rejects: pa.Table
    mark: bytes | None


_FINGERPRINT = b"thresher.fingerprint"
_ROWS_AT_ONCE = 8192
LONGEST_STEM = 40
"""Characters of a shard's name in those of its files: of four bytes each, they still fit a file system."""


def index_shards(
    shards: Sequence[str],
    cache: Path | None,
    workers: int = 0,
    *,
    columns: Sequence[str] | None = None,
    marks: Marks | None = None,
) -> Iterator[tuple[int, Indexed]]:
    """The place of each shard with what `index_shard` gives for it, in any order.

    What the cache lacks is read by so many processes (0: this one). No more than a few shards are in memory.
    With `marks` no shard is asked for its state again.
    """
    due = []
    for place, shard in enumerate(shards):
        mark = None if cache is None else mark_of(shard) if marks is None else marks[shard]
        kept = _kept(shard, cache, mark, columns)
        if kept is None:
            due.append((place, shard, cache, mark, columns))
        else:
            yield place, kept
    if workers == 0 or len(due) < 2 or any(shard.startswith("memory:") for shard in shards):
        yield from ((task[0], index_task(task)) for task in due)
        return
    with open_workers("thresher.data.shard_index:index_task", workers=workers) as apply:
        for task, indexed in apply(due):
            if isinstance(indexed, TaskFailed):
                raise InputError(f"{task[1]} could not be read: {indexed.reason}; run again, it goes on")
            yield task[0], indexed


def index_task(task: tuple[int, str, Path | None, bytes | None, Sequence[str] | None]) -> Indexed:
    """Read a shard, whose place is the first entry, and keep what was found under its mark."""
    _, shard, cache, mark, columns = task
    pairs, rejects = _read_shard(shard)
    if cache is not None and mark is not None:
        for place, table in zip(_places(shard, cache), (pairs, rejects), strict=True):
            write_table(place, table.replace_schema_metadata({_FINGERPRINT: mark}))
    return Indexed(pairs if columns is None else pairs.select(columns), rejects, mark)


def index_shard(shard: str, cache: Path | None, marks: Marks | None = None) -> Indexed:
    """Pairs and rejects of one shard, cached where possible.

    The cache holds while the shard's own file (or a folder's list of files) is the same; images that a table
    names by path are not looked at again.
    """
    ((_, indexed),) = index_shards([shard], cache, marks=marks)
    return indexed


def kept_pairs(shard: str, cache: Path, mark: bytes | None, columns: Sequence[str]) -> pa.Table | None:
    """Columns of the pairs of a shard that had this mark, from the cache; None where they are not there."""
    return None if mark is None else _cached(_places(shard, cache)[0], mark, columns)


def mark_of(shard: str) -> bytes | None:
    """What changes when the shard does; None when the shard cannot be looked at."""
    try:
        state = state_of_shard(shard)
    except OSError:
        return None
    return digest(FORMAT, shard, state).encode()


def marks_of(shards: Sequence[str]) -> Marks:
    """The mark of each shard as it is now."""
    return {shard: mark_of(shard) for shard in shards}


def digest_of_marks(marks: Marks) -> str:
    """Stands for shards as they were: their names, sizes and times."""
    return digest([(shard, str(mark)) for shard, mark in marks.items()])


def check_unchanged(shards: Sequence[str], marks: Marks) -> None:
    """Refuse a training whose shards are others than when `marks` were taken.

    Raises:
        InputError: one of them changed, or went.
    """
    if marks_of(shards) != marks:
        raise InputError(
            "shards changed while they were trained on, so that the model is of no one pool; put them back "
            "as they were, or train in another folder"
        )


def _read_shard(shard: str) -> tuple[pa.Table, pa.Table]:
    rejects: list[Reject] = []
    pairs = _only_pairs(shard, rejects)
    batches = []
    while rows := list(islice(pairs, _ROWS_AT_ONCE)):
        batches.append(_batch(rows))
    return pa.Table.from_batches(batches, SCHEMA), from_rejects(rejects)


def _only_pairs(shard: str, rejects: list[Reject]) -> Iterator[Pair]:
    for item in read_pairs(shard, with_images=False):
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            yield item


def _batch(pairs: list[Pair]) -> pa.RecordBatch:
    rows = [(pair.uid, pair.key, pair.caption, pair.shard, *pair.image[1:], pair.members) for pair in pairs]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _places(shard: str, cache: Path) -> tuple[Path, Path]:
    """Where the cache keeps the pairs and the rejects of a shard."""
    name = f"{Path(shard).stem[:LONGEST_STEM]}-{digest(shard)}"
    return cache / f"{name}.parquet", cache / f"{name}.quarantine.parquet"


def _kept(
    shard: str, cache: Path | None, mark: bytes | None, columns: Sequence[str] | None
) -> Indexed | None:
    """What the cache holds of a shard with this mark."""
    if cache is None or mark is None:
        return None
    pairs, rejects = _places(shard, cache)
    found = _cached(pairs, mark, columns)
    refused = None if found is None else _cached(rejects, mark)
    return None if found is None or refused is None else Indexed(found, refused, mark)


def _cached(place: Path, mark: bytes, columns: Sequence[str] | None = None) -> pa.Table | None:
    try:
        with pq.ParquetFile(place) as file:
            if (file.schema_arrow.metadata or {}).get(_FINGERPRINT) != mark:
                return None
            table = file.read(columns=None if columns is None else list(columns))
            return table.replace_schema_metadata(None)
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return None
