"""The index of a pool: which pair lies where, so that single images are read from tar files as they are."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.data.folder import fingerprint_folder
from thresher.data.location import Handles, fingerprint, is_remote, read_bytes
from thresher.data.pairs import Member, Pair, Reject
from thresher.data.patterns import kind_of
from thresher.data.quarantine import SCHEMA as QUARANTINE_SCHEMA
from thresher.data.quarantine import from_rejects
from thresher.data.shards import read_pairs
from thresher.data.table import RowImages
from thresher.data.uids import uid_bytes, uid_order
from thresher.data.writer import write_table
from thresher.errors import InputError
from thresher.executor.run import Death, run_shards

FORMAT = "1"
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

Indexed = tuple[pa.Table, pa.Table]
"""Pairs (columns of `SCHEMA`) and rejects (quarantine columns) of a shard."""

_FINGERPRINT = b"thresher.fingerprint"
_ROWS_AT_ONCE = 8192


def build_index(
    shards: Sequence[str], *, cache: Path | None, exclude: frozenset[str] = frozenset(), workers: int = 0
) -> "Index":
    """The index of all pairs of the shards, in the order of shards and of pairs in them.

    With `cache`, a folder, each shard's rows are kept as Parquet and read again only when the shard's size or
    time changed. With `workers`, so many processes read the shards of which nothing is kept. Of pairs with
    equal uids in several shards the first stays; the others and the pairs in `exclude` are among `rejects`.
    The table holds about 430 bytes a pair in memory.
    """
    parts = index_shards(shards, cache, workers)
    table = pa.concat_tables([pairs for pairs, _ in parts]) if parts else SCHEMA.empty_table()
    rejects = [rejected for _, rejected in parts]
    if exclude and table.num_rows:
        listed = pc.is_in(table.column("uid"), value_set=pa.array(sorted(exclude), pa.string()))
        reason = "the uid is in the list of excluded pairs"
        rejects.append(_rejected(table.filter(listed), "exclude", [reason]))
        table = table.filter(pc.invert(listed))
    keys = uid_bytes(table.column("uid"))
    order = uid_order(keys)
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = keys[order[1:]] == keys[order[:-1]]
    if repeated.any():
        starts = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(order))))
        first_of = dict(zip(order[repeated].tolist(), order[starts[repeated]].tolist(), strict=True))
        again = sorted(first_of)
        shard_column, key_column = table.column("shard"), table.column("key")
        reasons = [
            f"duplicate uid: {key_column[first].as_py()!r} of {shard_column[first].as_py()} has it"
            for first in (first_of[row] for row in again)
        ]
        rejects.append(_rejected(table.take(pa.array(again)), "index", reasons))
        keep = np.ones(len(order), dtype=bool)
        keep[again] = False
        table = table.filter(pa.array(keep))
    return Index(table, pa.concat_tables([QUARANTINE_SCHEMA.empty_table(), *rejects]))


def index_shards(shards: Sequence[str], cache: Path | None, workers: int = 0) -> list[Indexed]:
    """`index_shard` of each; what the cache lacks is read by so many processes (0: this one)."""
    found = [_kept(shard, cache, _mark(shard, cache)) for shard in shards]
    due = [place for place, kept in enumerate(found) if kept is None]
    tasks = [(place, shards[place], cache) for place in due]
    count = workers if len(due) > 1 else 0
    for task, indexed in run_shards("thresher.data.index:index_task", tasks, workers=count):
        if isinstance(indexed, Death):
            raise InputError(f"{task[1]} could not be read: {indexed.reason}; run again, it goes on")
        found[task[0]] = indexed
    return [indexed for indexed in found if indexed is not None]


def index_task(task: tuple[int, str, Path | None]) -> Indexed:
    """`index_shard` in a process of `index_shards`."""
    _, shard, cache = task
    return index_shard(shard, cache)


def index_shard(shard: str, cache: Path | None) -> Indexed:
    """Pairs (columns of `SCHEMA`) and rejects (quarantine columns) of one shard, cached where possible.

    The cache holds while the shard's own file (or a folder's list of files) is the same; images that a table
    names by path are not looked at again.
    """
    mark = _mark(shard, cache)
    kept = _kept(shard, cache, mark)
    if kept is not None:
        return kept
    tables = _read_shard(shard)
    if cache is not None and mark is not None:
        for place, table in zip(_places(shard, cache), tables, strict=True):
            write_table(place, table.replace_schema_metadata({_FINGERPRINT: mark}))
    return tables


class Index:
    """Pairs by row number: `table` has the columns of `SCHEMA`, `rejects` those of the quarantine.

    Reading keeps some files open, so each process and thread opens its own; pickling leaves them behind.
    """

    def __init__(self, table: pa.Table, rejects: pa.Table) -> None:
        self.table = table
        self.rejects = rejects
        self._offsets = table.column("image_offset").to_numpy()
        self._lengths = table.column("image_length").to_numpy()
        self._sorted: tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]] | None = None
        self._local = threading.local()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getstate__(self) -> dict[str, Any]:
        return {"table": self.table, "rejects": self.rejects}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["table"], state["rejects"])  # type: ignore[misc]

    def rows(self, uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Row numbers int64 [n] of `uids`, in their order; a uid may be asked for several times.

        Raises:
            InputError: a uid is not in the index (the text names the first) or is no uid.
        """
        wanted = uid_bytes(uids)
        if self._sorted is None:
            keys = uid_bytes(self.table.column("uid"))
            order = uid_order(keys)
            self._sorted = (keys[order], order)
        keys, order = self._sorted
        places = np.searchsorted(keys, wanted)
        found = places < len(keys)
        found[found] = keys[places[found]] == wanted[found]
        if not found.all():
            absent = wanted[~found]
            raise InputError(
                f"{len(absent)} of {len(wanted)} uids are not among the {len(self)} pairs of the shards, the "
                f"first is {absent[0].ljust(16, bytes(1)).hex()}; give the shards that the uids come from"
            )
        return order[places].astype(np.int64)

    def image_bytes(self, row: int) -> bytes:
        """The stored image of a row, byte for byte.

        Raises:
            InputError: the file is gone or shorter than it was when it was indexed.
            OSError: a remote file system fails.
        """
        path = self.table.column("image_path")[int(row)].as_py()
        member = Member("", path, int(self._offsets[row]), int(self._lengths[row]))
        return self.member_bytes(member)

    def members(self, row: int) -> tuple[Member, ...]:
        """Every file of a row's pair, in the order found; of a table row the image alone."""
        return tuple(Member(**fields) for fields in self.table.column("members")[int(row)].as_py())

    def member_bytes(self, member: Member) -> bytes:
        """The bytes of a member, read at its place; raises like `image_bytes`."""
        try:
            data = self._read(member)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise InputError(
                f"{member.path} cannot be read any more ({error.strerror}); index it again"
            ) from error
        if len(data) < member.length:
            raise InputError(f"{member.path} is shorter than when it was indexed; index it again")
        return data

    def _read(self, member: Member) -> bytes:
        if not hasattr(self._local, "handles"):
            self._local.handles = Handles()
            self._local.tables = RowImages()
        if member.length < 0:
            tables: RowImages = self._local.tables
            return tables.read(member.path, member.offset)
        if is_remote(member.path):
            return read_bytes(member.path, member.offset, member.length)
        handles: Handles = self._local.handles
        return handles.read(member.path, member.offset, member.length)


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
    columns = [
        [pair.uid for pair in pairs],
        [pair.key for pair in pairs],
        [pair.caption for pair in pairs],
        [pair.shard for pair in pairs],
        [pair.image.path for pair in pairs],
        [pair.image.offset for pair in pairs],
        [pair.image.length for pair in pairs],
        [pair.members for pair in pairs],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _rejected(table: pa.Table, stage: str, reasons: list[str]) -> pa.Table:
    """Quarantine rows for pairs; one reason for all, or one each."""
    if not table.num_rows:
        return QUARANTINE_SCHEMA.empty_table()
    columns = {
        "shard": table.column("shard"),
        "key": table.column("key"),
        "uid": table.column("uid"),
        "stage": pa.array([stage] * table.num_rows),
        "reason": pa.array(reasons if len(reasons) == table.num_rows else reasons * table.num_rows),
        "offset": table.column("image_offset"),
    }
    return pa.table(columns).cast(QUARANTINE_SCHEMA)


def _places(shard: str, cache: Path) -> tuple[Path, Path]:
    """Where the cache keeps the pairs and the rejects of a shard."""
    name = f"{Path(shard).stem}-{hashlib.blake2b(shard.encode(), digest_size=8).hexdigest()}"
    return cache / f"{name}.parquet", cache / f"{name}.quarantine.parquet"


def _kept(shard: str, cache: Path | None, mark: bytes | None) -> Indexed | None:
    """What the cache holds of a shard with this mark."""
    if cache is None or mark is None:
        return None
    pairs, rejects = (_cached(place, mark) for place in _places(shard, cache))
    return None if pairs is None or rejects is None else (pairs, rejects)


def _cached(place: Path, mark: bytes) -> pa.Table | None:
    try:
        with pq.ParquetFile(place) as file:
            if (file.schema_arrow.metadata or {}).get(_FINGERPRINT) != mark:
                return None
            return file.read().replace_schema_metadata(None)
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return None


def _mark(shard: str, cache: Path | None) -> bytes | None:
    """What changes when the shard does; None without a cache, or when the shard cannot be looked at."""
    if cache is None:
        return None
    try:
        text = fingerprint_folder(shard) if kind_of(shard) == "folder" else fingerprint(shard)
    except OSError:
        return None
    return (
        hashlib.blake2b(f"{FORMAT}\n{shard}\n{text}".encode("utf-8", "surrogateescape")).hexdigest().encode()
    )
