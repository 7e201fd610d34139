"""Arrays of other people's `.npy` files: never unpickled, and damage is one sentence."""

import zipfile
from os import PathLike
from tokenize import TokenError
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

_MALFORMED = (ValueError, TypeError, LookupError, SyntaxError, OverflowError, MemoryError, TokenError)
"""What numpy raises for a header, which it parses as Python text."""


class BadArray(ValueError):
    """Why a file holds no array that can be read."""


def load_array(path: str | PathLike[str], *, mapped: bool = False) -> npt.NDArray[Any]:
    """The array of an `.npy` file; `mapped` leaves it on disk until it is used.

    Raises:
        BadArray: it is absent, damaged, too large for the memory, or holds Python objects.
    """
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (*_MALFORMED, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise BadArray(_reason(error)) from error
    if not isinstance(array, np.ndarray):
        raise BadArray("it is an archive of several arrays")
    return array


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and dtype of the array that begins at the place of a file.

    Raises:
        BadArray: there is none, or one of a later version of the format.
        Exception: of any type, which reading the file raises.
    """
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(file)
        if version in readers:
            shape, by_column, dtype = readers[version](file)
            return shape, bool(by_column), dtype
    except _MALFORMED as error:
        raise BadArray(_reason(error)) from error
    raise BadArray(f"it is an .npy of version {version}; save it again with np.save")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
