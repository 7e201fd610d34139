"""k-means on vectors in memory.

Lloyd's iteration from centroids that are spread as k-means++ spreads them, over a sample. The first pass
compares every point with every centroid; later ones compare it with those around its own, since a point
rarely leaves for a far one (k2-means, arXiv 1605.09299). Products of blocks of vectors do the work.

Shapes: n points, k centroids, D dimensions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from thresher.errors import InputError

SCORES_IN_MEMORY = 4_000_000
"""Most products point x centroid that are held at once (16 MB)."""
START_POINTS = 32
"""Points a cluster among which the centroids to start from are drawn, and at least `START_LEAST` in all."""
START_LEAST = 8192
START_ROUNDS = 512
NEIGHBOURS = 32
ENOUGH = 1e-4

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clustering:
    """What `kmeans` found.

    Attributes:
        centroids_kD: float32; one that lost all of its points stands at the farthest point of another.
        objective: Mean squared distance of a point to its centroid, before the last update of centroids.
        iterations: Passes over the points.
    """

    centroids_kD: Vectors
    objective: float
    iterations: int


def kmeans(
    points_nD: Vectors,
    clusters: int,
    *,
    iterations: int,
    draw: np.random.Generator,
    start_points: int = START_POINTS,
    start_rounds: int = START_ROUNDS,
    neighbours: int = NEIGHBOURS,
    enough: float = ENOUGH,
) -> Clustering:
    """Centroids of `clusters` clusters of points.

    Args:
        points_nD: float32; their order counts among what the result follows from.
        clusters: k, at most the number of points.
        iterations: Most passes over the points.
        draw: Draws the centroids to start from.
        start_points: Points a cluster among which they are drawn; more take longer and fit better, and so it
            is with the next two.
        start_rounds: Most rounds in which they are drawn.
        neighbours: Centroids, its own among them, that a point is compared with from the second pass on.
        enough: The iteration ends where the objective falls by less than this share.

    Raises:
        InputError: fewer points than clusters, or no clusters.
    """
    if clusters < 1:
        raise InputError(f"{clusters} clusters are asked for; ask for at least 1")
    if len(points_nD) < clusters:
        raise InputError(f"{len(points_nD)} points cannot form {clusters} clusters; ask for fewer clusters")
    among = min(len(points_nD), max(START_LEAST, start_points * clusters))
    sample = np.sort(draw.choice(len(points_nD), among, replace=False))
    centroids = _spread(points_nD[sample], clusters, start_rounds, draw)
    labels, distance = nearest(points_nD, centroids)
    last, done = np.inf, 1
    while True:
        centroids = _means(points_nD, labels, distance, centroids)
        objective = float(distance.mean(dtype=np.float64))
        if done >= iterations or objective >= last * (1 - enough):
            return Clustering(centroids_kD=centroids, objective=objective, iterations=done)
        if clusters > 2 * neighbours:
            labels, distance = _nearest_around(points_nD, centroids, labels, neighbours)
        else:
            labels, distance = nearest(points_nD, centroids)
        last, done = objective, done + 1


def nearest(points_nD: Vectors, centroids_kD: Vectors) -> tuple[Labels, Vectors]:
    """Number of the nearest centroid of each point, int32 [n], and its squared distance, float32 [n].

    Of centroids equally near, the first. With |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2) only the bracket
    depends on the centroid.
    """
    half_k = _squares(centroids_kD) / 2
    labels = np.empty(len(points_nD), dtype=np.int32)
    distance = _squares(points_nD)
    rows = max(64, SCORES_IN_MEMORY // len(centroids_kD))
    for start in range(0, len(points_nD), rows):
        block = slice(start, start + rows)
        score = points_nD[block] @ centroids_kD.T
        score -= half_k
        labels[block] = best = score.argmax(axis=1)
        distance[block] -= 2 * np.take_along_axis(score, best[:, None], axis=1)[:, 0]
    return labels, np.maximum(distance, 0)


def _nearest_around(
    points_nD: Vectors, centroids_kD: Vectors, labels: Labels, neighbours: int
) -> tuple[Labels, Vectors]:
    """As `nearest`, among the so many centroids nearest to the one that a point has."""
    half_k = _squares(centroids_kD) / 2
    found, distance = np.empty_like(labels), _squares(points_nD)
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=len(centroids_kD)))
    block = max(1, SCORES_IN_MEMORY // len(centroids_kD))
    for first in range(0, len(centroids_kD), block):
        own = np.arange(first, min(first + block, len(centroids_kD)))
        near = centroids_kD[own] @ centroids_kD.T - half_k
        near[own - first, own] = np.inf
        around = np.sort(np.argpartition(near, -neighbours, axis=1)[:, -neighbours:], axis=1)
        for cluster in own.tolist():
            rows = order[ends[cluster - 1] if cluster else 0 : ends[cluster]]
            others = around[cluster - first]
            score = points_nD[rows] @ centroids_kD[others].T
            score -= half_k[others]
            best = score.argmax(axis=1)
            found[rows] = others[best]
            distance[rows] -= 2 * np.take_along_axis(score, best[:, None], axis=1)[:, 0]
    return found, np.maximum(distance, 0)


def _means(points_nD: Vectors, labels: Labels, distance: Vectors, centroids_kD: Vectors) -> Vectors:
    """Mean of each cluster; a cluster without points moves to a point that is far from its centroid."""
    shape = (len(centroids_kD), len(points_nD))
    ones, ends = np.ones(len(points_nD), dtype=np.float32), np.arange(len(points_nD) + 1)
    sums = sparse.csc_matrix((ones, labels, ends), shape=shape) @ points_nD
    counts = np.bincount(labels, minlength=len(centroids_kD))
    means: Vectors = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        means[empty] = points_nD[np.argsort(-distance, kind="stable")[: len(empty)]]
    return means


def _spread(points_nD: Vectors, clusters: int, most_rounds: int, draw: np.random.Generator) -> Vectors:
    """Points to start from, each the best of a few draws.

    A point is drawn with a chance in proportion to its squared distance to those chosen before (k-means++,
    Arthur and Vassilvitskii, 2007); of 2 + ln(clusters) drawn the one is chosen that leaves the smallest sum
    of distances. With many clusters a round chooses several, all by the distances before it. When no point
    is left at a distance, those not chosen come in their order.
    """
    squares, tries = _squares(points_nD), 2 + int(np.log(clusters))
    chosen = np.empty(0, dtype=np.int64)
    distance = np.full(len(points_nD), np.inf, dtype=np.float32)
    drawn = draw.integers(len(points_nD), size=1)[None]
    while True:
        tried = (-2 * points_nD[drawn.ravel()]) @ points_nD.T
        tried += squares
        tried += squares[drawn.ravel(), None]
        tried = np.minimum(tried, distance, out=tried).reshape(*drawn.shape, len(points_nD))
        best = tried.sum(axis=2).argmin(axis=1)
        rounds = np.arange(len(drawn))
        distance = np.maximum(tried[rounds, best].min(axis=0), 0)
        chosen = np.unique(np.concatenate([chosen, drawn[rounds, best]]))
        distance[chosen] = 0
        sums = np.cumsum(distance, dtype=np.float64)
        if len(chosen) == clusters or not sums[-1]:
            break
        size = (min(clusters - len(chosen), -(-clusters // most_rounds)), tries)
        drawn = np.searchsorted(sums, draw.random(size) * sums[-1], side="right")
        drawn = np.minimum(drawn, len(points_nD) - 1)  # the product may round up to the sum
    left = np.setdiff1d(np.arange(len(points_nD)), chosen)[: clusters - len(chosen)]
    spread: Vectors = points_nD[np.concatenate([chosen, left])]
    return spread


def _squares(vectors_nD: Vectors) -> Vectors:
    """Squared length of each, float32 [n]."""
    squares: Vectors = np.einsum("nd,nd->n", vectors_nD, vectors_nD)
    return squares
