"""What an output tar is made of: members with plain headers and the places of their bytes.

Headers have no owner and no time, so that the same pairs give the same bytes everywhere. A plan is small and
stands alone, so that a process that has no index can write the tar.
"""

import tarfile
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = tarfile.BLOCKSIZE

MOST_LETTERS = 100
"""Bytes of a name in a header of one block; what is longer takes further blocks."""

MOST_BYTES = 8**11
"""From this size on a member has its size in another form."""

_SIZE = slice(124, 135)
_CHECKSUM = slice(148, 154)

Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.bytes_]


def header(name: bytes, size: int) -> bytes:
    """The header of one member, as the standard library makes it: a block, more for a long name."""
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def headers(names: npt.NDArray[np.bytes_], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """What `header` gives for members whose names and sizes are short: uint8 [members, 512]."""
    letters = names.astype(f"S{MOST_LETTERS}").view(np.uint8).reshape(-1, MOST_LETTERS)
    digits = _octal(sizes, 11)
    blocks = np.empty((len(names), BLOCK), dtype=np.uint8)
    blocks[:] = _TEMPLATE
    blocks[:, :MOST_LETTERS] = letters
    blocks[:, _SIZE] = digits
    sums = _TEMPLATE_SUM + letters.sum(axis=1, dtype=np.int64) + digits.sum(axis=1, dtype=np.int64)
    blocks[:, _CHECKSUM] = _octal(sums, 6)
    return blocks


def _octal(numbers: npt.NDArray[np.int64], digits: int) -> npt.NDArray[np.uint8]:
    shifts = np.arange(3 * (digits - 1), -1, -3)
    return ((numbers[:, None] >> shifts & 7) + ord("0")).astype(np.uint8)


def _template() -> npt.NDArray[np.uint8]:
    """A header with name, size and the digits of the checksum set to zero bytes."""
    block = np.frombuffer(header(b"", 0), dtype=np.uint8).copy()
    block[_SIZE] = 0
    block[_CHECKSUM] = 0
    return block


_TEMPLATE = _template()
_TEMPLATE_SUM = int(_TEMPLATE.sum()) + 7 * ord(" ")  # the checksum itself counts as spaces


@dataclass(frozen=True, slots=True)
class TarPlan:
    """The members of one tar in order, each with an entry in the five arrays.

    `file` is a place in `files`, and `offset` and `length` the bytes there (length -1: the image in row
    `offset` of a table); or -1 for a member whose content is `made[offset]`. `pair` is a place in `stems`,
    the names up to the dot, and `ext` one in `exts`.
    """

    stems: Names
    exts: tuple[str, ...]
    files: tuple[str, ...]
    made: tuple[bytes, ...]
    pair: Ints
    ext: Ints
    file: Ints
    offset: Ints
    length: Ints

    def names(self, members: slice) -> Names:
        """Names of some members as they stand in the tar."""
        ends = np.array([f".{ext}".encode("utf-8", "surrogateescape") for ext in self.exts], dtype=np.bytes_)
        return np.strings.add(self.stems[self.pair[members]], ends[self.ext[members]])
