"""Uids as numbers: 32 hexadecimal digits are 16 bytes, whose order is that of the text."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.errors import InputError

DIGITS = 32

_ONE_CHUNK = 2**24
"""Texts in a chunk of an Arrow array, which holds no more than 2^31 letters."""


def uid_bytes(uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    """Uids as 16 bytes each, dtype `S16`, whose order is that of the hexadecimal text.

    Raises:
        InputError: something is not 32 hexadecimal digits; the text shows it.
    """
    column = uids if isinstance(uids, pa.Array | pa.ChunkedArray) else pa.array(list(uids), pa.string())
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [_bytes_of(chunk) for chunk in chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.empty(0, dtype="S16")


def uid_words(uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The high and the low 64 bits of each uid, uint64 [n, 2].

    >>> uid_words(["00000000000000010000000000000002"]).tolist()
    [[1, 2]]
    """
    return uid_bytes(uids).view(">u8").reshape(-1, 2).astype(np.uint64)


def uid_order(uids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.int64]:
    """Places that sort uids (`uid_bytes`), equal ones in the order in which they stand.

    >>> uid_order(uid_bytes(["f" * 32, "0" * 32, "f" * 32])).tolist()
    [1, 0, 2]
    """
    high, low = np.ascontiguousarray(uids).view(">u8").reshape(-1, 2).astype(np.uint64).T
    order = np.argsort(high)  # several times as fast as sorting bytes
    ordered = high[order]
    return np.lexsort((low, high)) if (ordered[1:] == ordered[:-1]).any() else order


class UidRows:
    """Finds rows by their uids (`uid_bytes`), of equal uids the first; holds 24 bytes a row."""

    def __init__(self, uids: npt.NDArray[np.bytes_], rows: npt.NDArray[np.int64] | None = None) -> None:
        order = uid_order(uids)
        self._rising = uids[order]
        self._rows = order if rows is None else rows[order]

    def __len__(self) -> int:
        return len(self._rising)

    def find(self, uids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.int64]:
        """The row of each uid, int64 [n]; -1 where there is none."""
        if not len(self):
            return np.full(len(uids), -1)
        near = np.minimum(np.searchsorted(self._rising, uids), len(self) - 1)
        return np.where(self._rising[near] == uids, self._rows[near], -1)

    def uids(self) -> npt.NDArray[np.bytes_]:
        """The uid of each row, where the rows are those from 0 on."""
        uids = np.empty_like(self._rising)
        uids[self._rows] = self._rising
        return uids

    def rows(self, uids: Iterable[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Rows int64 [n] of uids, in their order; a uid may be asked for several times.

        Raises:
            InputError: a uid is not there (the text names the first) or is no uid.
        """
        wanted = uid_bytes(uids)
        rows = self.find(wanted)
        absent = wanted[rows < 0]
        if len(absent):
            raise InputError(
                f"{len(absent)} of {len(wanted)} uids are not among the {len(self)} pairs of the shards, the "
                f"first is {absent[0].ljust(16, bytes(1)).hex()}; give the shards that the uids come from"
            )
        return rows


def uid_texts(uids: npt.NDArray[np.uint64] | npt.NDArray[np.bytes_]) -> pa.ChunkedArray:
    """The texts of uids that are given as two words or 16 bytes each; undoes `uid_words` and `uid_bytes`.

    >>> uid_texts(uid_words(["00000000000000010000000000000002"])).to_pylist()
    ['00000000000000010000000000000002']
    """
    pieces = (uids[start : start + _ONE_CHUNK] for start in range(0, len(uids), _ONE_CHUNK))
    return pa.chunked_array([_texts_of(piece) for piece in pieces], pa.string())


def scrambled(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every bit of the result depends on every bit of the number, one to one (as splitmix64 ends)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _texts_of(uids: npt.NDArray[np.uint64] | npt.NDArray[np.bytes_]) -> pa.Array:
    whole = np.ascontiguousarray(uids, dtype=">u8" if uids.dtype.kind == "u" else "S16")
    digits = _TEXTS[whole.view(np.uint8).reshape(-1)]
    offsets = np.arange(len(uids) + 1, dtype=np.int32) * DIGITS
    return pa.StringArray.from_buffers(len(uids), pa.py_buffer(offsets), pa.py_buffer(digits))


def _bytes_of(chunk: pa.Array) -> npt.NDArray[np.bytes_]:
    wrong = np.zeros(len(chunk), dtype=bool)
    if chunk.null_count or not pa.types.is_string(chunk.type):
        chunk = chunk.cast(pa.string())
        wrong = chunk.is_null().to_numpy(zero_copy_only=False)
    if not wrong.any():
        _, ends, letters = chunk.buffers()
        offsets = np.frombuffer(ends, np.int32, len(chunk) + 1, chunk.offset * 4)
        wrong = np.diff(offsets) != DIGITS
        if not wrong.any():
            digits = np.frombuffer(letters, np.uint8)[offsets[0] : offsets[-1]]
            values = _VALUES[digits.view("<u2")].reshape(-1, 16)
            wrong = (values > 255).any(axis=1)
            if not wrong.any():
                found: npt.NDArray[np.bytes_] = values.astype(np.uint8).view("S16").reshape(-1)
                return found
    shown = pc.fill_null(chunk, "")[int(np.argmax(wrong))].as_py()
    raise InputError(f"{str(shown)[:40]!r} is not a uid (32 hexadecimal digits)")


def _value_of_two_digits() -> npt.NDArray[np.uint16]:
    """Value of two hexadecimal digits, by the number that their two bytes make; 256 where they are none."""
    values = np.full(2**16, 256, dtype=np.uint16)
    for first, high in _digits():
        for second, low in _digits():
            values[ord(first) + 256 * ord(second)] = 16 * high + low
    return values


def _digits() -> list[tuple[str, int]]:
    return [(letter, digit) for digit in range(16) for letter in {f"{digit:x}", f"{digit:X}"}]


_VALUES = _value_of_two_digits()
_TEXTS = np.frombuffer("".join(f"{value:02x}" for value in range(256)).encode(), dtype="<u2")
