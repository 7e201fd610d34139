"""k-means on vectors in memory.

Lloyd's iteration from centroids that are spread as k-means++ spreads them. Products of blocks of vectors with
all centroids do the work, so that it runs at the speed of the matrix product.

Shapes: n points, k centroids, D dimensions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from thresher.errors import InputError

SCORES_IN_MEMORY = 4_000_000
"""Most products point x centroid that are held at once (16 MB)."""
START_ROUNDS = 32
"""Rounds in which starting centroids are drawn; a round's are drawn together."""
ENOUGH = 1e-4
"""The iteration ends where the objective falls by less than this share."""

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


def kmeans(points_nD: Vectors, clusters: int, *, iterations: int, draw: np.random.Generator) -> Clustering:
    """Centroids of `clusters` clusters of points.

    Args:
        points_nD: float32; their order counts among what the result follows from.
        clusters: k, at most the number of points.
        iterations: Most passes over the points.
        draw: Draws the centroids to start from.

    Raises:
        InputError: fewer points than clusters, or no clusters.
    """
    if clusters < 1:
        raise InputError(f"{clusters} clusters are asked for; ask for at least 1")
    if len(points_nD) < clusters:
        raise InputError(f"{len(points_nD)} points cannot form {clusters} clusters; ask for fewer clusters")
    centroids = _spread(points_nD, clusters, draw)
    last, done = np.inf, 0
    while done < iterations:
        labels, distance = nearest(points_nD, centroids)
        centroids = _means(points_nD, labels, distance, centroids)
        done += 1
        objective = float(distance.mean(dtype=np.float64))
        if objective >= last * (1 - ENOUGH):
            last = objective
            break
        last = objective
    return Clustering(centroids_kD=centroids, objective=last, iterations=done)


def nearest(points_nD: Vectors, centroids_kD: Vectors) -> tuple[Labels, Vectors]:
    """Number of the nearest centroid of each point, int32 [n], and its squared distance, float32 [n].

    Of centroids equally near, the first. With |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2) only the bracket
    depends on the centroid.
    """
    half_k = np.einsum("kd,kd->k", centroids_kD, centroids_kD) / 2
    labels = np.empty(len(points_nD), dtype=np.int32)
    distance = np.einsum("nd,nd->n", points_nD, points_nD)
    rows = max(64, SCORES_IN_MEMORY // len(centroids_kD))
    for start in range(0, len(points_nD), rows):
        block = slice(start, start + rows)
        score = points_nD[block] @ centroids_kD.T
        score -= half_k
        labels[block] = best = score.argmax(axis=1)
        distance[block] -= 2 * np.take_along_axis(score, best[:, None], axis=1)[:, 0]
    return labels, np.maximum(distance, 0)


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


def _spread(points_nD: Vectors, clusters: int, draw: np.random.Generator) -> Vectors:
    """Points to start from: each drawn with a chance in proportion to its squared distance to those drawn.

    That is k-means++ (Arthur and Vassilvitskii, 2007), with several points drawn in a round by a race of
    exponential times, as in k-means|| (arXiv 1203.6402); with few clusters a round draws one.
    """
    chosen = [np.array([draw.integers(len(points_nD))])]
    distance = nearest(points_nD, points_nD[chosen[0]])[1]
    distance[chosen[0]] = 0
    missing = clusters - 1
    while missing:
        times = draw.exponential(size=len(points_nD))
        far = distance > 0
        times = np.where(far, times / np.where(far, distance, 1), np.inf)
        taken = np.concatenate(chosen)
        times[taken] = np.nan  # sorts last; points that repeat one already drawn come just before
        new = np.argsort(times, kind="stable")[: min(missing, max(1, clusters // START_ROUNDS))]
        chosen.append(new)
        distance = np.minimum(distance, nearest(points_nD, points_nD[new])[1])
        missing -= len(new)
    spread: Vectors = points_nD[np.concatenate(chosen)]
    return spread
