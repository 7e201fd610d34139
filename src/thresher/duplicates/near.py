"""Pairs of images whose perceptual hashes are near: found in buckets, at a cost nearly linear in the images.

The 64 bits are cut into six blocks. Two hashes that differ in at most four bits agree in two whole blocks at
least, so every such pair shares a bucket in one of the fifteen tables, one for each two blocks (as Manku et
al. do for web pages, WWW 2007). A bucket has a key of 21 bits; its members are sorted by their hash
and each is compared with the `WINDOW` after it.

Shapes: n images, e pairs of them.
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
