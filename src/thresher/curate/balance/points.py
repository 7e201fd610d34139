"""Points to cluster: unit vectors that are read in blocks, each with its uid.

Shapes: n points, m of them in a block, D dimensions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from thresher.data.uids import scrambled
from thresher.errors import InputError
from thresher.scores.embeddings.stored import StoredEmbeddings

BLOCK_ROWS = 16_384
VECTORS = ("image", "text")
"""The vectors of a pair, by one of which pairs are clustered."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0x94D049BB133111EB)

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Vectors that need not fit into memory.

    Attributes:
        words: High and low 64 bits of each point's uid, uint64 [n, 2]; no uid stands twice.
        dim: D.
    """

    words: Words
    dim: int
    _read: Callable[[Places], Vectors] = field(repr=False)

    @property
    def count(self) -> int:
        """Number n of points."""
        return len(self.words)

    def read(self, places: Places) -> Vectors:
        """Vectors at `places`, float32 [m, D].

        Raises:
            InputError: a number is NaN or infinite; the text names the uid.
        """
        vectors = self._read(places)
        wrong = ~np.isfinite(vectors).all(axis=1)
        if wrong.any():
            high, low = self.words[places[int(np.argmax(wrong))]].tolist()
            raise InputError(
                f"the vector of pair {high:016x}{low:016x} has numbers that are not finite "
                f"({int(wrong.sum())} such pairs in its block); leave the pair out, or embed it again"
            )
        return vectors

    def blocks(self) -> Iterator[tuple[slice, Vectors]]:
        """All points in blocks, as they lie."""
        for start in range(0, self.count, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, self.count)
            yield slice(start, stop), self.read(np.arange(start, stop))


def points_of(stored: StoredEmbeddings, vectors: str = "image") -> Points:
    """The points of an embeddings folder; of a uid that stands in two shards the first is taken.

    Args:
        stored: From `open_embeddings`.
        vectors: Which of a pair's two vectors: `image` or `text`.

    Raises:
        InputError: there is no such kind of vectors, or there are none at all.
    """
    if vectors not in VECTORS:
        raise InputError(f"there are no vectors {vectors!r} of a pair; take one of {', '.join(VECTORS)}")
    if not stored.count:
        raise InputError(f"{stored.folder} holds no embeddings to cluster; embed shards that have pairs")
    uids = stored.uids
    places = np.sort(np.unique(uids, return_index=True)[1]).astype(np.int64)
    read = stored.image if vectors == "image" else stored.text
    return Points(words=_words(uids[places]), dim=stored.dim, _read=lambda at: read(places[at]))


def points_in(vectors_nD: Vectors, uids: npt.NDArray[np.bytes_]) -> Points:
    """Points that lie in memory (or a mapped file); `uids` are 16 bytes each, as of `uid_bytes`.

    Raises:
        InputError: vectors and uids do not belong together, or a uid stands twice.
    """
    if vectors_nD.ndim != 2 or len(vectors_nD) != len(uids):
        raise InputError(
            f"vectors of shape {vectors_nD.shape} do not go with {len(uids)} uids; give one each"
        )
    if len(np.unique(uids)) != len(uids):
        raise InputError(f"{len(uids) - len(np.unique(uids))} uids stand more than once; give each pair once")
    return Points(
        words=_words(uids),
        dim=vectors_nD.shape[1],
        _read=lambda at: np.ascontiguousarray(vectors_nD[at], dtype=np.float32),
    )


def shuffle_keys(words: Words, *salts: int) -> npt.NDArray[np.uint64]:
    """A number for each uid (words uint64 [n, 2]) to sort by: a shuffle that knows nothing of row order.

    Other salts (a seed, the number of a round) give another shuffle.
    """
    keys = scrambled(words[:, 1] + _GOLDEN) ^ words[:, 0]
    for salt in (0, *salts):
        keys = scrambled(keys + np.uint64((salt * int(_MIX_2) + int(_GOLDEN)) % 2**64))
    return keys


def _words(uids: npt.NDArray[np.bytes_]) -> Words:
    return np.ascontiguousarray(uids, dtype="S16").view(">u8").reshape(-1, 2).astype(np.uint64)
