"""Near images: found by their perceptual hashes in nearly linear time, and which of them stay.

The 64 bits are cut into six blocks. Two hashes that differ in at most four bits agree in two whole blocks at
least, so every such pair shares a bucket in one of the fifteen tables, one for each two blocks (as Manku et
al. do for web pages, WWW 2007). A bucket has a key of 21 bits; its members are sorted by their hash
and each is compared with the `WINDOW` after it.

Each item that goes is near one that stays, and better ones are asked first. A group is a star around the
item that stays, not everything that a chain of near pairs connects: a chain may lead from one picture to
quite another one, a star never drops what is unlike all that is kept. Items come best first, so the result
depends on the items alone and not on the order in which they were read.

Shapes: n images or items in the order of rank, e pairs of them, k of them kept, D dimensions.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError

BLOCKS = 6
KEY_BLOCKS = 2
MOST_DISTANCE = BLOCKS - KEY_BLOCKS
"""Largest Hamming distance of which no pair is missed."""

WINDOW = 256
"""Most neighbours that an image is compared with in a bucket: a pool of blank images stays linear."""

COLOUR_DIFFERENCE = 8
"""Most that two thumbnails may differ anywhere, of 255."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

BLOCK = 1024
MANY = 8192


@dataclass(frozen=True, slots=True)
class Edges:
    """Pairs of near images: places `first_e` < `second_e`, and the bits in which they differ."""

    first_e: Ints
    second_e: Ints
    distance_e: Ints

    def __len__(self) -> int:
        return len(self.first_e)


def check_distance(distance: int) -> int:
    """The distance, where the tables can guarantee it.

    Raises:
        InputError: it is negative, or above `MOST_DISTANCE`.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise InputError(
            f"the Hamming distance {distance} is outside 0 to {MOST_DISTANCE} bits of 64; beyond it the "
            "buckets would miss pairs"
        )
    return distance


def near_pairs(
    bits_n: npt.NDArray[np.uint64],
    thumbnail_nT: npt.NDArray[np.uint8],
    *,
    distance: int = MOST_DISTANCE,
    colour: int = COLOUR_DIFFERENCE,
) -> Edges:
    """Every two images whose hashes differ in at most `distance` bits and whose thumbnails are alike.

    Each pair stands once, sorted. Which pairs are found depends on the hashes alone, but for buckets of more
    than `WINDOW` images, where equal hashes keep the order of the input.
    """
    check_distance(distance)
    count = len(bits_n)
    found: list[Ints] = []
    for mask in _masks():
        keys = bits_n & mask
        order = np.lexsort((bits_n, keys))
        for left, right in _neighbours(keys[order]):
            first, second = order[left], order[right]
            close = np.bitwise_count(bits_n[first] ^ bits_n[second]) <= distance
            first, second = first[close], second[close]
            alike = _alike(thumbnail_nT, first, second, colour)
            first, second = first[alike], second[alike]
            found.append(np.minimum(first, second) * count + np.maximum(first, second))
    codes = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    first, second = np.divmod(codes, max(count, 1))
    bits = np.bitwise_count(bits_n[first] ^ bits_n[second]).astype(np.int64)
    return Edges(first, second, bits)


def _masks() -> list[np.uint64]:
    """The bits of the key of each table."""
    cuts = [round(64 * block / BLOCKS) for block in range(BLOCKS + 1)]
    blocks = [((1 << end) - 1) ^ ((1 << start) - 1) for start, end in itertools.pairwise(cuts)]
    return [np.uint64(sum(chosen)) for chosen in itertools.combinations(blocks, KEY_BLOCKS)]


def _neighbours(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[Ints, Ints]]:
    """Places in sorted `keys` that share a key, at distance 1, then 2, ... up to `WINDOW`."""
    left = np.arange(len(keys))
    for step in range(1, WINDOW + 1):
        left = left[left + step < len(keys)]
        left = left[keys[left] == keys[left + step]]  # runs are unbroken, so only these can go on
        if not len(left):
            return
        yield left, left + step


def _alike(
    thumbnail_nT: npt.NDArray[np.uint8], first: Ints, second: Ints, colour: int
) -> npt.NDArray[np.bool_]:
    alike = np.empty(len(first), dtype=bool)
    for start in range(0, len(first), 65_536):
        part = slice(start, start + 65_536)
        one, other = thumbnail_nT[first[part]], thumbnail_nT[second[part]]
        alike[part] = (np.maximum(one, other) - np.minimum(one, other)).max(axis=1) <= colour
    return alike


def group_edges(count: int, edges: Edges) -> tuple[Ints, Ints]:
    """For each of `count` items, best first, the item that it goes for (itself: it stays), and the distance.

    Of several kept items that are near it, an item goes for the nearest, then for the best.

    >>> chain = Edges(np.array([0, 1]), np.array([1, 2]), np.array([3, 3]))
    >>> group_edges(3, chain)[0].tolist()  # 2 is near 1, which goes, and not near 0
    [0, 0, 2]
    """
    keeper = np.arange(count)
    distance = np.zeros(count, dtype=np.int64)
    order = np.lexsort((edges.first_e, edges.distance_e, edges.second_e))
    columns = (edges.first_e[order], edges.second_e[order], edges.distance_e[order])
    for first, second, apart in zip(*(column.tolist() for column in columns), strict=True):
        if keeper[second] == second and keeper[first] == first:
            keeper[second], distance[second] = first, apart
    return keeper, distance


def group_vectors(vectors_nD: Floats, threshold: float) -> tuple[Ints, Floats]:
    """For each unit vector, best first, the item that it goes for (itself: it stays), and their cosine.

    An item goes when its cosine with one that stays is at least `threshold`; it goes for the most similar.
    """
    count = len(vectors_nD)
    keeper = np.arange(count)
    similarity = np.ones(count, dtype=np.float32)
    kept_k = np.empty(0, dtype=np.int64)
    for start in range(0, count, BLOCK):
        rows = np.arange(start, min(start + BLOCK, count))
        block_BD = vectors_nD[rows]
        near, best = nearest_of(block_BD, vectors_nD[kept_k])
        match = kept_k[near] if len(kept_k) else rows.copy()
        stays = _within(block_BD @ block_BD.T, rows, best, match, threshold)
        goes = ~stays
        keeper[rows[goes]], similarity[rows[goes]] = match[goes], best[goes]
        kept_k = np.concatenate([kept_k, rows[stays]])
    return keeper, similarity


def _within(
    cosine_BB: Floats, rows: Ints, best: Floats, match: Ints, threshold: float
) -> npt.NDArray[np.bool_]:
    """Which of a block stay, given the best match of each among those kept before; updates both."""
    stays = best < threshold
    near_BB = np.tril(cosine_BB, -1) >= threshold
    for place in np.flatnonzero(near_BB.any(axis=1)).tolist():
        others = np.flatnonzero(near_BB[place] & stays)
        if len(others):
            top = others[cosine_BB[place, others].argmax()]
            if cosine_BB[place, top] > best[place]:
                best[place], match[place] = cosine_BB[place, top], rows[top]
            stays[place] = False
    return stays


def nearest_of(vectors_BD: Floats, others_mD: Floats) -> tuple[Ints, Floats]:
    """For each unit vector the most similar of the others, at a tie the first, and its cosine."""
    match = np.zeros(len(vectors_BD), dtype=np.int64)
    cosine = np.full(len(vectors_BD), -np.inf, dtype=np.float32)
    for first in range(0, len(others_mD), MANY):
        cosine_Bm = vectors_BD @ others_mD[first : first + MANY].T
        top = cosine_Bm.argmax(axis=1)
        value = cosine_Bm[np.arange(len(top)), top]
        better = value > cosine
        match[better], cosine[better] = first + top[better], value[better]
    return match, cosine
