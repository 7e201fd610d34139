"""Headers of tar members without owner and time, so that the same pairs give the same bytes everywhere."""

import tarfile

import numpy as np
import numpy.typing as npt

BLOCK = tarfile.BLOCKSIZE

MOST_LETTERS = 100
"""Bytes of a name in a header of one block; what is longer takes further blocks."""

MOST_BYTES = 8**11
"""From this size on a member has its size in another form."""

_SIZE = slice(124, 135)
_CHECKSUM = slice(148, 154)


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
