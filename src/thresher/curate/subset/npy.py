"""DataComp's subset file: uids as two unsigned 64-bit numbers each, sorted, each as often as it is drawn."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.atomic import atomic_path
from thresher.data.files.npy import BadArray, load_array
from thresher.data.files.spill import Spill, bucket_bits
from thresher.data.uids import uid_texts, uid_words
from thresher.errors import InputError

UID_DTYPE = np.dtype("<u8,<u8")

_DRAW = np.dtype([("high", "<u8"), ("low", "<u8"), ("repeats", "<i8")])


def write_npy(path: str | Path, uids: pa.Array | pa.ChunkedArray, repeats: npt.NDArray[np.int64]) -> None:
    """Write each uid `repeats` times: one-dimensional, dtype `u8,u8` little-endian, sorted."""
    write_draws(path, [(uid_words(uids), repeats)], len(repeats))


def write_draws(
    path: str | Path, draws: Iterable[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]], num_uids: int
) -> None:
    """Write uids (words, uint64 [n, 2]) with their repeats, which come in pieces, as `write_npy` does.

    They are sorted bucket by bucket, by their first bits, on disk: memory does not grow with `num_uids`,
    which is about how many come.
    """
    bits = bucket_bits(num_uids)
    with atomic_path(path) as temporary, Spill(temporary.parent, _DRAW, 2**bits) as spill:
        total = 0
        for words, repeats in draws:
            rows = np.empty(len(words), _DRAW)
            rows["high"], rows["low"], rows["repeats"] = words[:, 0], words[:, 1], repeats
            spill.add(rows["high"] >> np.uint64(64 - bits) if bits else np.zeros(len(rows), np.uint64), rows)
            total += int(repeats.sum())
        with temporary.open("wb") as file:
            descr = np.lib.format.dtype_to_descr(UID_DTYPE)
            header = {"descr": descr, "fortran_order": False, "shape": (total,)}
            np.lib.format.write_array_header_1_0(file, header)
            for number in range(spill.num_buckets):
                rows = _sorted(spill.bucket(number))
                array = np.empty(len(rows), dtype=UID_DTYPE)
                array["f0"], array["f1"] = rows["high"], rows["low"]
                file.write(np.repeat(array, rows["repeats"]).data)


def _sorted(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    order = np.argsort(rows["high"])
    high = rows["high"][order]
    if (high[1:] == high[:-1]).any():
        order = np.lexsort((rows["low"], rows["high"]))
    return rows[order]


def read_npy_subset(path: str | Path) -> pa.Table:
    """The uids of a subset file, sorted, each once, and how often it is drawn: columns `uid`, `repeats`.

    Raises:
        InputError: the file is absent or has another dtype or shape.
    """
    try:
        array = load_array(path)
    except BadArray as error:
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
    repeats = np.diff(np.append(starts, len(words)))
    return pa.table({"uid": uid_texts(words[starts]), "repeats": pa.array(repeats, pa.int64())})
