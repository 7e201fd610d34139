"""DataComp's subset file: uids as two unsigned 64-bit numbers each, sorted, each as often as it is drawn."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.index import uid_bytes
from thresher.data.writer import atomic_path
from thresher.errors import InputError

UID_DTYPE = np.dtype("<u8,<u8")


def uid_words(uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The high and the low 64 bits of each uid, uint64 [n, 2].

    >>> uid_words(["00000000000000010000000000000002"]).tolist()
    [[1, 2]]
    """
    return uid_bytes(uids).view(">u8").reshape(-1, 2).astype(np.uint64)


def write_npy(path: Path, uids: pa.Array | pa.ChunkedArray, repeats: npt.NDArray[np.int64]) -> None:
    """Write each uid `repeats` times: one-dimensional, dtype `u8,u8` little-endian, sorted."""
    words = uid_words(uids)
    order = np.lexsort((words[:, 1], words[:, 0]))
    drawn = np.repeat(words[order], repeats[order], axis=0)
    array = np.empty(len(drawn), dtype=UID_DTYPE)
    array["f0"], array["f1"] = drawn[:, 0], drawn[:, 1]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_npy_subset(path: str | Path) -> pa.Table:
    """The uids of a subset file, sorted, each once, and how often it is drawn: columns `uid`, `repeats`.

    Raises:
        InputError: the file is absent or has another dtype or shape.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a .npy file that can be read: {error}") from error
    if array.ndim != 1 or array.dtype.names != ("f0", "f1") or array.dtype != UID_DTYPE:
        raise InputError(
            f"{path} has dtype {array.dtype} and shape {array.shape}; a subset is one-dimensional u8,u8"
        )
    words = np.stack([array["f0"], array["f1"]], axis=1)
    words = words[np.lexsort((words[:, 1], words[:, 0]))]
    new = np.ones(len(words), dtype=bool)
    new[1:] = (words[1:] != words[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    uids = [f"{high:016x}{low:016x}" for high, low in words[starts].tolist()]
    repeats = np.diff(np.append(starts, len(words)))
    return pa.table({"uid": pa.array(uids, pa.string()), "repeats": pa.array(repeats, pa.int64())})
