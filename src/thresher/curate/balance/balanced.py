"""A balanced subset of an embeddings folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thresher.curate.balance.points import Points, points_of
from thresher.curate.balance.sample import Counts, draw_balanced, evenness
from thresher.curate.balance.softcap import LISTS, drawn_table
from thresher.curate.balance.tree import Tree, cluster_counts, grow_tree
from thresher.curate.subset.write import NPY_FILE, PARQUET_FILE, write_subset
from thresher.data.digests import hasher
from thresher.data.files.atomic import write_json
from thresher.data.files.provenance import claim
from thresher.errors import InputError
from thresher.scores.embeddings.stored import StoredEmbeddings, open_embeddings

BALANCE_FILE = "balance.json"
SCHEMA = "thresher.balance"
VERSION = 1
POOL = "balanced"


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
    try:
        counts = content["counts"]
        return Balanced(
            folder=folder,
            num_pool=counts["pool"],
            num_unique=counts["unique"],
            num_rows=counts["rows"],
            levels=tuple(Level(**level) for level in content["levels"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / BALANCE_FILE} is damaged ({error}); delete the folder and balance again"
        ) from error
