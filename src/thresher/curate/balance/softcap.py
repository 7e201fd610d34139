"""Soft-cap sampling: good pairs often, but less and less often.

Rounds of draws without replacement from softmax(score); after each, the scores of those drawn fall by a
penalty (arXiv 2503.08805). A pair far better than the others is drawn in many rounds, until its score has
fallen to theirs: a cap that the scores set, in place of a threshold.

The published code draws 128 million samples in 1,280 rounds of 100,000, each from noise for every pair. Here
every pair has a time at which it comes, exponential with the rate exp(score), and a round takes the next to
come; the others, whose times know nothing of how long they have waited, need no new ones. The chances are
the same, and a round costs what it draws.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.curate.balance.points import Words, shuffle_keys
from thresher.curate.subset.write import SubsetSummary, write_subset
from thresher.data.uids import uid_texts, uid_words
from thresher.errors import InputError
from thresher.scores.read import open_scores, usable

PENALTY = 0.15
"""What the score of a drawn pair loses, as published."""
ROUNDS = 1280
WINDOW = 32
"""Rounds ahead for which the next pairs are looked out at once."""
POOL = "soft-cap"
LISTS = ("npy", "parquet")
"""Formats of subsets that are lists of uids; they need no shards."""

Times = npt.NDArray[np.float64]


def soft_cap(
    scores: npt.NDArray[np.floating],
    words: Words,
    size: int,
    *,
    penalty: float = PENALTY,
    temperature: float = 1.0,
    batch: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.int64]:
    """How often each pair is drawn, int64 [n]; the sum is `size`.

    The times follow from uid, seed and how often a pair was drawn before: row order does not matter.

    Args:
        scores: One of each pair, finite.
        words: Uids, uint64 [n, 2].
        size: Draws wanted; may be more than there are pairs.
        penalty: What the score of a drawn pair loses, in units of the score.
        temperature: Divides the scores; small ones keep to the best.
        batch: Draws a round, at most one a pair; None: as many as make 1,280 rounds, as published.
        seed: Of the times.
        progress: Called with (draws done, `size`).

    Raises:
        InputError: a score is not finite, or an option is out of its range.
    """
    count = len(scores)
    if not count or len(words) != count:
        raise InputError(f"{count} scores do not go with {len(words)} uids; give one each, and at least one")
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores)))
        raise InputError(f"score of row {row} is {scores[row]}; drop the pair or impute its score")
    if size < 1 or not (penalty >= 0 and np.isfinite(penalty)) or not (0 < temperature < np.inf):
        raise InputError(
            f"size is {size}, penalty {penalty} and temperature {temperature}; the size and the temperature "
            "must be above 0, and the penalty not below"
        )
    if batch is None:
        batch = min(count, -(-size // ROUNDS))
    if not 1 <= batch <= count:
        raise InputError(
            f"a batch of {batch} cannot be drawn from {count} pairs without replacement; lower it"
        )
    left = np.asarray(scores, dtype=np.float64) / temperature
    drawn, done = np.zeros(count, dtype=np.int64), 0
    coming = _log_waits(words, seed, drawn) - left  # logarithms of times
    window, horizon = np.empty(0, dtype=np.int64), -np.inf
    while done < size:
        take = min(batch, size - done)
        if len(window) < take:
            window, horizon = _next_to_come(coming, WINDOW * batch)
        chosen = window[np.argpartition(coming[window], take - 1)[:take]]
        now = coming[chosen].max()
        drawn[chosen] += 1
        left[chosen] -= penalty / temperature
        waits = _log_waits(words[chosen], seed, drawn[chosen])
        coming[chosen] = np.logaddexp(now, waits - left[chosen])
        window = window[coming[window] <= horizon]
        done += take
        if progress is not None:
            progress(done, size)
    return drawn


def soft_cap_scores(
    scores: str | Path,
    out: str | Path,
    *,
    by: str,
    size: int,
    format: str = "npy",
    penalty: float = PENALTY,
    temperature: float = 1.0,
    batch: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SubsetSummary:
    """A subset of a scores folder, drawn by `soft_cap` (which see) by the column `by`.

    Pairs in quarantine are left out, and a uid that stands twice counts once, where it stands first.

    Raises:
        InputError: as `soft_cap`; there are no such scores, the format is no list, or `out` holds something
            else.
    """
    if format not in LISTS:
        raise InputError(f"the pairs are written as one of {', '.join(LISTS)}, not as {format!r}")
    columns, values = [], []
    for part, table in open_scores(Path(scores), by).rows("uid"):
        kept = usable(part, table)
        columns.append(uid_words(table.column("uid").filter(pa.array(kept))))
        values.append(table.column("score").to_numpy()[kept])
    words, found = np.concatenate(columns), np.concatenate(values)
    first = np.unique(words, axis=0, return_index=True)[1]
    words, found = words[first], found[first]
    drawn = soft_cap(
        *(found, words, size),
        penalty=penalty,
        temperature=temperature,
        batch=batch,
        seed=seed,
        progress=progress,
    )
    return write_subset(drawn_table(words, drawn, POOL), out, format=format, samples_seen=size)


def drawn_table(words: Words, drawn: npt.NDArray[np.int64], pool: str) -> pa.Table:
    """The pairs that were drawn, by uid: columns `uid`, `pool`, `repeats`, as `write_subset` takes them."""
    chosen = np.flatnonzero(drawn)
    chosen = chosen[np.lexsort((words[chosen, 1], words[chosen, 0]))]
    repeats = pa.array(drawn[chosen], pa.int32())
    return pa.table({"uid": uid_texts(words[chosen]), "pool": [pool] * len(chosen), "repeats": repeats})


def _next_to_come(coming: Times, many: int) -> tuple[npt.NDArray[np.int64], float]:
    """The pairs that come first, and the time until which no other comes."""
    if many >= len(coming):
        return np.arange(len(coming)), np.inf
    first = np.argpartition(coming, many - 1)[:many]
    return first, float(coming[first].max())


def _log_waits(words: Words, seed: int, drawn: npt.NDArray[np.int64]) -> Times:
    """Logarithm of a standard exponential time of each pair, another one each time that it was drawn."""
    waits = np.empty(len(words))
    for times in np.unique(drawn).tolist():
        rows = np.flatnonzero(drawn == times)
        keys = shuffle_keys(words[rows], seed, times)
        uniform = ((keys >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        waits[rows] = np.log(-np.log(uniform))
    return waits
