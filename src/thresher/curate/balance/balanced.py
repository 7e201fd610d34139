"""A balanced subset of an embeddings folder: equally many draws from every branch.

Each cluster of the last level gives the same number of draws, as far as it has them; that number is divided
equally among its clusters on the level below, and so on down to the points (after arXiv 2405.15613).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.curate.balance.points import Points, Words, points_of, shuffle_keys
from thresher.curate.balance.softcap import LISTS, drawn_table
from thresher.curate.balance.tree import Tree, cluster_counts, grow_tree, rank_in_run
from thresher.curate.subset.write import NPY_FILE, PARQUET_FILE, write_subset
from thresher.data.digests import hasher
from thresher.data.files.atomic import write_json
from thresher.data.files.provenance import claim
from thresher.data.files.record_file import from_record, own_file
from thresher.errors import InputError
from thresher.scores.embeddings.stored import StoredEmbeddings, open_embeddings

BALANCE_FILE = "balance.json"
SCHEMA = "thresher.balance"
VERSION = 1
POOL = "balanced"
Counts = npt.NDArray[np.int64]


def draw_balanced(tree: Tree, words: Words, size: int, *, repeats: int = 1, seed: int = 0) -> Counts:
    """How often each point is drawn, int64 [n]; the sum is `size`.

    Of a cluster that gives r draws of m points, every point is drawn floor(r / m) times, and those that come
    first in a shuffle by uid once more.

    Args:
        tree: From `grow_tree`.
        words: Uids of its points, uint64 [n, 2].
        size: Draws wanted.
        repeats: Most times that a point may be drawn.
        seed: Of the shuffle.

    Raises:
        InputError: `size` is more than the points give, or a number is below 1.
    """
    if size < 1 or repeats < 1:
        raise InputError(f"size is {size} and repeats {repeats}; give at least 1 of both")
    if size > repeats * len(tree.labels):
        raise InputError(
            f"a size of {size} is more than {len(tree.labels)} pairs drawn at most {repeats} times; lower "
            "the size, or let pairs repeat more often"
        )
    quotas = _from_the_top(tree, size, repeats, seed)
    order = np.lexsort((words[:, 1], words[:, 0], shuffle_keys(words, seed), tree.labels))
    labels = tree.labels[order]
    wanted, members = quotas[labels], tree.sizes[0][labels]
    drawn = np.empty(len(labels), dtype=np.int64)
    drawn[order] = wanted // members + (rank_in_run(labels) < wanted % members)
    return drawn


def _from_the_top(tree: Tree, size: int, repeats: int, seed: int) -> Counts:
    """Draws of each cluster of the first level."""
    last = len(tree.sizes) - 1
    quotas = share_out(tree.sizes[last] * repeats, size, np.random.default_rng([seed, last]))
    for level in range(last - 1, -1, -1):
        draw = np.random.default_rng([seed, level])
        order = np.argsort(tree.parents[level], kind="stable")
        ends = np.cumsum(np.bincount(tree.parents[level], minlength=len(quotas)))
        below = np.empty(len(order), dtype=np.int64)
        for children, quota in zip(np.split(order, ends[:-1]), quotas.tolist(), strict=True):
            below[children] = share_out(tree.sizes[level][children] * repeats, quota, draw)
        quotas = below
    return quotas


def share_out(most: Counts, total: int, draw: np.random.Generator) -> Counts:
    """`total` shared out as equally as can be where place i takes at most `most[i]`.

    What is left over after equal shares goes one each to places drawn among those that can take more.

    >>> share_out(np.array([100, 3, 100]), 43, np.random.default_rng(0)).tolist()
    [20, 3, 20]
    """
    assert 0 <= total <= most.sum()
    low, high = 0, int(most.max())  # the largest equal share that does not give out too much
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(most, middle).sum()) <= total:
            low = middle
        else:
            high = middle - 1
    shares: Counts = np.minimum(most, low)
    left = total - int(shares.sum())
    if left:
        shares[draw.choice(np.flatnonzero(most > low), left, replace=False)] += 1
    return shares


def evenness(counts: npt.NDArray[np.integer]) -> float:
    """How evenly draws fall on clusters: entropy of their shares over that of equal shares, 0 to 1.

    >>> evenness(np.array([5, 5])), evenness(np.array([10, 0]))
    (1.0, 0.0)
    """
    if len(counts) < 2:
        return 1.0
    shares = counts[counts > 0] / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum() / np.log(len(counts))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level of clusters, with its balance in the pool and in the subset.

    Attributes:
        clusters: Their number; none is empty.
        objective: Mean squared distance of what the level clusters to the nearest centroid.
        evenness_before: Of the pool over these clusters: entropy over that of equal shares, 0 to 1.
        evenness_after: Of the subset.
        largest_before: Share of the largest cluster in the pool.
        largest_after: In the subset.
    """

    clusters: int
    objective: float
    evenness_before: float
    evenness_after: float
    largest_before: float
    largest_after: float


@dataclass(frozen=True, slots=True)
class _Counts:
    pool: int
    unique: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """A balanced subset on disk.

    Attributes:
        folder: Where it is.
        num_pool: Pairs that it was drawn from.
        num_unique: Pairs in it.
        num_rows: Draws in it, repeats counted.
        levels: Finest first.
    """

    folder: Path
    num_pool: int
    num_unique: int
    num_rows: int
    levels: tuple[Level, ...]


def balance_embeddings(
    embeddings: str | Path,
    out: str | Path,
    *,
    size: int,
    levels: int = 3,
    clusters: Sequence[int] = (),
    vectors: str = "image",
    repeats: int = 1,
    resamples: int = 3,
    iterations: int = 10,
    format: str = "npy",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Balanced:
    """Cluster the pairs of an embeddings folder and draw `size` of them equally from all branches.

    Writes `out` as `write_subset` does, and `balance.json` last. A folder with a `balance.json` of the same
    embeddings and options is left as it is.

    Args:
        embeddings: Folder that `thresher embed` wrote.
        out: Folder for the subset.
        size: Draws wanted, exactly.
        levels: Levels of clusters, whose numbers are then those of `cluster_counts`.
        clusters: Numbers of clusters, finest level first, in place of `levels`.
        vectors: Cluster by `image` or by `text`.
        repeats: Most times that a pair may be drawn.
        resamples: Times that each level is resampled.
        iterations: Most passes of each k-means.
        format: `npy` or `parquet`.
        seed: Of sampling and of ties.
        progress: Called with (passes over the embeddings done, passes in all).

    Raises:
        InputError: there are no embeddings, `size` is more than they give, fewer pairs than clusters, a
            vector is not finite, the format is no list, or `out` holds something else.
    """
    if format not in LISTS:
        raise InputError(f"the pairs are written as one of {', '.join(LISTS)}, not as {format!r}")
    stored = open_embeddings(embeddings)
    points = points_of(stored, vectors)
    if not 1 <= size <= repeats * points.count:  # said before hours of clustering
        raise InputError(
            f"a size of {size} cannot be drawn from {points.count} pairs at most {repeats} times each; a "
            f"size from 1 to {repeats * points.count} can, and more where pairs may repeat more often"
        )
    counts = tuple(clusters) or cluster_counts(points.count, levels)
    made_of = {
        **_source(stored, vectors, points),
        "settings": {
            "clusters": list(counts),
            "size": size,
            "repeats": repeats,
            "resamples": resamples,
            "iterations": iterations,
            "format": format,
            "seed": seed,
        },
    }
    folder = Path(out)
    finished = _finished(folder, made_of)
    if finished is not None:
        return finished
    tree = grow_tree(points, counts, resamples=resamples, iterations=iterations, seed=seed, progress=progress)
    drawn = draw_balanced(tree, points.words, size, repeats=repeats, seed=seed)
    summary = write_subset(drawn_table(points.words, drawn, POOL), folder, format=format, samples_seen=size)
    result = Balanced(
        folder=folder,
        num_pool=points.count,
        num_unique=summary.num_unique,
        num_rows=summary.num_rows,
        levels=levels_of(tree, drawn),
    )
    write_json(folder / BALANCE_FILE, {**made_of, **record_of(result)})
    return result


def levels_of(tree: Tree, drawn: Counts) -> tuple[Level, ...]:
    """Balance of the pool and of the draws on every level of the tree, finest first."""
    after = np.bincount(tree.labels, weights=drawn, minlength=len(tree.sizes[0])).astype(np.int64)
    found = []
    for level, before in enumerate(tree.sizes):
        if level:
            after = np.bincount(tree.parents[level - 1], weights=after, minlength=len(before)).astype(
                np.int64
            )
        found.append(
            Level(
                clusters=len(before),
                objective=tree.objectives[level],
                evenness_before=evenness(before),
                evenness_after=evenness(after),
                largest_before=float(before.max() / before.sum()),
                largest_after=float(after.max() / after.sum()),
            )
        )
    return tuple(found)


def record_of(result: Balanced) -> dict[str, Any]:
    """The result as JSON holds it, without its folder."""
    return {
        "counts": {"pool": result.num_pool, "unique": result.num_unique, "rows": result.num_rows},
        "levels": [asdict(level) for level in result.levels],
    }


def _source(stored: StoredEmbeddings, vectors: str, points: Points) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "model": stored.model,
        "fingerprint": stored.fingerprint,
        "dtype": stored.dtype,
        "vectors": vectors,
        "pairs": points.count,
        "uids": hasher(points.words.tobytes()).hexdigest(),
    }


def _finished(folder: Path, made_of: dict[str, Any]) -> Balanced | None:
    """The subset that the folder already holds, or None."""
    content = claim(folder, made_of, record=BALANCE_FILE, noun="balanced subset")
    if content is None or not any((folder / name).exists() for name in (NPY_FILE, PARQUET_FILE)):
        return None
    with own_file(folder / BALANCE_FILE, "delete the folder and balance again"):
        counts = from_record(_Counts, content["counts"], place="counts")
        levels = from_record(tuple[Level, ...], content["levels"], place="levels")
    return Balanced(
        folder=folder, num_pool=counts.pool, num_unique=counts.unique, num_rows=counts.rows, levels=levels
    )
