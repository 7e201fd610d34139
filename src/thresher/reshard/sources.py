"""Where the members of all pairs of an index lie, and the plans of tars made of them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.index import Index
from thresher.data.uids import DIGITS
from thresher.reshard.tarplan import Ints, Names, TarPlan


class Sources:
    """Names and places of the members of all pairs of an index, as arrays.

    A row of a table has an image and no files beside it: its caption and uid become a `.txt` and a `.json`.
    """

    def __init__(self, index: Index) -> None:
        lists = index.table.column("members")
        fields = pa.chunked_array([chunk.flatten() for chunk in lists.chunks], lists.type.value_type)
        self._uid = _texts(index.table.column("uid"))
        self._captions = index.table.column("caption")
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
        """The plan of a tar with these rows of the index, under the names of these copies."""
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
