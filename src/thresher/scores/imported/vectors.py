"""Vectors in `.npy` files and `.npz` archives, read block by block, without unpickling or unpacking.

Shapes: n rows, D dimensions.

Uids as other tools store them: text in either case, or sixteen bytes.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.files.location import open_binary
from thresher.data.files.npy import BadArray, read_header
from thresher.data.uids import DIGITS, uid_texts
from thresher.scores.imported.parquet_files import BadFile

LARGEST_DIM = 65_536
KINDS = (np.float16, np.float32, np.float64)
_MEMBER_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
)

_UID = rf"\A[0-9a-fA-F]{{{DIGITS}}}\z"


@dataclass(frozen=True, slots=True)
class Vectors:
    """An array [n, D] of floating-point numbers.

    Attributes:
        path: The file.
        name: Name of the array in an `.npz`; empty for an `.npy`.
        rows: n.
        dim: D.
        dtype: Of the file.
    """

    path: str
    name: str
    rows: int
    dim: int
    dtype: np.dtype[np.floating]

    @property
    def shown(self) -> str:
        """Its name in sentences."""
        return f"{self.name} of {self.path}" if self.name else self.path


def look_at_vectors(path: str, name: str = "") -> Vectors:
    """What the header of an array says.

    Raises:
        BadFile: there is none, it is damaged, or it holds something else than rows of numbers.
    """
    with _opened(path, name) as file:
        return _read_header(file, path, name)


def read_blocks(
    vectors: Vectors, rows_at_once: int, wanted: frozenset[int]
) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
    """Rows `start` to `start + rows_at_once` for each start in `wanted`, in rising order.

    Raises:
        BadFile: the file ends early, or changed.
    """
    row_bytes = vectors.dim * vectors.dtype.itemsize
    with _opened(vectors.path, vectors.name) as file:
        if _read_header(file, vectors.path, vectors.name) != vectors:
            raise BadFile(f"{vectors.shown} changed while it was read")
        first = file.tell()
        for start in sorted(wanted):
            count = min(rows_at_once, vectors.rows - start)
            file.seek(first + start * row_bytes)
            data = file.read(count * row_bytes)
            if len(data) < count * row_bytes:
                raise BadFile(f"{vectors.shown} ends before its row {start + count} of {vectors.rows}")
            yield start, np.frombuffer(data, dtype=vectors.dtype).reshape(count, vectors.dim)


@contextmanager
def _opened(path: str, name: str) -> Iterator[IO[bytes]]:
    try:
        with open_binary(path) as file:
            if not name:
                yield file
                return
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                if f"{name}.npy" not in names:
                    known = ", ".join(known.removesuffix(".npy") for known in names) or "none"
                    raise BadFile(f"{path} has no array {name!r}; its arrays are {known}")
                with archive.open(f"{name}.npy") as member:
                    yield member
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
    except _MEMBER_ERRORS as error:
        raise BadFile(f"{path} is damaged ({error})") from error


def _read_header(file: IO[bytes], path: str, name: str) -> Vectors:
    shown = f"{name} of {path}" if name else path
    try:
        shape, by_column, dtype = read_header(file)
    except BadArray as error:
        raise BadFile(f"{shown} is no array that can be read ({error})") from error
    if dtype.hasobject:
        raise BadFile(f"{shown} holds Python objects (a pickle), which are never read; save it as float16")
    if dtype.newbyteorder("=") not in KINDS or len(shape) != 2:
        raise BadFile(f"{shown} is {dtype} of shape {shape}; vectors are float16 or float32, one a row")
    if by_column:
        raise BadFile(f"{shown} is stored column by column; save np.ascontiguousarray of it")
    if not 0 < shape[1] <= LARGEST_DIM:
        raise BadFile(f"{shown} has {shape[1]} numbers a row; from 1 to {LARGEST_DIM} are read")
    return Vectors(path, name, int(shape[0]), int(shape[1]), dtype)


def read_uids(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """The uids of a column in lower case, and which rows have one; the others hold 32 zeros.

    >>> uids, known = read_uids(pa.chunked_array([["0123456789ABCDEF" * 2, "7", None]]))
    >>> uids[0].as_py(), known.tolist()
    ('0123456789abcdef0123456789abcdef', [True, False, False])
    """
    values = raw(column)
    known = pc.fill_null(pc.match_substring_regex(values, _UID), False)
    uids = pc.ascii_lower(pc.if_else(known, values, b"0" * DIGITS).cast(pa.large_string())).cast(pa.string())
    if not _is_text(column.type):
        short = pc.fill_null(pc.equal(pc.binary_length(values), DIGITS // 2), False)
        halves = np.frombuffer(b"".join(values.filter(short).to_pylist()), dtype="S16")
        uids = pc.replace_with_mask(uids, short, uid_texts(halves).combine_chunks())
        known = pc.or_(known, short)
    return uids, known.to_numpy(zero_copy_only=False)


def raw(column: pa.ChunkedArray) -> pa.Array:
    """The bytes of a column of text or bytes, whatever its form; they need not be UTF-8."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.large_binary())


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text or bytes."""
    return _is_text(kind) or bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


def read_text(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Text of a column, empty where it is null, and which rows are valid UTF-8; the others are empty too."""
    values = pc.fill_null(raw(column), b"")
    text = values.cast(pa.large_string(), safe=False)
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        valid = np.array([_is_utf8(value) for value in values.to_pylist()], dtype=np.bool_)
        text = pc.if_else(pa.array(valid), values, b"").cast(pa.large_string())
        return text.cast(pa.string()), valid
    return text.cast(pa.string()), np.ones(len(values), dtype=np.bool_)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
