"""Images of a pool that leak an evaluation: they are near an image that models will be evaluated on.

Shapes: n images of the pool, m of the evaluation, D dimensions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.curate.duplicates.clusters import Read
from thresher.curate.duplicates.drops import EVALUATION, Drops
from thresher.curate.duplicates.hashing import Images
from thresher.curate.duplicates.near import near_pairs
from thresher.scores.embeddings.stored import StoredEmbeddings

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What models will be evaluated on.

    Attributes:
        images: Hashes of its images.
        stored: Its embeddings, by the model that embedded the pool; None without them.
    """

    images: Images
    stored: StoredEmbeddings | None

    @property
    def uid_n(self) -> npt.NDArray[np.bytes_]:
        """Uids of the hashed images, then of the embedded ones."""
        if self.stored is None:
            return self.images.uid_n
        return np.concatenate([self.images.uid_n, self.stored.uids])

    def __len__(self) -> int:
        return len(np.unique(self.uid_n))


def drop_hashed(drops: Drops, images: Images, evaluation: Images, distance: int) -> None:
    """Images that are one of the evaluation's go, for the nearest of them, then that of the smallest uid."""
    many = len(evaluation)
    if not many or not len(images):
        return
    edges = near_pairs(
        np.concatenate([evaluation.bits_n, images.bits_n]),
        np.concatenate([evaluation.thumbnail_nT, images.thumbnail_nT]),
        distance=distance,
    )
    across = (edges.first_e < many) & (edges.second_e >= many)
    match, rows, apart = edges.first_e[across], edges.second_e[across] - many, edges.distance_e[across]
    order = np.lexsort((match, apart, rows))
    rows, first = np.unique(rows[order], return_index=True)
    drops.drop(EVALUATION, rows, match[order][first], distance=apart[order][first])
    # Equal bytes last: they are certain, and found however many images share a bucket.
    digests, places = np.unique(evaluation.sha256_n, return_index=True)
    near = np.minimum(np.searchsorted(digests, images.sha256_n), len(digests) - 1)
    same = np.flatnonzero(digests[near] == images.sha256_n)
    drops.drop(EVALUATION, same, places[near[same]], distance=np.zeros(len(same), dtype=np.int64))


def drop_embedded(
    drops: Drops,
    places_n: Ints,
    stored: StoredEmbeddings,
    evaluation: Evaluation,
    similarity: float,
) -> None:
    """Images that stay so far and whose embedding is near one of the evaluation's go for the nearest.

    Every image is compared with every one of the evaluation, whose vectors are held in memory.

    Args:
        drops: Of the images of the pool.
        places_n: Place of each of them in `stored`.
        stored: Embeddings of the pool.
        evaluation: With embeddings of the same model.
        similarity: Smallest cosine at which an image goes.
    """
    if evaluation.stored is None or not evaluation.stored.count:
        return
    rows = drops.staying(np.arange(len(places_n)))
    outside_mD = evaluation.stored.image(np.arange(evaluation.stored.count))
    match, cosine = nearest_of(lambda at: stored.image(places_n[rows[at]]), len(rows), outside_mD)
    going = cosine >= similarity
    matched = len(evaluation.images) + match[going]
    drops.drop(EVALUATION, rows[going], matched, similarity=cosine[going])


def nearest_of(read: Read, count: int, others_mD: Floats) -> tuple[Ints, Floats]:
    """For each of `count` unit vectors the most similar of the others, at a tie the first, and its cosine."""
    match = np.zeros(count, dtype=np.int64)
    cosine = np.full(count, -np.inf, dtype=np.float32)
    for start in range(0, count, BLOCK):
        part = np.arange(start, min(start + BLOCK, count))
        vectors_BD = read(part)
        for first in range(0, len(others_mD), BLOCK):
            cosine_Bm = vectors_BD @ others_mD[first : first + BLOCK].T
            top = cosine_Bm.argmax(axis=1)
            value = cosine_Bm[np.arange(len(part)), top]
            better = value > cosine[part]
            match[part[better]], cosine[part[better]] = first + top[better], value[better]
    return match, cosine
