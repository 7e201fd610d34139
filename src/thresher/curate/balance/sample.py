"""Drawing equally from every branch of a tree of clusters, to an exact size.

Each cluster of the last level gives the same number of draws, as far as it has them; that number is divided
equally among its clusters on the level below, and so on down to the points (after arXiv 2405.15613).
"""

import numpy as np
import numpy.typing as npt

from thresher.curate.balance.points import Words, shuffle_keys
from thresher.curate.balance.tree import Tree, rank_in_run
from thresher.errors import InputError

Counts = npt.NDArray[np.int64]


def draw_balanced(tree: Tree, words: Words, size: int, *, repeats: int = 1, seed: int = 0) -> Counts:
    """How often each point is drawn, int64 [n]; the sum is `size`.

    Of a cluster that gives r draws of m points, every point is drawn floor(r / m) times, and those that come
    first in a shuffle by uid once more.

    Args:
        tree: From `grow_tree`.
        words: Uids of its points, uint64 [n, 2].
        size: Draws wanted.
        repeats: Most times that a point may be drawn.
        seed: Of the shuffle.

    Raises:
        InputError: `size` is more than the points give, or a number is below 1.
    """
    if size < 1 or repeats < 1:
        raise InputError(f"size is {size} and repeats {repeats}; give at least 1 of both")
    if size > repeats * len(tree.labels):
        raise InputError(
            f"a size of {size} is more than {len(tree.labels)} pairs drawn at most {repeats} times; lower "
            "the size, or let pairs repeat more often"
        )
    quotas = _from_the_top(tree, size, repeats, seed)
    order = np.lexsort((words[:, 1], words[:, 0], shuffle_keys(words, seed), tree.labels))
    labels = tree.labels[order]
    wanted, members = quotas[labels], tree.sizes[0][labels]
    drawn = np.empty(len(labels), dtype=np.int64)
    drawn[order] = wanted // members + (rank_in_run(labels) < wanted % members)
    return drawn


def _from_the_top(tree: Tree, size: int, repeats: int, seed: int) -> Counts:
    """Draws of each cluster of the first level."""
    last = len(tree.sizes) - 1
    quotas = share_out(tree.sizes[last] * repeats, size, np.random.default_rng([seed, last]))
    for level in range(last - 1, -1, -1):
        draw = np.random.default_rng([seed, level])
        order = np.argsort(tree.parents[level], kind="stable")
        ends = np.cumsum(np.bincount(tree.parents[level], minlength=len(quotas)))
        below = np.empty(len(order), dtype=np.int64)
        for children, quota in zip(np.split(order, ends[:-1]), quotas.tolist(), strict=True):
            below[children] = share_out(tree.sizes[level][children] * repeats, quota, draw)
        quotas = below
    return quotas


def share_out(most: Counts, total: int, draw: np.random.Generator) -> Counts:
    """`total` shared out as equally as can be where place i takes at most `most[i]`.

    What is left over after equal shares goes one each to places drawn among those that can take more.

    >>> share_out(np.array([100, 3, 100]), 43, np.random.default_rng(0)).tolist()
    [20, 3, 20]
    """
    assert 0 <= total <= most.sum()
    low, high = 0, int(most.max())  # the largest equal share that does not give out too much
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(most, middle).sum()) <= total:
            low = middle
        else:
            high = middle - 1
    shares: Counts = np.minimum(most, low)
    left = total - int(shares.sum())
    if left:
        shares[draw.choice(np.flatnonzero(most > low), left, replace=False)] += 1
    return shares


def evenness(counts: npt.NDArray[np.integer]) -> float:
    """How evenly draws fall on clusters: entropy of their shares over that of equal shares, 0 to 1.

    >>> evenness(np.array([5, 5])), evenness(np.array([10, 0]))
    (1.0, 0.0)
    """
    if len(counts) < 2:
        return 1.0
    shares = counts[counts > 0] / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum() / np.log(len(counts))))
