"""Imports embeddings that others computed into a folder that `open_embeddings` reads; vectors get length 1.

Shapes: n pairs, D embedding dimensions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.scores.embeddings.stored import check_dtype, embeddings_json, pack, write_vectors
from thresher.scores.imported.joining import JOINED, OTHER_JOIN, Joining, join, joined
from thresher.scores.imported.layouts import VECTORS, files_of, layouts_of, one_dim, vectors_of
from thresher.scores.imported.pair_ids import Naming, Verdicts, name_rows, refuse_repeats
from thresher.scores.imported.parquet_files import ParquetSource, read_rows
from thresher.scores.imported.row_chunks import (
    Filled,
    Progress,
    check_some_usable,
    fill_row_chunks,
    import_stage,
    import_status,
    look_at_all,
)
from thresher.scores.imported.vectors import Vectors, read_blocks
from thresher.sharded.job import Made, Part, write_made

ROWS_A_PART = 16_384

CLIP_SCALE = 100.0
"""Factor of the cosines in the loss of OpenAI's models, its upper bound, which LAION's reach as well."""

PRECISION = "imported"

UNIT = 2e-3
"""Vectors whose length is this near to 1 are stored as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingImport:
    """What was imported.

    Attributes:
        filled: Counts of the folder.
        model: Model that made the vectors.
        fingerprint: Says where they came from.
        dim: D.
        status: Sentences on what needs attention.
    """

    filled: Filled
    model: str
    fingerprint: str
    dim: int
    status: tuple[str, ...]


def import_embeddings(
    sources: Sequence[str],
    out: str | Path,
    *,
    vectors: str = "l14",
    model: str | None = None,
    pretrained: str | None = None,
    dtype: str = "fp16",
    scale: float = CLIP_SCALE,
    bias: float = 0.0,
    uid: str | None = None,
    key: str | None = None,
    shards: Sequence[str] = (),
    progress: Progress | None = None,
) -> EmbeddingImport:
    """Write an embeddings folder from DataComp's metadata or from an output folder of clip-retrieval.

    Args:
        sources: Parquet files with `.npz` files beside them (or folders of them), or folders of
            clip-retrieval.
        out: Folder for `parts/`, `embeddings.json` and `embeddings.log.jsonl`.
        vectors: Of DataComp's vectors `l14` or `b32`, or the beginning of other arrays `NAME_img`,
            `NAME_txt`.
        model: Model that made them; known for `l14` and `b32`.
        pretrained: Its weights.
        dtype: Form in which they are stored, `fp16` or `int8`.
        scale: Factor of the cosines in the model's loss.
        bias: What its loss adds to them.
        uid: As in `import_scores`.
        key: As in `import_scores`; `image_path` for clip-retrieval.
        shards: As in `import_scores`; without a column of uids they are needed.
        progress: Called after every part.

    Returns:
        Counts, and sentences on what is missing. A file whose vectors are absent, damaged or not as many as
        its rows does not stop the others.

    Raises:
        InputError: the model is not known, a column is absent, files have vectors of several dimensions, or
            the folder holds something else.
    """
    check_dtype(dtype)
    tool, layouts = layouts_of(sources, vectors)
    if tool == "datacomp" and model is None and vectors in VECTORS:
        model, pretrained = VECTORS[vectors]
    if model is None:
        raise InputError(
            "the files do not say which model made the vectors; name it with --model, such as ViT-B-32"
        )
    named = model if pretrained is None else f"{model} {pretrained}"
    mark = f"imported from {tool}: {named}"
    folder = Path(out)
    with folder_lock(folder):
        paths = [layout.table for layout in layouts]
        seen, refused = look_at_all(paths, [files_of(layout) for layout in layouts])
        usable, found = vectors_of(seen, layouts, refused)
        check_some_usable(paths, usable, refused)
        dim = one_dim(found)
        joining = join(usable, folder, uid=uid, key=key, shards=shards)
        made_by = {"model": mark, "precision": PRECISION, "dtype": dtype, "dimensions": str(dim)}
        run = fill_row_chunks(
            folder,
            paths,
            (usable, refused),
            EmbeddingWriter(found, joining, dtype).write,
            stage=IMPORT_EMBEDDINGS,
            made_by={**made_by, JOINED: joining.mark},
            rows_a_part=ROWS_A_PART,
            progress=progress,
        )
        facts = {"model": model, "pretrained": pretrained, "fingerprint": mark, "precision": PRECISION}
        numbers = {"dim": dim, "scale": scale, "bias": bias, "flops_per_pair": 0.0}  # others have paid
        filled = joined(
            *(run, joining, sum(source.rows for source in usable)),
            lambda filled: embeddings_json(filled.told, {**facts, "dtype": dtype, **numbers}),
        )
        num_pairs = 0 if joining.pairs is None else len(joining.pairs)
        return EmbeddingImport(
            filled=filled,
            model=named,
            fingerprint=mark,
            dim=dim,
            status=import_status(filled, num_pairs),
        )


def _otherwise(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    differing = next((name for name in now if found.get(name) != now[name]), None)
    if differing is None:
        return None
    remedy = "name another folder, or delete this one to import again"
    if differing == JOINED:
        return f"{OTHER_JOIN}; {remedy}"
    had = found.get(differing, "that is not known")
    return f"was made with {differing} {had}, this run has {now[differing]}; {remedy}"


IMPORT_EMBEDDINGS = import_stage("embeddings", _otherwise)


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

    def write(self, source: ParquetSource, parts: Sequence[Part], rows_a_part: int) -> Iterator[Made]:
        """Write some parts of a file, in their order."""
        naming = self._joining.namings[source.number]
        by_start = {part.rows.start: part for part in parts}
        wanted = frozenset(by_start)
        image, text = (read_blocks(array, rows_a_part, wanted) for array in self._found[source.number])
        tables = read_rows(source.path, naming.columns, rows_a_part, wanted)
        for (start, table), (_, image_nD), (_, text_nD) in zip(tables, image, text, strict=True):
            yield self._write(source.path, by_start[start], table, naming, image_nD, text_nD)

    def _write(
        self,
        path: str,
        part: Part,
        table: pa.Table,
        naming: Naming,
        image_nD: npt.NDArray[np.floating],
        text_nD: npt.NDArray[np.floating],
    ) -> Made:
        verdicts = Verdicts(table.num_rows)
        named = name_rows(table, naming, self._joining.pairs, path, verdicts)
        refuse_repeats(named, part.rows.start, verdicts)
        units = []
        for what, vectors_nD in (("image", image_nD), ("text", text_nD)):
            unit_nD, finite, length_n = _unit(vectors_nD)
            verdicts.refuse(~finite, f"the {what} vector is not finite")
            verdicts.refuse(finite & (length_n == 0), f"the {what} vector has length 0")
            units.append(unit_nD)
        kept = np.flatnonzero(verdicts.kept)
        stored = np.stack([_packed(unit_nD[kept], self._dtype) for unit_nD in units], axis=1)
        write_vectors(part.path, stored)
        rejects = verdicts.quarantine(named.table, named.known, path, part.rows.start, IMPORT_EMBEDDINGS.name)
        return write_made(part, named.table.take(pa.array(kept)), rejects, IMPORT_EMBEDDINGS)


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
