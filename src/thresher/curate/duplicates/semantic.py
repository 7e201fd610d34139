"""Semantic duplicates: near vectors, looked for within cells (after SemDeDup, arXiv 2303.09540)."""

import numpy as np
import numpy.typing as npt

from thresher.curate.duplicates.clusters import BLOCK, Assign, Read, split
from thresher.curate.duplicates.near import group_vectors
from thresher.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

CLUSTER_SIZE = 4096
SIMILARITY = 0.95


def check_similarity(similarity: float) -> float:
    """The cosine, where it can tell duplicates.

    Raises:
        InputError: it is not above 0 and at most 1.
    """
    if not 0 < similarity <= 1:
        raise InputError(f"the similarity {similarity} is not a cosine above 0 and at most 1; 0.95 is usual")
    return similarity


def semantic_duplicates(
    read: Read,
    rank_n: Ints,
    *,
    similarity: float = SIMILARITY,
    cluster_size: int = CLUSTER_SIZE,
    seed: int = 0,
    assign: Assign | None = None,
) -> tuple[Ints, Floats]:
    """For each vector the place that it goes for (its own: it stays), and their cosine.

    A vector goes when its cosine with a better one that stays, and that shares a cell with it, is at least
    `similarity`. Near vectors share a cell but for few: a vector is also compared with the cells across a
    near border.

    Args:
        read: Unit vectors [n, D] at rising places.
        rank_n: Rank of each place, 0 for the best.
        similarity: Smallest cosine of duplicates.
        cluster_size: Most vectors of a cell, which are compared with each other.
        seed: Of the cells.
        assign: As in `split`.

    Raises:
        InputError: `similarity` is no cosine, or `cluster_size` below 2.
        MissingExtra: faiss is not installed.
    """
    check_similarity(similarity)
    if cluster_size < 2:
        raise InputError(f"the cluster size is {cluster_size}; give at least 2")
    keeper_n = np.arange(len(rank_n))
    cosine_n = np.ones(len(rank_n), dtype=np.float32)
    # Half the distance of unit vectors of that cosine: of two vectors on two sides of a plane that are no
    # farther apart, one is at most half as far from it.
    margin = float(np.sqrt(2 - 2 * similarity) / 2)
    for cell in split(len(rank_n), read, most=cluster_size, margin=margin, seed=seed, assign=assign):
        here = np.flatnonzero(keeper_n[cell.places] == cell.places)
        order = here[np.argsort(rank_n[cell.places[here]])]
        places = cell.places[order]
        keeper, cosine = group_vectors(cell.vectors_nD[order], similarity)
        keeper_n[places], cosine_n[places] = places[keeper], cosine
    _seat_again(read, rank_n, keeper_n, cosine_n, similarity)
    return keeper_n, cosine_n


def _seat_again(read: Read, rank_n: Ints, keeper_n: Ints, cosine_n: Floats, similarity: float) -> None:
    """Give those whose keeper went in a later cell what stays for it, or, where that is not near, keep them.

    Of those that went for the same one and are near each other, the best is kept and the others go for it.
    """
    lost = np.flatnonzero(keeper_n[keeper_n] != keeper_n)
    if not len(lost):
        return
    went_for = keeper_n[lost]
    last = went_for.copy()
    while (keeper_n[last] != last).any():
        last = keeper_n[last]
    cosine = _cosines(read, lost, last)
    near = cosine >= similarity
    keeper_n[lost[near]], cosine_n[lost[near]] = last[near], cosine[near]
    left = np.flatnonzero(~near)
    left = left[np.lexsort((rank_n[lost[left]], went_for[left]))]
    for group in np.split(left, np.flatnonzero(np.diff(went_for[left])) + 1):
        places = lost[group]
        rising = np.sort(places)
        keeper, alike = group_vectors(read(rising)[np.searchsorted(rising, places)], similarity)
        keeper_n[places], cosine_n[places] = places[keeper], alike


def _cosines(read: Read, first: Ints, second: Ints) -> Floats:
    """Of each two places, read in blocks."""
    cosine = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), BLOCK):
        part = slice(start, start + BLOCK)
        needed, at = np.unique(np.concatenate([first[part], second[part]]), return_inverse=True)
        vectors_nD = read(needed)
        own, other = np.split(at, 2)
        cosine[part] = np.einsum("nd,nd->n", vectors_nD[own], vectors_nD[other])
    return cosine
