"""Uids as other tools store them: text in either case, or sixteen bytes."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.uids import DIGITS

_TEXT = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def read_uids(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """The uids of a column in lower case, and which rows have one; the others hold 32 zeros.

    >>> uids, known = read_uids(pa.chunked_array([["0123456789ABCDEF" * 2, "7", None]]))
    >>> uids[0].as_py(), known.tolist()
    ('0123456789abcdef0123456789abcdef', [True, False, False])
    """
    values = raw(column)
    lengths = pc.fill_null(pc.binary_length(values), -1).to_numpy(zero_copy_only=False)
    digits = np.full((len(values), DIGITS), ord("0"), dtype=np.uint8)
    known: npt.NDArray[np.bool_] = lengths == DIGITS
    if known.any():
        given = np.frombuffer(b"".join(values.filter(pa.array(known)).to_pylist()), dtype=np.uint8)
        given = given.reshape(-1, DIGITS)
        lower = np.where((given >= ord("A")) & (given <= ord("F")), given | 0x20, given)
        valid = np.isin(lower, _TEXT).all(axis=1)
        known[known] = valid
        digits[known] = lower[valid]
    short = lengths == DIGITS // 2
    if short.any() and not _is_text(column.type):
        given = np.frombuffer(b"".join(values.filter(pa.array(short)).to_pylist()), dtype=np.uint8)
        halves = np.stack([given >> 4, given & 15], axis=1).reshape(-1, DIGITS)
        digits[short] = _TEXT[halves]
        known |= short
    offsets = np.arange(len(values) + 1, dtype=np.int32) * DIGITS
    buffers = [pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pa.StringArray.from_buffers(len(values), *buffers), known


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
