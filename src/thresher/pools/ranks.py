"""The pool of each row, from the keys at which the ranking is cut."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thresher.pools.keys import Keys


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
