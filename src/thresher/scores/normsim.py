"""NormSim: how much an image has in common with a set of target images.

Shapes: n pairs scored, m images of the target, D embedding dimensions.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from thresher.data.digests import hasher
from thresher.errors import InputError
from thresher.scores.embeddings.stored import Places, StoredEmbeddings, Vectors, open_embeddings
from thresher.scores.vectors import TILE_ROWS, VectorScorer, finite, made_by, piece_by_piece, tiles
from thresher.tables import decimal

TARGET_ROWS = 32_768
"""Target images whose vectors are held at once."""

ONE_PASS_ROWS = 64 * TILE_ROWS
"""Pairs that share a reading of the target."""


def normsim(*, target: str, p: float = math.inf) -> Callable[[StoredEmbeddings], VectorScorer]:
    """Scores pairs by the p-norm of the cosines of their image with all target images.

    With f the unit image vectors (arXiv 2405.19547, equation of NormSim_p):

        ( sum_{y in target} |f_y . f_x|^p )^(1/p),   for p = inf   max_{y in target} |f_y . f_x|

    p = inf keeps what is near any one target image, p = 2 what lies along the directions in which the target
    varies. Captions take no part. The paper ranks the pairs that s-CLIPLoss keeps by it.

    Args:
        target: Folder that `thresher embed` wrote of the target's shards, by the same model; its training
            split, not the one that models will be evaluated on.
        p: 1 or more, or inf; 2 costs least, since it needs the target's second moments alone.

    Raises:
        InputError: p is below 1.
    """
    if not p >= 1:
        raise InputError(f"normsim: p={decimal(p)} is not a norm; take 2, inf, or another number from 1")

    def opened(embeddings: StoredEmbeddings) -> VectorScorer:
        aim = open_embeddings(target, fingerprint=embeddings.fingerprint)
        if aim.count == 0:
            raise InputError(f"the target {target} holds no embeddings; embed its shards")
        moments_DD = _second_moments(aim) if p == 2 else None

        def norms(places: Places) -> npt.NDArray[np.float64]:
            if moments_DD is None:
                return _norms(embeddings, places, aim, p)
            return _second_norms(embeddings, places, moments_DD)

        pairs = hasher(aim.uids.tobytes()).hexdigest()
        return VectorScorer(
            fingerprint=f"normsim-1 {made_by(embeddings)} {p:g} {made_by(aim)} {pairs}",
            score=piece_by_piece(norms, ONE_PASS_ROWS),
        )

    return opened


def _second_moments(aim: StoredEmbeddings) -> npt.NDArray[np.float64]:
    """Sum of the outer products of the target's vectors, float64 [D, D]."""
    moments_DD = np.zeros((aim.dim, aim.dim))
    for vectors_mD in _vectors(aim):
        exact_mD = vectors_mD.astype(np.float64)
        moments_DD += exact_mD.T @ exact_mD
    return moments_DD


def _second_norms(
    embeddings: StoredEmbeddings, places: Places, moments_DD: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    squares_n = np.empty(len(places))
    for rows, tile in tiles(places):
        image_nD = embeddings.image(tile).astype(np.float64)
        squares_n[rows] = np.einsum("nd,nd->n", image_nD @ moments_DD, image_nD)
    return np.sqrt(np.maximum(squares_n, 0))


def _norms(
    embeddings: StoredEmbeddings, places: Places, aim: StoredEmbeddings, p: float
) -> npt.NDArray[np.float64]:
    total_n = np.zeros(len(places))
    for vectors_mD in _vectors(aim):
        for rows, tile in tiles(places):
            cosines_nm = np.abs(embeddings.image(tile) @ vectors_mD.T)
            if math.isinf(p):
                np.maximum(total_n[rows], cosines_nm.max(axis=1), out=total_n[rows])
            else:
                total_n[rows] += np.power(cosines_nm, p, dtype=np.float64).sum(axis=1)
    return total_n if math.isinf(p) else np.power(total_n, 1 / p)


def _vectors(aim: StoredEmbeddings) -> Iterator[Vectors]:
    for start in range(0, aim.count, TARGET_ROWS):
        yield finite(aim, aim.image(np.arange(start, min(start + TARGET_ROWS, aim.count))))
