"""Clusters of vectors, none of them large: k-means splits what is larger, over and over.

Each level divides into at most 64, learnt from a sample, so assigning n vectors costs n times 64 times the
number of levels, and comparing within clusters n times their size: both linear in n. SemDeDup
(arXiv 2303.09540) has one level with a fixed number of clusters instead.

Shapes: n vectors of a cluster, D dimensions.
"""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.errors import MissingExtra

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Read = Callable[[Ints], Floats]
"""Unit vectors [n, D] at places, rising."""

BRANCHES = 64
LEVELS = 8
ITERATIONS = 10
SAMPLE = 256
"""Vectors a centre that k-means learns from."""

HELD_VALUES = 2**27
"""Most numbers of one cluster that stay in memory (512 MiB); larger ones are read in blocks."""

BLOCK = 65_536


def split(count: int, read: Read, *, most: int, seed: int = 0) -> Iterator[tuple[Ints, Floats]]:
    """Disjoint clusters of the places 0 to `count` - 1: places (rising) and vectors, at most `most` each.

    Vectors that k-means cannot divide (they are all alike) come in slices of `most` in the order of their
    places. The same vectors in the same order and the same seed give the same clusters.

    Raises:
        MissingExtra: faiss is not installed.
    """
    yield from _split(np.arange(count), read, None, load_faiss(), most, seed, 0)


def load_faiss() -> Any:
    """The faiss module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise MissingExtra("cluster", "finding semantic duplicates") from error


def _split(
    places: Ints, read: Read, held_nD: Floats | None, faiss: Any, most: int, seed: int, level: int
) -> Iterator[tuple[Ints, Floats]]:
    if len(places) <= most or level == LEVELS:
        for start in range(0, len(places), most):
            part = slice(start, start + most)
            yield places[part], read(places[part]) if held_nD is None else held_nD[part]
        return
    if held_nD is None and len(places) * read(places[:1]).shape[1] <= HELD_VALUES:
        held_nD = read(places)
    labels = _assign(places, read, held_nD, faiss, most, seed)
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    below = LEVELS if sizes.max() == len(places) else level + 1
    for rows in np.split(order, np.cumsum(sizes)[:-1]):
        if len(rows):
            held = None if held_nD is None else held_nD[rows]
            yield from _split(places[rows], read, held, faiss, most, seed, below)


def _assign(places: Ints, read: Read, held_nD: Floats | None, faiss: Any, most: int, seed: int) -> Ints:
    """The centre that each vector is nearest to."""
    count = len(places)
    num_centres = min(BRANCHES, -(-count // most) + 1)
    generator = np.random.default_rng([seed, count])
    rows = np.sort(generator.choice(count, min(count, SAMPLE * num_centres), replace=False))
    sample_nD = read(places[rows]) if held_nD is None else held_nD[rows]
    means = faiss.Kmeans(
        sample_nD.shape[1],
        num_centres,
        niter=ITERATIONS,
        seed=seed + 1,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE,
    )
    means.train(np.ascontiguousarray(sample_nD))
    labels = np.empty(count, dtype=np.int64)
    for start in range(0, count, BLOCK):
        part = slice(start, start + BLOCK)
        block_nD = read(places[part]) if held_nD is None else held_nD[part]
        labels[part] = means.index.search(np.ascontiguousarray(block_nD), 1)[1][:, 0]
    return labels
