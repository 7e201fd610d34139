"""Which of two duplicates is the better one."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.uids import uid_bytes
from thresher.duplicates.hashing import Images
from thresher.errors import InputError
from thresher.pools.source import open_scores, usable

Floats = npt.NDArray[np.float64]


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
        return images.pixels_n.astype(np.float64), 0
    value_n = np.full(len(images), -np.inf)
    for part, table in open_scores(scores, by).rows("uid"):
        finite = usable(part, table)
        uids = uid_bytes(table.column("uid").filter(pa.array(finite)))
        score = pc.cast(table.column("score"), pa.float64()).to_numpy()[finite]
        near = np.minimum(np.searchsorted(images.uid_n, uids), max(len(images) - 1, 0))
        here = images.uid_n[near] == uids if len(images) else np.zeros(len(uids), dtype=bool)
        np.maximum.at(value_n, near[here], score[here])
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
