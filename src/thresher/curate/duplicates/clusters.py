"""Cells of vectors in which to look for near ones: small, and overlapping at their borders.

k-means splits what is too large, over and over. SemDeDup (arXiv 2303.09540) compares vectors that have the
same nearest centroid, and so misses near vectors on two sides of a border. Here a vector near a border also
visits the cells across it. Assigning n vectors costs n times at most `BRANCHES` for each level, and comparing
within cells n times their size: both linear in n.

Shapes: n vectors, K centroids, D dimensions.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError, MissingExtra
from thresher.executor.local import TaskFailed
from thresher.executor.run import open_workers

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Read = Callable[[Ints], Floats]
"""Unit vectors [n, D] at places, rising."""

BRANCHES = 1024
"""Most cells of one level."""
LEVELS = 4
PROBES = 3
"""Cells that a vector is in: its own, and others that it visits."""

ITERATIONS = 10
SAMPLE = 64
"""Vectors a centroid that k-means learns from."""

HELD_VALUES = 2**27
"""Most numbers of one cell that stay in memory (512 MiB); larger ones are read in blocks."""

BLOCK = 65_536

NOWHERE = -1
FINDER = "thresher.curate.duplicates.clusters:finder"


@dataclass(frozen=True, slots=True)
class Cell:
    """Vectors to compare with each other.

    Attributes:
        places: Rising, int64 [n].
        own: Those that are in no other cell as their own; the others visit.
        vectors_nD: float32.
    """

    places: Ints
    own: Flags
    vectors_nD: Floats


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring vectors, of which `start` is the place of the first."""

    start: int
    vectors_nD: Floats


Assign = Callable[[Iterable[Block], Floats, float], Iterator[tuple[Block, Ints]]]
"""Blocks with their `cells_of`, in any order, given centroids and margin."""


def split(
    count: int, read: Read, *, most: int, margin: float, seed: int = 0, assign: Assign | None = None
) -> Iterator[Cell]:
    """Cells of at most `most` vectors that cover the places 0 to `count` - 1; each is its own in exactly one.

    Vectors that k-means cannot divide (they are all alike) come in slices of `most` in the order of their
    places. The same vectors in the same order and the same seed give the same cells.

    Args:
        count: Number of vectors.
        read: Reads them.
        most: Vectors in a cell, visitors counted.
        margin: A vector visits the cells whose border is at most that far, of the `PROBES` nearest.
        seed: Of the samples and of k-means.
        assign: Finds the cells of the first level, such as `assign_by`; None does it here.

    Raises:
        MissingExtra: faiss is not installed.
    """
    load_faiss()
    whole = _Part(np.arange(count), np.ones(count, dtype=bool), None)
    yield from _split(whole, read, most, margin, seed, 0, assign or _assign_here)


def assign_by(executor: str, address: str | None = None) -> Assign:
    """The `Assign` of an executor; its workers get blocks of vectors and give numbers of cells back.

    Raises:
        InputError: when it is called, if a block could not be assigned however often it was tried.
    """

    def assign(blocks: Iterable[Block], centroids_KD: Floats, margin: float) -> Iterator[tuple[Block, Ints]]:
        settings = (centroids_KD, margin)
        with open_workers(FINDER, settings=settings, executor=executor, address=address, workers=0) as apply:
            for block, found in apply(blocks):
                if isinstance(found, TaskFailed):
                    raise InputError(
                        f"the vectors from place {block.start} on were not assigned to cells: "
                        f"{found.reason}; run again"
                    )
                yield block, found

    return assign


def finder(settings: tuple[Floats, float]) -> Callable[[Block], Ints]:
    """`cells_of` with centroids and margin: the function that workers apply to blocks."""
    centroids_KD, margin = settings
    return lambda block: cells_of(block.vectors_nD, centroids_KD, margin)


def load_faiss() -> Any:
    """The faiss module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise MissingExtra("cluster", "finding semantic duplicates") from error


def cells_of(vectors_nD: Floats, centroids_KD: Floats, margin: float) -> Ints:
    """Cells that each vector is in, int64 [n, `PROBES`]: its own first, then those that it visits.

    The others of the `PROBES` nearest centroids count where the plane half way to them is at most `margin`
    away, and are `NOWHERE` else. Centroids have length 1. A function of its arguments alone: any machine may
    run it on any share of the vectors.
    """
    probes = min(PROBES, len(centroids_KD))
    faiss = load_faiss()
    score_nP, cell_nP = faiss.knn(vectors_nD, centroids_KD, probes, metric=faiss.METRIC_INNER_PRODUCT)
    cosine_KK = centroids_KD @ centroids_KD.T
    apart_nP = np.sqrt(np.maximum(2 - 2 * cosine_KK[cell_nP[:, :1], cell_nP], 1e-12))
    return np.where((score_nP[:, :1] - score_nP) / apart_nP <= margin, cell_nP, NOWHERE)


@dataclass(frozen=True, slots=True)
class _Part:
    """A cell that may be too large; `held_nD` are its vectors where they lie in memory."""

    places: Ints
    own: Flags
    held_nD: Floats | None

    def read(self, rows: Any, read: Read) -> Floats:
        return read(self.places[rows]) if self.held_nD is None else self.held_nD[rows]


def _split(
    part: _Part, read: Read, most: int, margin: float, seed: int, level: int, assign: Assign
) -> Iterator[Cell]:
    count = len(part.places)
    if count <= most or level == LEVELS:
        for start in range(0, count, most):
            piece = slice(start, start + most)
            yield Cell(part.places[piece], part.own[piece], part.read(piece, read))
        return
    if part.held_nD is None and count * read(part.places[:1]).shape[1] <= HELD_VALUES:
        part = _Part(part.places, part.own, read(part.places))
    centroids = _learn(part, read, min(BRANCHES, 2 * PROBES * -(-count // most)), seed)
    blocks = (
        Block(start, np.ascontiguousarray(part.read(slice(start, start + BLOCK), read)))
        for start in range(0, count, BLOCK)
    )
    rows, cells, own = _copies(part, assign(blocks, centroids, margin))
    order = np.argsort(cells, kind="stable")
    sizes = np.bincount(cells, minlength=len(centroids))
    below = LEVELS if sizes.max() >= count else level + 1  # alike: no split divides them
    for inside in np.split(order, np.cumsum(sizes)[:-1]):
        if own[inside].any():
            there = rows[inside]
            held = None if part.held_nD is None else part.held_nD[there]
            inner = _Part(part.places[there], own[inside], held)
            yield from _split(inner, read, most, margin, seed, below, _assign_here)


def _learn(part: _Part, read: Read, num_centroids: int, seed: int) -> Floats:
    """Centroids of length 1 from a sample of the vectors."""
    count = len(part.places)
    num_centroids = min(num_centroids, count)
    generator = np.random.default_rng([seed, count])
    rows = np.sort(generator.choice(count, min(count, SAMPLE * num_centroids), replace=False))
    sample_nD = np.ascontiguousarray(part.read(rows, read))
    means = load_faiss().Kmeans(
        sample_nD.shape[1],
        num_centroids,
        niter=ITERATIONS,
        seed=seed + 1,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE,
    )
    means.train(sample_nD)
    centroids: Floats = means.centroids
    return centroids


def _assign_here(
    blocks: Iterable[Block], centroids_KD: Floats, margin: float
) -> Iterator[tuple[Block, Ints]]:
    return ((block, cells_of(block.vectors_nD, centroids_KD, margin)) for block in blocks)


def _copies(part: _Part, assigned: Iterator[tuple[Block, Ints]]) -> tuple[Ints, Ints, Flags]:
    """Row and cell of every copy of a vector, rows rising, and whether the cell is its own.

    A visitor is copied no further: it goes on in the nearest cell.
    """
    copies: dict[int, tuple[Ints, Ints, Flags]] = {}
    for block, cell_nP in assigned:
        own = part.own[block.start : block.start + len(cell_nP)]
        goes_nP = cell_nP != NOWHERE
        goes_nP[~own, 1:] = False
        row, probe = np.nonzero(goes_nP)
        copies[block.start] = block.start + row, cell_nP[row, probe], (probe == 0) & own[row]
    rows, cells, owned = zip(*(copies[start] for start in sorted(copies)), strict=True)
    return np.concatenate(rows), np.concatenate(cells), np.concatenate(owned)
