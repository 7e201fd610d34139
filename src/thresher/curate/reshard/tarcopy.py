"""Writing a tar from its plan: bytes go from file to file, nothing is decoded or encoded.

Some hundred pairs are put together in memory at a time. Where members lie in a source as they will lie in
the output (a pair, or neighbours), they are read at once with the headers and the padding between them, over
which the new ones are then written.

A plan lists members with plain headers and the places of their bytes. Headers have no owner and no time, so
that the same pairs give the same bytes everywhere. A plan is small and stands alone, so that a process that
has no index can write the tar.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thresher.data.files.atomic import atomic_path
from thresher.data.files.location import Handles, is_remote, read_ranges
from thresher.errors import InputError

if TYPE_CHECKING:
    from thresher.data.table import RowImages

RECORD = tarfile.RECORDSIZE

Bytes = npt.NDArray[np.uint8]

_MEMBERS_AT_ONCE = 768
_BYTES_AT_ONCE = 16 * 2**20
_TABLE_IMAGE = 2**18  # bytes that an image in a table is taken to have, before it is read
_WRITE_BEHIND = 8 * 2**20

BLOCK = tarfile.BLOCKSIZE

MOST_LETTERS = 100
"""Bytes of a name in a header of one block; what is longer takes further blocks."""

MOST_BYTES = 8**11
"""From this size on a member has its size in another form."""

_SIZE = slice(124, 135)
_CHECKSUM = slice(148, 154)

Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.bytes_]


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


@dataclass(frozen=True, slots=True)
class TarTask:
    """A tar to be written: its name, where, and what of."""

    name: str
    path: str
    plan: TarPlan


def num_bytes(plan: TarPlan) -> int | None:
    """Size of the tar of a plan; None where only reading would tell (rows of a table)."""
    if (plan.length < 0).any():
        return None
    position = int((_heads(plan, slice(None), plan.length)[1] + _padded(plan.length)).sum())
    return position + len(_end(position))


def tar_writer(settings: dict[str, str]) -> "TarWriter":
    """What a worker is made of; there is nothing to set."""
    del settings
    return TarWriter()


class TarWriter:
    """Writes tars, with the sources held open from one to the next."""

    def __init__(self) -> None:
        self._handles = Handles()
        self._memory = np.empty(0, dtype=np.uint8)

    def __call__(self, task: TarTask) -> int:
        """Write the tar under a temporary name and rename it; the number of its bytes.

        Raises:
            InputError: a source is gone or shorter than when it was indexed.
        """
        with atomic_path(task.path) as temporary, temporary.open("wb") as file:
            begun = 0
            for piece in self._pieces(task.plan):
                file.write(piece.data)
                if file.tell() - begun >= _WRITE_BEHIND:
                    # the disk writes what the file got, while more is put together
                    file.flush()
                    os.posix_fadvise(file.fileno(), begun, file.tell() - begun, os.POSIX_FADV_DONTNEED)
                    begun = file.tell()
            file.write(_end(file.tell()))
            return file.tell()

    def _pieces(self, plan: TarPlan) -> Iterator[Bytes]:
        """Headers and padded contents of all members, in order."""
        start = 0
        while start < len(plan.length):
            length = plan.length[start : start + _MEMBERS_AT_ONCE]
            filled = np.cumsum(np.where(length < 0, _TABLE_IMAGE, length))
            stop = start + max(1, int(np.searchsorted(filled, _BYTES_AT_ONCE)))
            yield self._piece(plan, slice(start, stop))
            start = stop

    def _piece(self, plan: TarPlan, members: slice) -> Bytes:
        file, offset, length = plan.file[members], plan.offset[members], plan.length[members].copy()
        copied = (file >= 0) & (length >= 0)
        made = np.flatnonzero(~copied).tolist()
        contents = {place: self._content(plan, members.start + place) for place in made}
        for place, content in contents.items():
            length[place] = len(content)
        names, heads = _heads(plan, members, length)
        ends = np.cumsum(heads + _padded(length))
        data = ends - _padded(length)
        piece = self._space(int(ends[-1]))
        for place, content in contents.items():
            piece[data[place] : data[place] + len(content)] = np.frombuffer(content, np.uint8)
        far: dict[str, list[tuple[int, Bytes]]] = {}
        for first, last in _runs(np.flatnonzero(copied), file, offset - data):
            path, start = plan.files[file[first]], int(offset[first])
            target = piece[data[first] : data[last] + length[last]]
            if is_remote(path):
                far.setdefault(path, []).append((start, target))
            else:
                self._read(path, start, target)
        for path, reads in far.items():
            _read_remote(path, reads)
        _stamp(piece.reshape(-1, BLOCK), names, heads, data, length)
        return piece

    @cached_property
    def _tables(self) -> "RowImages":
        from thresher.data.table import RowImages  # pyarrow takes longer to load than a tar to be written

        return RowImages()

    def _space(self, size: int) -> Bytes:
        """The same memory again and again, which stays in the cache of the processor."""
        if len(self._memory) < size:
            self._memory = np.empty(size * 5 // 4, dtype=np.uint8)
        return self._memory[:size]

    def _read(self, path: str, offset: int, target: Bytes) -> None:
        try:
            count = self._handles.read_into(path, offset, target.data)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise InputError(f"{path} cannot be read any more ({error.strerror}); index it again") from error
        if count < len(target):
            raise InputError(f"{path} is shorter than when it was indexed; index it again")

    def _content(self, plan: TarPlan, member: int) -> bytes:
        """What is not copied from bytes of a file: made files, and images in rows of tables."""
        if plan.file[member] < 0:
            return plan.made[int(plan.offset[member])]
        path = plan.files[plan.file[member]]
        try:
            image: bytes = self._tables.read(path, int(plan.offset[member]))
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise InputError(f"{path} cannot be read any more ({error.strerror}); index it again") from error
        return image


def _read_remote(path: str, reads: list[tuple[int, Bytes]]) -> None:
    found = read_ranges(path, [(offset, len(target)) for offset, target in reads])
    for (_, target), data in zip(reads, found, strict=True):
        if len(data) < len(target):
            raise InputError(f"{path} is shorter than when it was indexed; index it again")
        target[:] = np.frombuffer(data, np.uint8)


def _heads(plan: TarPlan, members: slice, length: Ints) -> tuple[Names, Ints]:
    """Names of some members with these lengths, and the sizes of their headers."""
    names = plan.names(members)
    heads = np.full(len(names), BLOCK)
    for place in np.flatnonzero((length >= MOST_BYTES) | (np.strings.str_len(names) > MOST_LETTERS)).tolist():
        heads[place] = len(header(bytes(names[place]), int(length[place])))
    return names, heads


def _runs(copied: Ints, file: Ints, shift: Ints) -> list[tuple[int, int]]:
    """First and last member of what can be read at once: neighbours of one file, by the same way apart."""
    if not len(copied):
        return []
    new = np.ones(len(copied), dtype=bool)
    new[1:] = (np.diff(copied) > 1) | (np.diff(file[copied]) != 0) | (np.diff(shift[copied]) != 0)
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(copied)) - 1
    return list(zip(copied[first].tolist(), copied[last].tolist(), strict=True))


def _stamp(blocks: Bytes, names: Names, heads: Ints, data: Ints, length: Ints) -> None:
    """Write the headers of members over what lies before their data, and zeros over what lies behind it."""
    plain = heads == BLOCK
    blocks[data[plain] // BLOCK - 1] = headers(names[plain], length[plain])
    for place in np.flatnonzero(~plain).tolist():
        block = np.frombuffer(header(bytes(names[place]), int(length[place])), np.uint8).reshape(-1, BLOCK)
        blocks[int(data[place]) // BLOCK - len(block) : int(data[place]) // BLOCK] = block
    behind = (data + length).tolist()
    flat = blocks.reshape(-1)
    for start, end in zip(behind, (data + _padded(length)).tolist(), strict=True):
        flat[start:end] = 0


def _padded(length: Ints) -> Ints:
    return -(-length // BLOCK) * BLOCK


def _end(position: int) -> bytes:
    """The end mark after `position` bytes: two empty blocks, and more up to a full record."""
    return bytes(2 * BLOCK + -(position + 2 * BLOCK) % RECORD)


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


_TEMPLATE = np.frombuffer(header(b"", 0), dtype=np.uint8).copy()
_TEMPLATE[_SIZE] = 0
_TEMPLATE[_CHECKSUM] = 0
"""A header with name, size and the digits of the checksum set to zero bytes."""
_TEMPLATE_SUM = int(_TEMPLATE.sum()) + 7 * ord(" ")  # the checksum itself counts as spaces
