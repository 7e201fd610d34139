"""`thresher balance`: a subset drawn evenly over what the pool covers."""

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli.options import Json
from thresher.cli.progress import bar
from thresher.cli.text import show, show_json
from thresher.tables import percent

Size = Annotated[str, typer.Option(metavar="SAMPLES", help="Draws in the subset, such as 128M; met exactly.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the subset.")]
Format = Annotated[str, typer.Option(metavar="npy|parquet", help="npy (as DataComp reads it) or parquet.")]
Seed = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Seed of the draws.")]


def balance(
    embeddings: Annotated[
        Path, typer.Argument(metavar="EMBEDDINGS", help="Folder that `thresher embed` wrote.")
    ],
    size: Size,
    out: Out,
    levels: Annotated[int, typer.Option(min=1, metavar="LEVELS", help="Levels of clusters.")] = 3,
    clusters: Annotated[
        str | None,
        typer.Option(
            metavar="K,K,...",
            help="Clusters of each level, finest first, such as 4000,2000,1000; left out, 4 sqrt(pairs) on "
            "the first and half as many on each above.",
        ),
    ] = None,
    vectors: Annotated[str, typer.Option(metavar="image|text", help="Vectors to cluster by.")] = "image",
    repeats: Annotated[int, typer.Option(min=1, metavar="TIMES", help="Most draws of one pair.")] = 1,
    resamples: Annotated[
        int, typer.Option(min=0, metavar="TIMES", help="Times that each level is resampled.")
    ] = 3,
    iterations: Annotated[
        int, typer.Option(min=1, metavar="PASSES", help="Most passes of each k-means.")
    ] = 10,
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
    if as_json:
        show_json({"folder": str(made.folder), **record_of(made)})
        return
    show(f"{made.num_unique:,} of {made.num_pool:,} pairs, {made.num_rows:,} draws, in {made.folder}")
    for level in made.levels:
        show(
            f"{level.clusters:,} clusters: evenness {level.evenness_before:.3f} before, "
            f"{level.evenness_after:.3f} after; largest {percent(level.largest_before, 1)} before, "
            f"{percent(level.largest_after, 1)} after"
        )
