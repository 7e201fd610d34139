"""`thresher balance`: a subset drawn evenly over what the pool covers."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, option
from thresher.cli.progress import bar
from thresher.cli.text import answer
from thresher.tables import percent

Size = Annotated[str, option("SAMPLES", "Draws in the subset, such as 128M; met exactly.")]
Out = Annotated[Path, option("DIR", "Folder for the subset.")]
Format = Annotated[str, option("npy|parquet", "npy (as DataComp reads it) or parquet.")]
Seed = Annotated[int, option("NUMBER", "Seed of the draws.", min=0)]


def balance(
    embeddings: Annotated[Path, argument("EMBEDDINGS", "Folder that `thresher embed` wrote.")],
    size: Size,
    out: Out,
    levels: Annotated[int, option("LEVELS", "Levels of clusters.", min=1)] = 3,
    clusters: Annotated[
        str | None,
        option(
            "K,K,...",
            "Clusters of each level, finest first, such as 4000,2000,1000; left out, 4 sqrt(pairs) on "
            "the first and half as many on each above.",
        ),
    ] = None,
    vectors: Annotated[str, option("image|text", "Vectors to cluster by.")] = "image",
    repeats: Annotated[int, option("TIMES", "Most draws of one pair.", min=1)] = 1,
    resamples: Annotated[int, option("TIMES", "Times that each level is resampled.", min=0)] = 3,
    iterations: Annotated[int, option("PASSES", "Most passes of each k-means.", min=1)] = 10,
    format: Format = "npy",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw a subset evenly over what the embeddings cover.

    Web data show few things very often and most things rarely. Pairs are clustered on several levels, each
    clustered again from equally many points of each cluster, and the draws are divided equally at every
    branch, down to the pairs.

    Reads EMBEDDINGS. Writes DIR as `thresher subset` does, and DIR/balance.json with the balance before and
    after. Called again with the same options it does nothing.

    Examples:
        thresher balance work/embeddings --size 128M --out balanced
        thresher balance work/embeddings --clusters 10000,500,50 --size 1M --repeats 2 --out balanced
    """
    from thresher.budget import parse_count
    from thresher.curate.balance.balanced import balance_embeddings, record_of

    with bar("balance") as step:
        made = balance_embeddings(
            *(embeddings, out),
            size=parse_count(size),
            levels=levels,
            clusters=[parse_count(number) for number in clusters.split(",")] if clusters else (),
            vectors=vectors,
            repeats=repeats,
            resamples=resamples,
            iterations=iterations,
            format=format,
            seed=seed,
            progress=lambda done, total: step(done, total, "passes over the embeddings"),
        )
    lines = [f"{made.num_unique:,} of {made.num_pool:,} pairs, {made.num_rows:,} draws, in {made.folder}"]
    lines += [
        f"{level.clusters:,} clusters: evenness {level.evenness_before:.3f} before, "
        f"{level.evenness_after:.3f} after; largest {percent(level.largest_before, 1)} before, "
        f"{percent(level.largest_after, 1)} after"
        for level in made.levels
    ]
    answer({"folder": str(made.folder), **record_of(made)}, "\n".join(lines), as_json)
