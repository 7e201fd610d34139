"""What an output tar is made of: every member with its name and the place of its bytes.

A plan is small and stands alone, so that a process that has no index can write the tar.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
