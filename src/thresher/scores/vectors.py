"""The interface of a scorer of stored embeddings: it gets rows of pairs and reads their vectors itself.

Shapes: n pairs, D embedding dimensions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError
from thresher.scores.embeddings.stored import Places, StoredEmbeddings, Vectors

TILE_ROWS = 256
"""Pairs whose vectors are held at once; always cut alike, so that sums do not depend on the run."""

Scores = npt.NDArray[np.float32]
Step = Callable[[int], None]
"""Is told how many pairs' worth of work is done, each scorer's work on a pair counted once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorScorer:
    """An open scorer of stored embeddings.

    Attributes:
        fingerprint: Changes whenever the scores of the same pairs would change.
        score: (places of the pairs of some parts, one array a part; a function to be told of progress) ->
            the scores, float32 [n] a part. What a pair gets does not depend on the parts asked with it.
    """

    fingerprint: str
    score: Callable[[Sequence[Places], Step], list[Scores]]


VectorScorerFactory = Callable[..., Callable[[StoredEmbeddings], VectorScorer]]
"""Takes a scorer's options; what comes back opens it on some embeddings."""


def tiles(places: Places, at_once: int = TILE_ROWS) -> Iterator[tuple[slice, Places]]:
    """The places in pieces of so many, each with where it stands."""
    for start in range(0, len(places), at_once):
        rows = slice(start, min(start + at_once, len(places)))
        yield rows, places[rows]


def piece_by_piece(
    of: Callable[[Places], npt.NDArray[np.floating]], at_once: int = TILE_ROWS
) -> Callable[[Sequence[Places], Step], list[Scores]]:
    """The `score` of a scorer whose function `of` gives so many pairs their scores at once."""

    def score(parts: Sequence[Places], step: Step) -> list[Scores]:
        found = [np.empty(len(places), dtype=np.float32) for places in parts]
        for places, done in zip(parts, found, strict=True):
            for rows, piece in tiles(places, at_once):
                done[rows] = of(piece)
                step(len(piece))
        return found

    return score


def finite(embeddings: StoredEmbeddings, vectors: Vectors) -> Vectors:
    """The vectors that all pairs are compared with; a single NaN among them would be in every score.

    Raises:
        InputError: a vector is not finite.
    """
    if not np.isfinite(vectors.sum()):
        raise InputError(
            f"{embeddings.folder} holds vectors that are not finite, with which no pair can be compared; "
            "embed the shards again, with --precision fp32"
        )
    return vectors


def made_by(embeddings: StoredEmbeddings) -> str:
    """What vectors depend on: model, preprocessing, precision and the form in which they are stored."""
    return f"{embeddings.fingerprint} {embeddings.precision} {embeddings.dtype}"


def cosines(embeddings: StoredEmbeddings, places: Places) -> Scores:
    """Cosine of image and text of each pair, float32 [n]."""
    found: Scores = np.einsum("nd,nd->n", embeddings.image(places), embeddings.text(places))
    return found


def clip_of_embeddings() -> Callable[[StoredEmbeddings], VectorScorer]:
    """Scores pairs as the scorer `clip` does, from -1 to 1, without the model.

    fp16 vectors give its cosine to about 0.0005, int8 vectors to about 0.005.
    """

    def opened(embeddings: StoredEmbeddings) -> VectorScorer:
        return VectorScorer(
            fingerprint=f"clip-embeddings-1 {made_by(embeddings)}",
            score=piece_by_piece(lambda tile: cosines(embeddings, tile)),
        )

    return opened
