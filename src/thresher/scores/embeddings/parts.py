"""The files of an embeddings folder.

Each shard has `NNNNN-STEM.npy`, image and text vector of every pair, and `NNNNN-STEM.parquet`, their uids and
what they were made of. The table is written last, so a part that has one is finished.

The numbers in which embeddings are stored.

Shapes: n pairs, 2 vectors each (image, then text), D dimensions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.files.atomic import atomic_path
from thresher.errors import InputError
from thresher.sharded.parts import Stage
from thresher.sharded.summary import FolderSummary

SCHEMA = "thresher.embeddings"
VERSION = 1

DTYPES: dict[str, np.dtype[np.float16] | np.dtype[np.int8]] = {
    "fp16": np.dtype(np.float16),
    "int8": np.dtype(np.int8),
}
"""Name of a form -> the numpy type of its files."""

INT8_MOST = 127.0


def _other_model(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    remedy = "name another folder, or delete this one to embed again"
    if found["model"] != now["model"]:
        return (
            f"was embedded by another model: its fingerprint is {found['model'][:12]}, this run's is "
            f"{now['model'][:12]} (weights or preprocessing differ); give the same model, {remedy}"
        )
    for name in ("precision", "dtype"):
        if found[name] != now[name]:
            return (
                f"was embedded with {name} {found[name]}, this run has {now[name]}; "
                f"give --{name} {found[name]}, {remedy}"
            )
    return None


EMBED = Stage(
    name="embed",
    done="embedded",
    noun="embeddings",
    differs=_other_model,
    exclude_remedy="give the same list, or name another folder",
)


def vectors_path(part: Path) -> Path:
    """Path of the vectors that belong to the table of a part."""
    return part.with_suffix(".npy")


def write_vectors(part: Path, vectors_n2D: npt.NDArray[Any]) -> None:
    """Write vectors [n, 2, D] (image, then text) beside a part whose table is written next."""
    with atomic_path(vectors_path(part)) as temporary, temporary.open("wb") as file:
        np.save(file, vectors_n2D, allow_pickle=False)


def embeddings_json(summary: FolderSummary, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `embeddings.json`, given what it says of the model."""
    return {"schema": SCHEMA, "version": VERSION, **facts, **summary.content()}


def check_dtype(name: str) -> None:
    """Refuse a form that is not in `DTYPES`."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is unknown; take one of {', '.join(DTYPES)}")


def pack(vectors: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[np.float16] | npt.NDArray[np.int8]:
    """Vectors [..., D] of length 1 in the form called `dtype`, a key of `DTYPES`.

    int8 stretches every vector so that its largest number is 127. The factor is not kept: it is whatever
    gives the vector the length 1 again.
    """
    if dtype == "fp16":
        return vectors.astype(np.float16)
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return np.rint(vectors / np.where(largest > 0, largest, 1) * INT8_MOST).astype(np.int8)


def unpack(stored: npt.NDArray[np.float16] | npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Float32 vectors [..., D] of length 1 from what `pack` made; a vector of zeros stays one."""
    vectors = stored.astype(np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: npt.NDArray[np.float32] = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return unit
