"""Lists of uids that must not be used: opt-outs, unsafe pairs, evaluation images."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.npy import BadArray, load_array
from thresher.data.table import column_values
from thresher.errors import InputError

_UID = re.compile(r"[0-9a-f]{32}")


def read_exclude(path: Path | None) -> frozenset[str]:
    """The uids of an exclude list, lower case; an empty set for None.

    A text file has one uid a line (blank lines and lines that begin with `#` do not count), `.npy` holds the
    dtype `u8,u8` of DataComp's subsets, `.parquet` has a column `uid`.

    Raises:
        InputError: the file is absent, or something in it is no uid (the text names line or row).
    """
    if path is None:
        return frozenset()
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no exclude list {path}; check the path")
    if path.suffix == ".npy":
        return _from_npy(path)
    if path.suffix == ".parquet":
        return _from_parquet(path)
    return _from_text(path)


def _from_text(path: Path) -> frozenset[str]:
    uids: set[str] = set()
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            uid = line.strip().lower()
            if uid and not uid.startswith("#"):
                uids.add(_checked(uid, path, f"line {number}"))
    return frozenset(uids)


def _from_npy(path: Path) -> frozenset[str]:
    try:
        array = load_array(path)
    except BadArray as error:
        raise InputError(f"the exclude list {path} is not a readable .npy file: {error}") from error
    if array.dtype != np.dtype("u8,u8") or array.ndim != 1:
        raise InputError(
            f"the exclude list {path} has dtype {array.dtype}; it must be one-dimensional 'u8,u8'"
        )
    return frozenset(f"{high:016x}{low:016x}" for high, low in array.tolist())


def _from_parquet(path: Path) -> frozenset[str]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            column = column_values(file.read(columns=["uid"])["uid"]) if "uid" in names else None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the exclude list {path} is not a readable Parquet file: {reason}") from error
    if column is None:
        raise InputError(f"the exclude list {path} has no column 'uid'; its columns are {', '.join(names)}")
    return frozenset(_checked(str(uid).lower(), path, f"row {row}") for row, uid in enumerate(column))


def _checked(uid: str, path: Path, place: str) -> str:
    if not _UID.fullmatch(uid):
        shown = uid if len(uid) <= 40 else uid[:40] + "..."
        raise InputError(
            f"{place} of the exclude list {path} is {shown!r}, not a uid (32 hexadecimal digits)"
        )
    return uid
