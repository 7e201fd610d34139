"""Deduplicates a pool: hash its images, find repeats, keep the best of each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.curate.duplicates.clusters import Assign, Read, assign_by, load_faiss
from thresher.curate.duplicates.drops import (
    EXACT,
    PERCEPTUAL,
    SEMANTIC,
    Drops,
    Evaluation,
    best_first,
    drop_embedded,
    drop_hashed,
    values_of,
)
from thresher.curate.duplicates.hashing import HASHES, Images, Progress, hash_folder, no_images, read_hashes
from thresher.curate.duplicates.near import MOST_DISTANCE, check_distance, group_edges, near_pairs
from thresher.curate.duplicates.semantic import SIMILARITY, check_similarity, semantic_duplicates
from thresher.curate.subset.npy import write_npy
from thresher.data.files.atomic import write_json, write_table
from thresher.data.files.lock import folder_lock
from thresher.data.uids import uid_texts
from thresher.errors import InputError
from thresher.executor.run import check_executor
from thresher.scores.embeddings.stored import StoredEmbeddings, open_embeddings
from thresher.sharded.summary import count_folder

SUMMARY_FILE = "dedup.json"
DROPPED_FILE = "dropped.parquet"
EXCLUDE_FILE = "exclude.npy"
EVALUATION_FOLDER = "evaluation"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupSummary:
    """What a deduplicated pool holds.

    Attributes:
        folder: Where the lists are.
        num_pairs: Pairs whose images were compared.
        num_kept: Those that stay.
        dropped: Method -> pairs that go by it.
        num_evaluation: Images of the evaluation sets; 0 without any.
        num_unscored: Pairs without a score, which rank last.
        num_repeated: Rows that have the uid of another row; they are the same pair.
        quarantine: Kind of reason -> rows refused while reading.
        unreadable: Shard -> why nothing of it could be read.
        status: Sentences on what needs attention.
    """

    folder: Path
    num_pairs: int
    num_kept: int
    dropped: Mapping[str, int]
    num_evaluation: int
    num_unscored: int
    num_repeated: int
    quarantine: Mapping[str, int]
    unreadable: Mapping[str, str]
    status: tuple[str, ...]


def deduplicate(
    shards: Sequence[str],
    out: str | Path,
    *,
    scores: str | Path | None = None,
    by: str | None = None,
    embeddings: str | Path | None = None,
    exclude_near: Sequence[str] = (),
    exclude_near_embeddings: str | Path | None = None,
    distance: int = MOST_DISTANCE,
    similarity: float = SIMILARITY,
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    executor: str = "local",
    ray_address: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DedupSummary:
    """Write the pairs whose image repeats a better one: `dropped.parquet`, `exclude.npy` and `dedup.json`.

    Asked in turn, each among what still stays: is the image near one of an evaluation set (same bytes,
    perceptual hash within `distance`, embedding of cosine `similarity`); does a better pair have the same
    bytes; a better pair a hash within `distance` bits; a better pair an embedding of cosine `similarity`. The
    better pair has the higher score; without scores the image of more pixels; at a tie the smaller uid.

    Args:
        shards: Names from `expand`.
        out: Folder for the lists, and for the hashes, which a later run reads again.
        scores: Folder that `thresher score` has filled; goes with `by`.
        by: Its column (or scorer) to rank by.
        embeddings: Folder that `thresher embed` has filled; without it nothing semantic is looked for.
        exclude_near: Shards of the images that models will be evaluated on.
        exclude_near_embeddings: Folder of their embeddings, by the same model as `embeddings`.
        distance: Largest Hamming distance of perceptual hashes, 0 to 4 of 64 bits.
        similarity: Smallest cosine of semantic duplicates.
        exclude: uids that are left out from the start.
        workers: Processes that decode images; 0 decodes in this process.
        executor: One of `thresher.executor.run.EXECUTORS`; it hashes shards and assigns vectors to cells.
        ray_address: Of the Ray cluster, as in `open_workers`.
        seed: Of the cells.
        progress: Called after every shard.

    Raises:
        InputError: an option cannot be used, a folder holds no finished scores or embeddings, those of the
            evaluation are of another model, an embedding of a pair is absent, or `out` holds the hashes of
            other shards.
        MissingExtra: embeddings are given and faiss is not installed.
    """
    check_distance(distance)
    check_similarity(similarity)
    if not shards:
        raise InputError("no shards are given to deduplicate; name tar files, tables or folders of images")
    check_executor(executor, ray_address)
    stored, outside = _open(embeddings, exclude_near_embeddings)
    folder = Path(out)
    options: dict[str, Any] = {
        "workers": workers,
        "executor": executor,
        "ray_address": ray_address,
        "progress": progress,
    }
    with folder_lock(folder):
        (folder / SUMMARY_FILE).unlink(missing_ok=True)  # it says that all is done
        unreadable = hash_folder(folder, shards, exclude=exclude, **options)
        evaluation = Evaluation(no_images(), outside)
        if exclude_near:
            there = folder / EVALUATION_FOLDER
            unreadable |= hash_folder(there, exclude_near, need_caption=False, **options)
            evaluation = Evaluation(read_hashes(there), outside)
        images = read_hashes(folder)
        value_n, unscored = values_of(images, None if scores is None else Path(scores), by)
        ranked = best_first(value_n)
        drops = Drops.none(len(images))
        drop_hashed(drops, images, evaluation.images, distance)
        if stored is not None:
            places_n = stored.find(uid_texts(images.uid_n))
            drop_embedded(drops, places_n, stored, evaluation, similarity)
        _exact(drops, images, ranked)
        _perceptual(drops, images, ranked, distance)
        if stored is not None:
            assign = assign_by(executor, ray_address)
            _semantic(drops, ranked, lambda at: stored.image(places_n[at]), similarity, seed, assign)
        summary = _summary(folder, images, evaluation, drops, unscored, unreadable)
        table = drops.table(images.uid_n, evaluation.uid_n)
        write_table(folder / DROPPED_FILE, table)
        write_npy(folder / EXCLUDE_FILE, table.column("uid"), np.ones(len(table), dtype=np.int64))
        made_with = {
            "by": by,
            "embeddings": None if stored is None else stored.fingerprint,
            "distance": distance,
            "similarity": None if stored is None else similarity,
            "seed": None if stored is None else seed,
        }
        write_json(folder / SUMMARY_FILE, _content(summary, len(shards), len(exclude_near), made_with))
    return summary


def _exact(drops: Drops, images: Images, ranked: Ints) -> None:
    rows = drops.staying(ranked)
    _, first, of_row = np.unique(images.hashed["sha256"][rows], return_index=True, return_inverse=True)
    best = first[of_row]
    going = np.flatnonzero(best != np.arange(len(rows)))
    drops.drop(EXACT, rows[going], rows[best[going]], distance=np.zeros(len(going), dtype=np.int64))


def _perceptual(drops: Drops, images: Images, ranked: Ints, distance: int) -> None:
    rows = drops.staying(ranked)
    edges = near_pairs(images.hashed["phash"][rows], images.hashed["thumbnail"][rows], distance=distance)
    keeper, apart = group_edges(len(rows), edges)
    going = np.flatnonzero(keeper != np.arange(len(rows)))
    drops.drop(PERCEPTUAL, rows[going], rows[keeper[going]], distance=apart[going])


def _open(
    embeddings: str | Path | None, evaluation: str | Path | None
) -> tuple[StoredEmbeddings | None, StoredEmbeddings | None]:
    """The embeddings of the pool and of the evaluation."""
    if embeddings is None:
        if evaluation is not None:
            raise InputError(
                f"embeddings of the evaluation ({evaluation}) are compared with those of the pool; give "
                "--embeddings as well"
            )
        return None, None
    load_faiss()  # before hours of hashing, not after them
    stored = open_embeddings(embeddings)
    if evaluation is None:
        return stored, None
    return stored, open_embeddings(evaluation, fingerprint=stored.fingerprint)


def _semantic(drops: Drops, ranked: Ints, read: Read, similarity: float, seed: int, assign: Assign) -> None:
    rank_n = np.empty(len(ranked), dtype=np.int64)
    rank_n[ranked] = np.arange(len(ranked))
    rows = np.flatnonzero(drops.method_n < 0)  # by uid, so that the cells are the same in every order
    keeper, cosine = semantic_duplicates(
        lambda at: read(rows[at]), rank_n[rows], similarity=similarity, seed=seed, assign=assign
    )
    going = np.flatnonzero(keeper != np.arange(len(rows)))
    drops.drop(SEMANTIC, rows[going], rows[keeper[going]], similarity=cosine[going])


def _summary(
    folder: Path,
    images: Images,
    evaluation: Evaluation,
    drops: Drops,
    unscored: int,
    unreadable: Mapping[str, str],
) -> DedupSummary:
    dropped = drops.counts()
    sentences: list[str] = []
    if unreadable:
        shard, reason = next(iter(unreadable.items()))
        sentences.append(
            f"{len(unreadable)} shards gave no images, the first is {shard} ({reason}); mend them and run "
            "again"
        )
    if unscored:
        sentences.append(
            f"{unscored} of {len(images)} pairs have no score and lose to every pair that has one; "
            "score their shards as well"
        )
    if not len(images):
        sentences.append("no image was compared; look at the quarantine for the reasons")
    return DedupSummary(
        folder=folder,
        num_pairs=len(images),
        num_kept=len(images) - sum(dropped.values()),
        dropped=dropped,
        num_evaluation=len(evaluation),
        num_unscored=unscored,
        num_repeated=images.repeated,
        quarantine=count_folder(folder, HASHES)[2],
        unreadable=dict(unreadable),
        status=tuple(sentences),
    )


def _content(
    summary: DedupSummary, num_shards: int, num_evaluation_shards: int, made_with: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `dedup.json`: nothing in it depends on when or how often the run was stopped."""
    return {
        "schema": "thresher.dedup",
        "version": 1,
        **made_with,
        "shards": num_shards,
        "evaluation_shards": num_evaluation_shards,
        "counts": {
            "pairs": summary.num_pairs,
            "kept": summary.num_kept,
            "dropped": sum(summary.dropped.values()),
            "evaluation_images": summary.num_evaluation,
            "unscored": summary.num_unscored,
            "repeated_uids": summary.num_repeated,
            "quarantined": sum(summary.quarantine.values()),
        },
        "dropped": dict(summary.dropped),
        "quarantine": dict(summary.quarantine),
        "unreadable": [{"shard": shard, "reason": reason} for shard, reason in summary.unreadable.items()],
    }
