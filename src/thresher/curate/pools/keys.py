"""Scores as integer keys in the same order, the keys at given ranks without sorting, and each row's pool."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint32]

_DIGITS = (12, 10, 10)
_HALF = np.uint32(2**31)


def keys_of(scores: npt.NDArray[np.float32]) -> Keys:
    """A number for each finite score that rises with it; 0.0 and -0.0 have the same one.

    >>> keys_of(np.array([-0.5, -0.0, 0.0, 0.5], np.float32)).tolist()
    [1090519039, 2147483648, 2147483648, 3204448256]
    """
    bits = (np.asarray(scores, dtype=np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >= _HALF, ~bits, bits | _HALF)


def scores_of(keys: Keys) -> npt.NDArray[np.float32]:
    """The scores that have these keys; undoes `keys_of`."""
    bits = np.where(keys >= _HALF, keys ^ _HALF, ~keys).astype(np.uint32)
    return bits.view(np.float32)


def keys_at(read: Callable[[], Iterable[Keys]], places: Sequence[int]) -> list[tuple[int, int]]:
    """For each place of the falling ranking (from 0): the key there, and how many keys are above that key.

    `read` gives all keys, in pieces; it is called three times. The keys are told apart by their upper 12
    bits, those that share them with a place that is asked for by the next 10, and so on, so that memory
    grows with the number of places and not with the number of keys.
    """
    if not len(places):
        return []
    prefixes = np.zeros(len(places), dtype=np.int64)
    left = np.asarray(places, dtype=np.int64)
    above = np.zeros(len(places), dtype=np.int64)
    shift = 32
    for digits in _DIGITS:
        shift -= digits
        wanted = np.unique(prefixes)
        counts_PD = np.zeros((len(wanted), 2**digits), dtype=np.int64)
        for keys in read():
            of = keys >> np.uint32(shift)
            parents = (of >> np.uint32(digits)).astype(np.int64)
            rows = np.minimum(np.searchsorted(wanted, parents), len(wanted) - 1)
            inside = wanted[rows] == parents
            cells = rows * 2**digits + (of & np.uint32(2**digits - 1))
            counts_PD += np.bincount(cells[inside], minlength=counts_PD.size).reshape(counts_PD.shape)
        higher_PD = np.cumsum(counts_PD[:, ::-1], axis=1)[:, ::-1] - counts_PD
        for number, row in enumerate(np.searchsorted(wanted, prefixes).tolist()):
            digit = int(np.flatnonzero(higher_PD[row] <= left[number])[0])
            left[number] -= higher_PD[row, digit]
            above[number] += higher_PD[row, digit]
            prefixes[number] = prefixes[number] * 2**digits + digit
    return [(int(key), int(count)) for key, count in zip(prefixes, above, strict=True)]


class Ranks:
    """Gives rows their pools, in input order; of equal keys at a cut the first rows get into the better pool.

    `cuts` holds for each pool, best first, the key of its last row and how many rows with this key are in
    this pool or a better one.
    """

    def __init__(self, cuts: Sequence[tuple[int, int]]) -> None:
        self._rising = np.array([key for key, _ in reversed(cuts)], dtype=np.uint32)
        self._ties = {key: np.sort([ties for other, ties in cuts if other == key]) for key, _ in cuts}
        self._seen = dict.fromkeys(self._ties, 0)
        self._num_pools = len(cuts)

    def of(self, keys: Keys) -> npt.NDArray[np.int16]:
        """Rank of the pool of each of the next rows, -1 for none."""
        ranks = self.by_key(keys)
        places = np.minimum(np.searchsorted(self._rising, keys), self._num_pools - 1)
        tied = np.flatnonzero(self._rising[places] == keys)
        tied = tied[np.argsort(keys[tied], kind="stable")]
        groups, starts = np.unique(keys[tied], return_index=True)
        for key, rows in zip(groups.tolist(), np.split(tied, starts[1:]), strict=bool(len(groups))):
            before = self._seen[key]
            self._seen[key] += len(rows)
            passed = np.searchsorted(self._ties[key], np.arange(before + 1, before + len(rows) + 1))
            ranks[rows] += passed.astype(np.int16)
        ranks[ranks >= self._num_pools] = -1
        return ranks

    def by_key(self, keys: Keys) -> npt.NDArray[np.int16]:
        """Rank of the best pool that holds such a key; the number of pools where none does."""
        return (self._num_pools - np.searchsorted(self._rising, keys, side="right")).astype(np.int16)
