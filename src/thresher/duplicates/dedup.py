"""Deduplicating a pool: hash its images, find what repeats what, keep the best of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.writer import write_json, write_table
from thresher.duplicates.clusters import load_faiss
from thresher.duplicates.drops import EVALUATION, EXACT, PERCEPTUAL, SEMANTIC, Drops, uid_texts
from thresher.duplicates.hashing import Images, Progress, hash_folder, no_images, read_hashes
from thresher.duplicates.near import MOST_DISTANCE, check_distance, near_pairs
from thresher.duplicates.ranking import best_first, values_of
from thresher.duplicates.semantic import SIMILARITY, check_similarity, semantic_duplicates
from thresher.duplicates.star import keep_of_edges
from thresher.embeddings.stored import StoredEmbeddings, open_embeddings
from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.scores.summary import count_folder
from thresher.subset.npy import write_npy

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
    distance: int = MOST_DISTANCE,
    similarity: float = SIMILARITY,
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    seed: int = 0,
    progress: Progress | None = None,
) -> DedupSummary:
    """Write the pairs whose image repeats a better one: `dropped.parquet`, `exclude.npy` and `dedup.json`.

    Asked in turn, each among what still stays: is the image near one of an evaluation set (same bytes, or
    perceptual hash within `distance`); does a better pair have the same bytes; a better pair a hash within
    `distance` bits; a better pair of its cluster an embedding of cosine `similarity`. The better pair has the
    higher score; without scores the image of more pixels; at a tie the smaller uid.

    Args:
        shards: Names from `expand`.
        out: Folder for the lists, and for the hashes, which a later run reads again.
        scores: Folder that `thresher score` has filled; goes with `by`.
        by: Its column (or scorer) to rank by.
        embeddings: Folder that `thresher embed` has filled; without it nothing semantic is looked for.
        exclude_near: Shards of the images that models will be evaluated on.
        distance: Largest Hamming distance of perceptual hashes, 0 to 4 of 64 bits.
        similarity: Smallest cosine of semantic duplicates.
        exclude: uids that are left out from the start.
        workers: Processes that decode images; 0 decodes in this process.
        seed: Of the clusters.
        progress: Called after every shard.

    Raises:
        InputError: an option cannot be used, a folder holds no finished scores or embeddings, an embedding of
            a pair is absent, or `out` holds the hashes of other shards.
        MissingExtra: embeddings are given and faiss is not installed.
    """
    check_distance(distance)
    check_similarity(similarity)
    if not shards:
        raise InputError("no shards are given to deduplicate; name tar files, tables or folders of images")
    stored = None
    if embeddings is not None:
        stored = open_embeddings(embeddings)
        load_faiss()  # before hours of hashing, not after them
    folder = Path(out)
    options: dict[str, Any] = {"workers": workers, "progress": progress}
    with folder_lock(folder):
        (folder / SUMMARY_FILE).unlink(missing_ok=True)  # it says that all is done
        unreadable = hash_folder(folder, shards, exclude=exclude, **options)
        evaluation = no_images()
        if exclude_near:
            there = folder / EVALUATION_FOLDER
            unreadable |= hash_folder(there, exclude_near, need_caption=False, **options)
            evaluation = read_hashes(there)
        images = read_hashes(folder)
        value_n, unscored = values_of(images, None if scores is None else Path(scores), by)
        ranked = best_first(value_n)
        drops = Drops.none(len(images))
        _evaluation(drops, images, evaluation, distance)
        _exact(drops, images, ranked)
        _perceptual(drops, images, ranked, distance)
        if stored is not None:
            _semantic(drops, images, ranked, stored, similarity, seed)
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


def _evaluation(drops: Drops, images: Images, evaluation: Images, distance: int) -> None:
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


def _exact(drops: Drops, images: Images, ranked: Ints) -> None:
    rows = drops.staying(ranked)
    digests = images.sha256_n[rows]
    order = np.argsort(digests, kind="stable")
    new = np.ones(len(order), dtype=bool)
    new[1:] = digests[order[1:]] != digests[order[:-1]]
    best = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    going = rows[order[~new]]
    drops.drop(EXACT, going, rows[order[best[~new]]], distance=np.zeros(len(going), dtype=np.int64))


def _perceptual(drops: Drops, images: Images, ranked: Ints, distance: int) -> None:
    rows = drops.staying(ranked)
    edges = near_pairs(images.bits_n[rows], images.thumbnail_nT[rows], distance=distance)
    keeper, apart = keep_of_edges(len(rows), edges)
    going = np.flatnonzero(keeper != np.arange(len(rows)))
    drops.drop(PERCEPTUAL, rows[going], rows[keeper[going]], distance=apart[going])


def _semantic(
    drops: Drops, images: Images, ranked: Ints, stored: StoredEmbeddings, similarity: float, seed: int
) -> None:
    rank_n = np.empty(len(images), dtype=np.int64)
    rank_n[ranked] = np.arange(len(ranked))
    rows = np.flatnonzero(drops.method_n < 0)  # by uid, so that the clusters are the same in every order
    places = stored.find(uid_texts(images.uid_n[rows]))
    keeper, cosine = semantic_duplicates(
        lambda at: stored.image(places[at]), rank_n[rows], similarity=similarity, seed=seed
    )
    going = np.flatnonzero(keeper != np.arange(len(rows)))
    drops.drop(SEMANTIC, rows[going], rows[keeper[going]], similarity=cosine[going])


def _summary(
    folder: Path,
    images: Images,
    evaluation: Images,
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
        quarantine=count_folder(folder)[2],
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
