"""Imports embeddings that others computed into a folder that `open_embeddings` reads; vectors get length 1.

Shapes: n pairs, D embedding dimensions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.scores.embeddings.stored import check_dtype, embeddings_json, pack, write_vectors
from thresher.scores.imported.joining import join
from thresher.scores.imported.layouts import VECTORS, files_of, layouts_of, one_dim, vectors_of
from thresher.scores.imported.pair_ids import Naming, Rows
from thresher.scores.imported.parquet_files import ParquetSource, look_at_all, read_rows
from thresher.scores.imported.row_chunks import (
    JOINED,
    Filled,
    Payload,
    Progress,
    fill_row_chunks,
    filled,
    import_stage,
)
from thresher.scores.imported.vectors import Vectors, read_blocks

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
        seen, found = vectors_of(look_at_all(paths, [files_of(layout) for layout in layouts]), layouts)
        seen.check()
        dim = one_dim(found)
        joining = join(seen.usable, folder, uid=uid, key=key, shards=shards)
        made_by = {"model": mark, "precision": PRECISION, "dtype": dtype, "dimensions": str(dim)}
        run = fill_row_chunks(folder, seen, joining, _payload(found, made_by), progress)
        facts = {"model": model, "pretrained": pretrained, "fingerprint": mark, "precision": PRECISION}
        numbers = {"dim": dim, "scale": scale, "bias": bias, "flops_per_pair": 0.0}  # others have paid
        about = {**facts, "dtype": dtype, **numbers}
        now = filled(run, seen, joining, lambda now: embeddings_json(now.told, about))
        return EmbeddingImport(filled=now, model=named, fingerprint=mark, dim=dim, status=now.status)


def _other_vectors(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    differing = next((name for name in now if name != JOINED and found.get(name) != now[name]), None)
    if differing is None:
        return None
    had = found.get(differing, "that is not known")
    return f"was made with {differing} {had}, this run has {now[differing]}"


IMPORT_EMBEDDINGS = import_stage("embeddings", _other_vectors)


def _payload(found: Mapping[int, tuple[Vectors, Vectors]], made_by: Mapping[str, str]) -> Payload:
    """The vectors of rows, which are found by the number of the file."""

    def read(
        source: ParquetSource, naming: Naming, starts: frozenset[int]
    ) -> Iterator[tuple[int, pa.Table, list[npt.NDArray[np.floating]]]]:
        tables = read_rows(source.path, naming.columns, ROWS_A_PART, starts)
        blocks = (read_blocks(array, ROWS_A_PART, starts) for array in found[source.number])
        for (start, table), *vectors in zip(tables, *blocks, strict=True):
            yield start, table, [vectors_nD for _, vectors_nD in vectors]

    def take(part: Path, rows: Rows, vectors: list[npt.NDArray[np.floating]]) -> pa.Table:
        rows.refuse_repeats()
        units = []
        for what, vectors_nD in zip(("image", "text"), vectors, strict=True):
            unit_nD, finite, length_n = _unit(vectors_nD)
            rows.refuse(~finite, f"the {what} vector is not finite")
            rows.refuse(finite & (length_n == 0), f"the {what} vector has length 0")
            units.append(unit_nD)
        packed = [pack(unit_nD[rows.kept].astype(np.float32), made_by["dtype"]) for unit_nD in units]
        write_vectors(part, np.stack(packed, axis=1))
        return rows.pairs

    return Payload(stage=IMPORT_EMBEDDINGS, made_by=made_by, rows_a_part=ROWS_A_PART, read=read, take=take)


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
