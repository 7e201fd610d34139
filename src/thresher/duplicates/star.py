"""Which of near items stay: each item that goes is near one that stays, and better ones are asked first.

A group is a star around the item that stays, not everything that a chain of near pairs connects: a chain may
lead from one picture to quite another one, a star never drops what is unlike all that is kept. Items come
best first, so the result depends on the items alone and not on the order in which they were read.

Shapes: n items in the order of rank, k of them kept, D dimensions.
"""

import numpy as np
import numpy.typing as npt

from thresher.duplicates.near import Edges

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

BLOCK = 1024


def keep_of_edges(count: int, edges: Edges) -> tuple[Ints, Ints]:
    """For each of `count` items, best first, the item that it goes for (itself: it stays), and the distance.

    Of several kept items that are near it, an item goes for the nearest, then for the best.

    >>> chain = Edges(np.array([0, 1]), np.array([1, 2]), np.array([3, 3]))
    >>> keep_of_edges(3, chain)[0].tolist()  # 2 is near 1, which goes, and not near 0
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


def keep_of_vectors(vectors_nD: Floats, threshold: float) -> tuple[Ints, Floats]:
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
        best = np.full(len(rows), -np.inf, dtype=np.float32)
        match = rows.copy()
        for left in range(0, len(kept_k), 8 * BLOCK):
            places = kept_k[left : left + 8 * BLOCK]
            cosine_Bk = block_BD @ vectors_nD[places].T
            top = cosine_Bk.argmax(axis=1)
            value = cosine_Bk[np.arange(len(rows)), top]
            match = np.where(value > best, places[top], match)
            best = np.maximum(best, value)
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
