"""A tree of clusters: k-means over points, then over the centroids of the level below, each resampled.

k-means puts its centroids where the points are dense, so that a frequent concept gets many clusters and a
rare one none. Clustering again what lies nearest to each centroid, equally many of each, moves the centroids
towards a uniform spread over what the points cover (Vo et al., *Automatic Data Curation for Self-Supervised
Learning*, arXiv 2405.15613); so does every further level, whose points are centroids.

Shapes: n points, k clusters of a level, D dimensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.curate.balance.lloyd import Labels, Vectors, kmeans, nearest
from thresher.curate.balance.points import Points, points_in, shuffle_keys
from thresher.errors import InputError

TRAIN_BYTES = 1 << 30
"""Most memory for the vectors that the first level's centroids are computed from."""
POINTS_PER_CLUSTER = 64
NEAREST_PER_CLUSTER = 16
"""Most points of a cluster that a resampling takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """Clusters of several levels, finest first; none is empty.

    Attributes:
        labels: Cluster of each point on the first level, int32 [n].
        parents: For each level but the last, the cluster of the next level that holds each of its clusters.
        sizes: For each level, the points in each of its clusters, int64 [k].
        objectives: For each level, mean squared distance of what it clusters to the nearest centroid.
        centroids: For each level, float32 [k, D].
    """

    labels: Labels
    parents: tuple[Labels, ...]
    sizes: tuple[npt.NDArray[np.int64], ...]
    objectives: tuple[float, ...]
    centroids: tuple[Vectors, ...]


def cluster_counts(count: int, levels: int) -> tuple[int, ...]:
    """Numbers of clusters for `count` points: 4 sqrt(count) on the first level, then half each.

    >>> cluster_counts(1_000_000, 3)
    (4000, 2000, 1000)

    Raises:
        InputError: no levels, or too few points for so many.
    """
    if levels < 1:
        raise InputError(f"levels is {levels}; give at least 1")
    first = min(count, round(4 * count**0.5))
    counts = tuple(round(first / 2**level) for level in range(levels))
    if counts[-1] < 2 or len(set(counts)) < levels:
        raise InputError(f"{count} points are too few for {levels} levels of clusters; ask for fewer levels")
    return counts


def grow_tree(
    points: Points,
    clusters: Sequence[int],
    *,
    resamples: int = 3,
    iterations: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tree:
    """The tree over `points`.

    The first level's centroids come from at most 64 points a cluster, and at most 1 GiB of vectors, sampled
    by uid; every point is then assigned in blocks. Beside that, 16 bytes a point are in memory, and as much
    again while a resampling sorts. The order of the points does not matter, but for rounding: a point equally
    near to two centroids may fall to either.

    Args:
        points: What to cluster.
        clusters: Number of clusters of each level, falling.
        resamples: Times that each level is resampled.
        iterations: Most passes of each k-means.
        seed: Other seeds sample, start and break ties otherwise.
        progress: Called with (passes over all points done, passes in all).

    Raises:
        InputError: numbers of clusters that do not fall, fewer points than clusters, or a vector that is not
            finite.
    """
    counts = list(clusters)
    if not counts or counts != sorted(set(counts), reverse=True) or counts[-1] < 1:
        raise InputError(
            f"numbers of clusters are {counts}; they must fall from level to level, such as 4000,2000,1000"
        )
    if counts[0] > points.count:
        raise InputError(
            f"{points.count} points cannot form {counts[0]} clusters; ask for fewer "
            "clusters, or embed more pairs"
        )
    if resamples < 0 or iterations < 1:
        raise InputError(
            f"resamples is {resamples} and iterations {iterations}; give at least 0 and at least 1"
        )
    labels, parents, objectives, centroids = None, [], [], []
    level_points = points
    for level, count in enumerate(counts):
        report = progress if level == 0 else None  # the other levels take no time
        count = min(count, level_points.count)  # some of the level below may have stayed empty
        found, centroids_kD, objective = _cluster(
            level_points, count, (seed, level), resamples, iterations, report
        )
        if labels is None:
            labels = found
        else:
            parents.append(found)
        objectives.append(objective)
        centroids.append(centroids_kD)
        level_points = points_in(centroids_kD, _numbered(len(centroids_kD)))
    assert labels is not None
    sizes = [np.bincount(labels, minlength=len(centroids[0]))]
    for parent, of_level in zip(parents, centroids[1:], strict=True):
        sizes.append(np.bincount(parent, weights=sizes[-1], minlength=len(of_level)).astype(np.int64))
    return Tree(
        labels=labels,
        parents=tuple(parents),
        sizes=tuple(sizes),
        objectives=tuple(objectives),
        centroids=tuple(centroids),
    )


def _cluster(
    points: Points,
    count: int,
    salts: tuple[int, int],
    resamples: int,
    iterations: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[Labels, Vectors, float]:
    """Cluster of each point, centroids and objective of one level; clusters without points are taken out."""
    keys = shuffle_keys(points.words, *salts)
    sample = min(points.count, max(count, min(POINTS_PER_CLUSTER * count, TRAIN_BYTES // (4 * points.dim))))
    chosen = np.argpartition(keys, sample - 1)[:sample] if sample < points.count else np.arange(sample)
    chosen = chosen[np.argsort(keys[chosen], kind="stable")]
    for step in range(resamples + 1):
        draw = np.random.default_rng([*salts, step])
        centroids = kmeans(points.read(chosen), count, iterations=iterations, draw=draw).centroids_kD
        labels, distance = _assign(points, centroids)
        if progress is not None:
            progress(step + 1, resamples + 1)
        if step < resamples:
            chosen = _nearest_of_each(labels, distance, keys, count)
            if len(chosen) < count:
                break
    used, places = np.unique(labels, return_inverse=True)
    return places.astype(np.int32), centroids[used], float(distance.mean(dtype=np.float64))


def _assign(points: Points, centroids_kD: Vectors) -> tuple[Labels, Vectors]:
    labels, distance = np.empty(points.count, np.int32), np.empty(points.count, np.float32)
    for block, vectors in points.blocks():
        labels[block], distance[block] = nearest(vectors, centroids_kD)
    return labels, distance


def _nearest_of_each(
    labels: Labels, distance: Vectors, keys: npt.NDArray[np.uint64], count: int
) -> npt.NDArray[np.int64]:
    """The points nearest to each centroid, equally many of each where it has them, in the order of `keys`.

    Half of a mean cluster, at least 2 and at most `NEAREST_PER_CLUSTER`. Distances that only rounding tells
    apart (of the two points of a cluster, say) are equal.
    """
    most = max(2, min(NEAREST_PER_CLUSTER, len(labels) // count // 2))
    order = np.lexsort((keys, np.round(distance, 5), labels))
    chosen: npt.NDArray[np.int64] = order[rank_in_run(labels[order]) < most]
    return chosen[np.argsort(keys[chosen], kind="stable")]


def rank_in_run(sorted_labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Place of each row among the rows of the same label, from 0, where equal labels stand together.

    >>> rank_in_run(np.array([3, 3, 3, 5, 7, 7])).tolist()
    [0, 1, 2, 0, 0, 1]
    """
    starts = np.flatnonzero(np.diff(sorted_labels, prepend=sorted_labels[:1] - 1))
    lengths = np.diff(np.append(starts, len(sorted_labels)))
    return np.arange(len(sorted_labels)) - np.repeat(starts, lengths)


def _numbered(count: int) -> npt.NDArray[np.bytes_]:
    """Uids for centroids: their numbers."""
    words = np.zeros((count, 2), dtype=">u8")
    words[:, 1] = np.arange(1, count + 1)
    return words.view("S16").reshape(-1)
