"""Embeddings that others computed, into a folder that `open_embeddings` takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.data.writer import write_json
from thresher.embeddings.numbers import check_dtype
from thresher.embeddings.parts import SCHEMA, VERSION
from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.importers.embedding_parts import IMPORT_EMBEDDINGS, EmbeddingWriter
from thresher.importers.joining import JOINED, join, joined
from thresher.importers.layouts import VECTORS, files_of, layouts_of, one_dim, vectors_of
from thresher.importers.pieces import Filled, Progress, check_some_usable, fill, look_at_all
from thresher.importers.status import status_of

ROWS_A_PART = 16_384

CLIP_SCALE = 100.0
"""Factor of the cosines in the loss of OpenAI's models, its upper bound, which LAION's reach as well."""

PRECISION = "imported"


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
        filled = fill(
            folder,
            paths,
            (usable, refused),
            EmbeddingWriter(found, joining, dtype).make,
            stage=IMPORT_EMBEDDINGS,
            made_by={**made_by, JOINED: joining.mark},
            rows_a_part=ROWS_A_PART,
            progress=progress,
        )
        filled = joined(filled, folder, joining, IMPORT_EMBEDDINGS)
        facts = {"model": model, "pretrained": pretrained, "fingerprint": mark, "precision": PRECISION}
        numbers = {"dim": dim, "scale": scale, "bias": bias}
        content = _content(filled, {**facts, "dtype": dtype, **numbers})
        write_json(folder / IMPORT_EMBEDDINGS.summary_file, content)
        num_pairs = 0 if joining.pairs is None else len(joining.pairs)
        return EmbeddingImport(
            filled=filled,
            model=named,
            fingerprint=mark,
            dim=dim,
            status=status_of(filled, num_pairs, "embeddings"),
        )


def _content(filled: Filled, facts: Mapping[str, object]) -> dict[str, Any]:
    """The content of `embeddings.json`: nothing in it depends on when or how often the run was stopped."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        **facts,
        "flops_per_pair": 0.0,  # others have paid for them
        "shards": filled.files,
        "counts": {"pairs": filled.pairs, "quarantined": filled.quarantined},
        "quarantine": dict(filled.quarantine),
        "unreadable": [{"shard": name, "reason": reason} for name, reason in filled.unread.items()],
    }
