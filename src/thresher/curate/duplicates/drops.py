"""Which images are dropped in favour of which others, and which of two duplicates is better.

An image goes for a better one that it repeats, or because it is near one that models will be evaluated on.

Shapes: n images of the pool, m of the evaluation, D dimensions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.curate.duplicates.hashing import Images
from thresher.curate.duplicates.near import MANY, near_pairs, nearest_of
from thresher.data.uids import UidRows, uid_bytes, uid_texts
from thresher.errors import InputError
from thresher.scores.embeddings.stored import StoredEmbeddings
from thresher.scores.read import open_scores, usable

EVALUATION = "evaluation"
EXACT = "exact"
PERCEPTUAL = "perceptual"
SEMANTIC = "semantic"
METHODS = (EVALUATION, EXACT, PERCEPTUAL, SEMANTIC)
"""Why an image goes, in the order in which it is asked."""

STAYS = -1
SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),
        pa.field("kept_uid", pa.string()),
        pa.field("matched_uid", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("distance", pa.int32()),
        pa.field("similarity", pa.float32()),
    ]
)
"""Columns of `dropped.parquet`."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Drops:
    """For each image (by place): the method by which it goes, and the place of what it matched.

    `method_n` counts in `METHODS` and is `STAYS` for what stays. `match_n` is a place among the images, or
    among those of the evaluation for the method `evaluation`.
    """

    method_n: npt.NDArray[np.int8]
    match_n: Ints
    distance_n: npt.NDArray[np.int32]
    similarity_n: npt.NDArray[np.float32]

    @classmethod
    def none(cls, count: int) -> "Drops":
        """Nothing goes yet."""
        return cls(
            np.full(count, STAYS, np.int8),
            np.full(count, STAYS, np.int64),
            np.full(count, -1, np.int32),
            np.full(count, np.nan, np.float32),
        )

    def staying(self, ranked: Ints) -> Ints:
        """Those of `ranked` that stay, in that order."""
        left: Ints = ranked[self.method_n[ranked] == STAYS]
        return left

    def drop(
        self,
        method: str,
        rows: Ints,
        match: Ints,
        *,
        distance: Ints | None = None,
        similarity: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Images `rows` go for `match`."""
        self.method_n[rows] = METHODS.index(method)
        self.match_n[rows] = match
        if distance is not None:
            self.distance_n[rows] = distance
        if similarity is not None:
            self.similarity_n[rows] = similarity

    def kept_of(self, rows: Ints) -> Ints:
        """What stays in place of each of `rows`; `STAYS` where the evaluation took all of them.

        What an image matched may have gone by a later method for something better still, so the way is
        followed to its end.
        """
        evaluation = METHODS.index(EVALUATION)
        at = rows.copy()
        while True:
            going = (at != STAYS) & (self.method_n[at] != STAYS)
            if not going.any():
                return at
            at[going] = np.where(self.method_n[at[going]] == evaluation, STAYS, self.match_n[at[going]])

    def counts(self) -> dict[str, int]:
        """Images that go by each method."""
        return {method: int((self.method_n == place).sum()) for place, method in enumerate(METHODS)}

    def table(self, uid_n: npt.NDArray[np.bytes_], evaluation_uid_m: npt.NDArray[np.bytes_]) -> pa.Table:
        """The columns of `SCHEMA`, sorted by uid."""
        rows = np.flatnonzero(self.method_n != STAYS)
        method = self.method_n[rows]
        outside = method == METHODS.index(EVALUATION)
        kept, match = self.kept_of(rows), self.match_n[rows]
        matched = np.empty(len(rows), dtype="S16")
        matched[~outside] = uid_n[match[~outside]]
        matched[outside] = evaluation_uid_m[match[outside]]
        stands = uid_texts(uid_n[np.maximum(kept, 0)])
        distance, similarity = self.distance_n[rows], self.similarity_n[rows]
        return pa.table(
            [
                uid_texts(uid_n[rows]),
                pc.if_else(pa.array(kept != STAYS), stands, pa.scalar(None, pa.string())),
                uid_texts(matched),
                pa.array([METHODS[place] for place in method.tolist()], pa.string()),
                pa.array(distance, mask=distance < 0),
                pa.array(similarity, mask=np.isnan(similarity)),
            ],
            schema=SCHEMA,
        )


def values_of(images: Images, scores: Path | None, by: str | None) -> tuple[Floats, int]:
    """What each image is ranked by, higher is better, and how many pairs have no score (they rank last).

    Without scores it is the number of pixels: the original stays, its thumbnail goes.

    Raises:
        InputError: scores without a column or the other way round, there are none of that name, a score is
            NaN, or none of the pairs has a score.
    """
    if (scores is None) != (by is None):
        raise InputError("scores and the column to rank by go together; give both --scores and --by")
    if scores is None or by is None:
        return images.hashed["pixels"].astype(np.float64), 0
    value_n = np.full(len(images), -np.inf)
    of_uids = UidRows(images.uid_n)
    for part, table in open_scores(scores, by).rows("uid"):
        finite = usable(part, table)
        uids = uid_bytes(table.column("uid").filter(pa.array(finite)))
        score = pc.cast(table.column("score"), pa.float64()).to_numpy()[finite]
        rows = of_uids.find(uids)
        np.maximum.at(value_n, rows[rows >= 0], score[rows >= 0])
    unscored = int((value_n == -np.inf).sum())
    if len(images) and unscored == len(images):
        raise InputError(f"no pair of the shards has a score in {scores}; score these shards first")
    return value_n, unscored


def best_first(value_n: Floats) -> npt.NDArray[np.int64]:
    """Places in the order of rank: the highest value first, ties by place (so by uid).

    >>> best_first(np.array([0.1, 0.9, 0.9])).tolist()
    [1, 2, 0]
    """
    return np.argsort(-value_n, kind="stable")


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
        np.concatenate([evaluation.hashed["phash"], images.hashed["phash"]]),
        np.concatenate([evaluation.hashed["thumbnail"], images.hashed["thumbnail"]]),
        distance=distance,
    )
    across = (edges.first_e < many) & (edges.second_e >= many)
    match, rows, apart = edges.first_e[across], edges.second_e[across] - many, edges.distance_e[across]
    order = np.lexsort((match, apart, rows))
    rows, first = np.unique(rows[order], return_index=True)
    drops.drop(EVALUATION, rows, match[order][first], distance=apart[order][first])
    # Equal bytes last: they are certain, and found however many images share a bucket.
    digests, places = np.unique(evaluation.hashed["sha256"], return_index=True)
    near = np.minimum(np.searchsorted(digests, images.hashed["sha256"]), len(digests) - 1)
    same = np.flatnonzero(digests[near] == images.hashed["sha256"])
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
    for start in range(0, len(rows), MANY):
        some = rows[start : start + MANY]
        match, cosine = nearest_of(stored.image(places_n[some]), outside_mD)
        going = cosine >= similarity
        matched = len(evaluation.images) + match[going]
        drops.drop(EVALUATION, some[going], matched, similarity=cosine[going])
