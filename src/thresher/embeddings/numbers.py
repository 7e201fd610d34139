"""The numbers in which embeddings are stored.

Shapes: n pairs, 2 vectors each (image, then text), D dimensions.
"""

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError

DTYPES: dict[str, np.dtype[np.float16] | np.dtype[np.int8]] = {
    "fp16": np.dtype(np.float16),
    "int8": np.dtype(np.int8),
}
"""Name of a form -> the numpy type of its files."""

INT8_MOST = 127.0


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
