"""`thresher dedup`: finds pairs whose image repeats a better one or is part of an evaluation set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import Exclude, Executor, Json, RayAddress, Shards, Workers, as_tuple, option
from thresher.cli.progress import bar
from thresher.cli.text import answer

if TYPE_CHECKING:
    from thresher.curate.duplicates.dedup import DedupSummary

WORDS = {
    "evaluation": "are near an image of the evaluation",
    "exact": "have the same bytes as a better pair",
    "perceptual": "look the same as a better pair",
    "semantic": "show the same as a better pair, by their embeddings",
}


def dedup(
    shards: Shards,
    out: Annotated[Path, option("DIR", "Folder for the lists and the hashes.")],
    scores: Annotated[
        Path | None,
        option(
            "SCORES",
            "Scores that say which of a group stays; goes with --by. Without them the image of the most "
            "pixels stays.",
        ),
    ] = None,
    by: Annotated[
        str | None, option("COLUMN", "Column of the scores, higher is better; or name of a scorer.")
    ] = None,
    embeddings: Annotated[
        Path | None, option("EMBEDDINGS", "Folder of `thresher embed`; finds semantic duplicates as well.")
    ] = None,
    exclude_near: Annotated[
        list[str] | None,
        option(
            "EVALSHARDS",
            "Images that models will be evaluated on; every pair near one of them is dropped. May be "
            "repeated.",
        ),
    ] = None,
    exclude_near_embeddings: Annotated[
        Path | None,
        option(
            "EMBEDDINGS",
            "Embeddings of evaluation images, by the model of --embeddings; every pair near one of "
            "them is dropped.",
        ),
    ] = None,
    distance: Annotated[int, option("BITS", "Largest distance of perceptual hashes, 0 to 4 of 64 bits.")] = 4,
    similarity: Annotated[float, option("COSINE", "Smallest cosine of semantic duplicates.")] = 0.95,
    workers: Workers = 2,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Find the pairs whose image repeats a better one.

    Images repeat each other when their bytes are equal, when their perceptual hashes are near (resized,
    encoded again), or, with --embeddings, when a model sees the same in them (cropped, too). The pair with
    the highest score of each group is kept; every dropped pair is near one that is kept. --exclude-near drops
    the pairs whose image is one of an evaluation set.

    Reads the shards and leaves them as they are. Writes DIR/exclude.npy, the list that --exclude of the other
    commands and the config read, DIR/dropped.parquet, with the pair that replaces each dropped one and the
    method, and DIR/dedup.json. Called again, it hashes only the shards that are not finished.

    A pair that cannot be read or decoded goes to a quarantine table in DIR/parts. A shard of which nothing
    can be read is named, and the exit code is 1.

    Examples:
        thresher dedup shards --scores scores --by clip --out unique
        thresher dedup shards --embeddings b32 --exclude-near imagenet/val --out unique
    """
    from thresher.curate.duplicates.dedup import deduplicate
    from thresher.data.exclude import read_exclude
    from thresher.data.patterns import expand

    evaluation = expand(as_tuple(exclude_near)) if exclude_near else []
    excluded, named = read_exclude(exclude), expand(shards)
    with bar("dedup") as step:
        summary = deduplicate(
            *(named, out),
            scores=scores,
            by=by,
            embeddings=embeddings,
            exclude_near=evaluation,
            exclude_near_embeddings=exclude_near_embeddings,
            distance=distance,
            similarity=similarity,
            exclude=excluded,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            progress=lambda done, total, pairs: step(done, total, f"{pairs:,} pairs"),
        )
    text = _text(summary, bool(evaluation) or exclude_near_embeddings is not None)
    undone = bool(summary.unreadable) or not summary.num_pairs
    answer(_record(summary), text, as_json, warnings=summary.status, undone=undone)


def _record(summary: "DedupSummary") -> dict[str, object]:
    return {
        "out": str(summary.folder),
        "pairs": summary.num_pairs,
        "kept": summary.num_kept,
        "dropped": dict(summary.dropped),
        "evaluation_images": summary.num_evaluation,
        "unscored": summary.num_unscored,
        "quarantine": dict(summary.quarantine),
        "unreadable": dict(summary.unreadable),
        "status": list(summary.status),
    }


def _text(summary: "DedupSummary", evaluated: bool) -> str:
    counts = f"{summary.num_kept:,} of {summary.num_pairs:,} pairs stay"
    lines = [f"{counts}; {summary.folder / 'exclude.npy'} has the rest:"]
    for method, count in summary.dropped.items():
        if count or (evaluated and method == "evaluation"):
            lines.append(f"  {count:,}  {WORDS[method]}")
    if summary.quarantine:
        lines.append(f"{sum(summary.quarantine.values()):,} in quarantine")
    return "\n".join(lines)
