"""The index of a pool: where each pair is, so that single images can be read straight from tar files."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.files.location import Handles, is_remote, read_bytes
from thresher.data.files.quarantine import SCHEMA as QUARANTINE_SCHEMA
from thresher.data.pairs import Member
from thresher.data.shard_index import SCHEMA, Marks, index_shard
from thresher.data.table import RowImages
from thresher.data.uids import UidRows, uid_bytes, uid_order
from thresher.errors import InputError


def build_index(
    shards: Sequence[str],
    *,
    cache: Path | None,
    exclude: frozenset[str] = frozenset(),
    marks: Marks | None = None,
) -> "Index":
    """The index of all pairs of the shards, in the order of shards and of pairs in them.

    With `cache`, a folder, each shard's rows are kept as Parquet and read again only when the shard's size or
    time changed; `marks` are those of the shards, where they are known. Of pairs with equal uids in several
    shards the first stays; the others and the pairs in `exclude` are among `rejects`. The table holds about
    430 bytes a pair in memory.
    """
    parts = [index_shard(shard, cache, marks) for shard in shards]
    table = pa.concat_tables([SCHEMA.empty_table(), *(indexed.pairs for indexed in parts)])
    rejects = [indexed.rejects for indexed in parts]
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


class Index:
    """Pairs by row number: `table` has the columns of `SCHEMA`, `rejects` those of the quarantine.

    Reading keeps some files open, so each process and thread opens its own; pickling leaves them behind.
    """

    def __init__(self, table: pa.Table, rejects: pa.Table) -> None:
        self.table = table
        self.rejects = rejects
        self._offsets = table.column("image_offset").to_numpy()
        self._lengths = table.column("image_length").to_numpy()
        self._uid_rows: UidRows | None = None
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
        if self._uid_rows is None:
            self._uid_rows = UidRows(uid_bytes(self.table.column("uid")))
        return self._uid_rows.rows(uids)

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
