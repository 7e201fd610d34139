"""Writing a part of imported embeddings: the vectors of some rows, brought to length 1, and their pairs.

Shapes: n pairs, D embedding dimensions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.writer import atomic_path
from thresher.embeddings.numbers import pack
from thresher.embeddings.parts import vectors_path
from thresher.importers.joining import JOINED, OTHER_JOIN, Joining
from thresher.importers.naming import Naming, Verdicts, name_rows, refuse_repeats
from thresher.importers.parquet_files import Source, read_rows
from thresher.importers.pieces import Piece, write_part_of
from thresher.importers.vectors import Vectors, read_blocks
from thresher.scores.parts import Stage

UNIT = 2e-3
"""Vectors whose length is this near to 1 are stored as they came."""


def _otherwise(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    differing = next((name for name in now if found.get(name) != now[name]), None)
    if differing is None:
        return None
    remedy = "name another folder, or delete this one to import again"
    if differing == JOINED:
        return f"{OTHER_JOIN}; {remedy}"
    had = found.get(differing, "that is not known")
    return f"was made with {differing} {had}, this run has {now[differing]}; {remedy}"


IMPORT_EMBEDDINGS = Stage(
    name="import-embeddings",
    done="imported",
    noun="embeddings",
    differs=_otherwise,
    exclude_remedy="name another folder",
)


class EmbeddingWriter:
    """Makes parts of the pieces of files."""

    def __init__(
        self,
        found: Mapping[int, tuple[Vectors, Vectors]],
        joining: Joining,
        dtype: str,
    ) -> None:
        self._found = found
        self._joining = joining
        self._dtype = dtype

    def make(self, source: Source, pieces: Sequence[Piece], rows_a_part: int) -> Iterator[tuple[Piece, int]]:
        """Write the parts of some pieces of a file, in their order."""
        naming = self._joining.namings[source.number]
        by_start = {piece.start: piece for piece in pieces}
        wanted = frozenset(by_start)
        image, text = (read_blocks(array, rows_a_part, wanted) for array in self._found[source.number])
        tables = read_rows(source.path, naming.columns, rows_a_part, wanted)
        for (start, table), (_, image_nD), (_, text_nD) in zip(tables, image, text, strict=True):
            piece = by_start[start]
            yield piece, self._write(source.path, piece, table, naming, image_nD, text_nD)

    def _write(
        self,
        path: str,
        piece: Piece,
        table: pa.Table,
        naming: Naming,
        image_nD: npt.NDArray[np.floating],
        text_nD: npt.NDArray[np.floating],
    ) -> int:
        verdicts = Verdicts(table.num_rows)
        named = name_rows(table, naming, self._joining.pairs, path, verdicts)
        refuse_repeats(named, piece.start, verdicts)
        units = []
        for what, vectors_nD in (("image", image_nD), ("text", text_nD)):
            unit_nD, finite, length_n = _unit(vectors_nD)
            verdicts.refuse(~finite, f"the {what} vector is not finite")
            verdicts.refuse(finite & (length_n == 0), f"the {what} vector has length 0")
            units.append(unit_nD)
        kept = np.flatnonzero(verdicts.kept)
        stored = np.stack([_packed(unit_nD[kept], self._dtype) for unit_nD in units], axis=1)
        with atomic_path(vectors_path(piece.part)) as temporary, temporary.open("wb") as file:
            np.save(file, stored, allow_pickle=False)
        rejects = verdicts.quarantine(named.table, named.known, path, piece.start, IMPORT_EMBEDDINGS.name)
        write_part_of(piece, named.table.take(pa.array(kept)), rejects, IMPORT_EMBEDDINGS)
        return len(kept)


def _unit(
    vectors_nD: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Vectors of length 1 where they can be made so, which are finite, and the lengths before.

    Half-precision vectors whose length is near to 1 already stay as they are, to the last bit.
    """
    wide_nD = vectors_nD.astype(np.float32)
    finite = np.asarray(np.isfinite(wide_nD).all(axis=1), dtype=np.bool_)
    wide_nD[~finite] = 0
    length_n = np.linalg.norm(wide_nD, axis=1)
    if vectors_nD.dtype == np.float16 and bool((np.abs(length_n[length_n > 0] - 1) < UNIT).all()):
        return vectors_nD, finite, length_n
    wide_nD /= np.where(length_n > 0, length_n, 1)[:, None]
    return wide_nD, finite, length_n


def _packed(vectors_nD: npt.NDArray[np.floating], dtype: str) -> npt.NDArray[Any]:
    return vectors_nD.astype(np.float16) if dtype == "fp16" else pack(vectors_nD.astype(np.float32), dtype)
