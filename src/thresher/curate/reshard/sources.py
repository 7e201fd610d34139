"""Where the members of all pairs of some shards lie, and the plans of tars made of them."""

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.curate.reshard.tarcopy import Ints, Names, TarPlan
from thresher.data.shard_index import index_shards, kept_pairs, mark_of
from thresher.data.uids import DIGITS, UidRows, uid_bytes
from thresher.errors import InputError

_COLUMNS = ("uid", "caption", "members")
_HELD_BYTES = 2**28


class Sources:
    """The pairs of shards by number: uids are in memory, 24 bytes a pair, the rest is in the cache on disk.

    Pairs are counted through the shards; the uids in `exclude` are not there, and of equal ones the first is.
    """

    def __init__(
        self,
        shards: Sequence[str],
        cache: Path,
        *,
        exclude: frozenset[str] = frozenset(),
        workers: int = 0,
    ) -> None:
        self._shards = shards
        self._cache = cache
        self._marks: list[bytes | None] = [None] * len(shards)
        uids = [np.empty(0, dtype="S16")] * len(shards)
        for place, found in index_shards(shards, cache, workers, columns=["uid"]):
            uids[place], self._marks[place] = uid_bytes(found.pairs.column("uid")), found.mark
        self._starts = np.cumsum([0, *map(len, uids)])
        every = np.concatenate([np.empty(0, dtype="S16"), *uids])
        left = np.flatnonzero(UidRows(uid_bytes(exclude)).find(every) < 0)
        self._rows = UidRows(every[left], left)
        self._held: OrderedDict[int, pa.Table] = OrderedDict()
        self._held_bytes = 0

    def rows(self, uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> Ints:
        """The numbers of pairs; raises like `UidRows.rows`."""
        return self._rows.rows(uids)

    def are_there(self, uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which uids are among the pairs."""
        return self._rows.find(uid_bytes(uids)) >= 0

    def plan(self, rows: Ints, copies: Ints) -> TarPlan:
        """The plan of a tar with these pairs, under the names of these copies.

        Raises:
            InputError: a shard, or what the cache holds of it, has changed.
        """
        of = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(of, kind="stable")
        tables, places, taken = [], np.empty(len(rows), dtype=np.int64), 0
        for here in np.split(order, np.flatnonzero(np.diff(of[order])) + 1):
            shard = int(of[here[0]])
            wanted, inside = np.unique(rows[here] - self._starts[shard], return_inverse=True)
            tables.append(self._pairs(shard).take(pa.array(wanted)))
            places[here] = taken + inside
            taken += len(wanted)
        return _Members(pa.concat_tables(tables)).plan(places, copies)

    def _pairs(self, shard: int) -> pa.Table:
        """The pairs of a shard; those of the last ones stay in memory."""
        if shard in self._held:
            self._held.move_to_end(shard)
            return self._held[shard]
        name = self._shards[shard]
        table = kept_pairs(name, self._cache, self._marks[shard], _COLUMNS)
        if table is None or table.num_rows != self._starts[shard + 1] - self._starts[shard]:
            if mark_of(name) == self._marks[shard]:
                raise InputError(f"the index of {name} is no longer in {self._cache}; run again")
            raise InputError(f"{name} changed while pairs were copied from it; write into a new folder")
        self._held[shard] = table
        self._held_bytes += table.nbytes
        while len(self._held) > 1 and self._held_bytes > _HELD_BYTES:
            self._held_bytes -= self._held.popitem(last=False)[1].nbytes
        return table


class _Members:
    """Names and places of the members of some pairs, as arrays.

    A row of a table has an image and no files beside it: its caption and uid become a `.txt` and a `.json`.
    """

    def __init__(self, pairs: pa.Table) -> None:
        lists = pairs.column("members")
        fields = pa.chunked_array([chunk.flatten() for chunk in lists.chunks], lists.type.value_type)
        self._uid = _texts(pairs.column("uid"))
        self._captions = pairs.column("caption")
        self._count = pc.list_value_length(lists).to_numpy().astype(np.int64)
        self._start = np.cumsum(self._count) - self._count
        self._exts, self._ext = _codes(pc.struct_field(fields, "ext"))
        self._files, self._file = _codes(pc.struct_field(fields, "path"))
        self._offset = pc.struct_field(fields, "offset").to_numpy()
        self._length = pc.struct_field(fields, "length").to_numpy()
        is_text = np.array([ext == "txt" for ext in self._exts], dtype=bool)[self._ext]
        texts = np.concatenate([[0], np.cumsum(is_text)])
        without_text = texts[self._start + self._count] == texts[self._start]
        self._needs_files = without_text | (self._length[self._start] < 0)

    def plan(self, rows: Ints, copies: Ints) -> TarPlan:
        """The plan of a tar with these rows, under the names of these copies."""
        counts = self._count[rows]
        pair = np.repeat(np.arange(len(rows)), counts)
        inner = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        source = self._start[rows][pair] + inner
        files, file = np.unique(self._file[source], return_inverse=True)
        plan = TarPlan(
            stems=np.strings.add(np.strings.add(self._uid[rows], b"-"), copies.astype(np.bytes_)),
            exts=self._exts,
            files=tuple(self._files[number] for number in files.tolist()),
            made=(),
            pair=pair,
            ext=self._ext[source],
            file=file,
            offset=self._offset[source],
            length=self._length[source],
        )
        alone = np.flatnonzero(self._needs_files[rows])
        if not len(alone):
            return plan
        captions = self._captions.take(pa.array(rows[alone])).to_pylist()
        uids = [uid.decode() for uid in self._uid[rows[alone]].tolist()]
        return _with_files(plan, alone.tolist(), uids, captions)


def _with_files(plan: TarPlan, pairs: list[int], uids: list[str], captions: list[str]) -> TarPlan:
    """The plan with a `.txt` and a `.json` after the members of some pairs."""
    exts = dict.fromkeys((*plan.exts, "txt", "json"))
    places = {ext: place for place, ext in enumerate(exts)}
    made = []
    for uid, caption in zip(uids, captions, strict=True):
        made += [caption.encode(), json.dumps({"uid": uid, "caption": caption}).encode()]
    pair = np.repeat(np.array(pairs), 2)
    order = np.argsort(np.concatenate([plan.pair, pair]), kind="stable")
    ext = np.array([places["txt"], places["json"]] * len(pairs))
    length = np.array([len(content) for content in made])
    return replace(
        plan,
        exts=tuple(exts),
        made=tuple(made),
        pair=np.concatenate([plan.pair, pair])[order],
        ext=np.concatenate([plan.ext, ext])[order],
        file=np.concatenate([plan.file, np.full(len(made), -1)])[order],
        offset=np.concatenate([plan.offset, np.arange(len(made))])[order],
        length=np.concatenate([plan.length, length])[order],
    )


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    """The different texts of a column, and of each row which one it has."""
    encoded = column.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return (), np.empty(0, dtype=np.int64)
    codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in encoded.chunks]
    return tuple(encoded.chunk(0).dictionary.to_pylist()), np.concatenate(codes)


def _texts(uids: pa.ChunkedArray) -> Names:
    """The uids as they are written, of 32 bytes each."""
    parts = [np.empty(0, dtype=f"S{DIGITS}")]
    for chunk in uids.chunks:
        _, ends, letters = chunk.buffers()
        if len(chunk):
            offsets = np.frombuffer(ends, np.int32, len(chunk) + 1, chunk.offset * 4)
            parts.append(np.frombuffer(letters, f"S{DIGITS}", len(chunk), int(offsets[0])))
    return np.concatenate(parts)
