"""Semantic duplicates: vectors that are near within a cluster, as in SemDeDup (arXiv 2303.09540)."""

import numpy as np
import numpy.typing as npt

from thresher.duplicates.clusters import Read, split
from thresher.duplicates.star import keep_of_vectors
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
) -> tuple[Ints, Floats]:
    """For each vector the place that it goes for (its own: it stays), and their cosine.

    Within a cluster a vector goes when its cosine with a better one that stays is at least `similarity`.
    Near vectors that fall into two clusters both stay.

    Args:
        read: Unit vectors [n, D] at rising places.
        rank_n: Rank of each place, 0 for the best.
        similarity: Smallest cosine of duplicates.
        cluster_size: Most vectors of a cluster, which are compared with each other.
        seed: Of the clusters.

    Raises:
        InputError: `similarity` is no cosine, or `cluster_size` below 2.
        MissingExtra: faiss is not installed.
    """
    check_similarity(similarity)
    if cluster_size < 2:
        raise InputError(f"the cluster size is {cluster_size}; give at least 2")
    keeper_n = np.arange(len(rank_n))
    cosine_n = np.ones(len(rank_n), dtype=np.float32)
    for places, vectors_nD in split(len(rank_n), read, most=cluster_size, seed=seed):
        order = np.argsort(rank_n[places])
        keeper, cosine = keep_of_vectors(vectors_nD[order], similarity)
        keeper_n[places[order]] = places[order][keeper]
        cosine_n[places[order]] = cosine
    return keeper_n, cosine_n
