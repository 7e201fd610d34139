"""`thresher balance` and `thresher softcap`: subsets drawn evenly over what the pool covers, or by score."""

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli.options import Json
from thresher.cli.output import show, show_json
from thresher.cli.progress import bar

Size = Annotated[str, typer.Option(metavar="SAMPLES", help="Draws in the subset, such as 128M; met exactly.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the subset.")]
Format = Annotated[str, typer.Option(metavar="npy|parquet", help="npy (as DataComp reads it) or parquet.")]
Seed = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Of the draws; another gives other pairs.")]


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
    from thresher.balance import balance_embeddings
    from thresher.balance.make import record_of
    from thresher.budget import parse_count

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
            f"{level.evenness_after:.3f} after; largest {level.largest_before:.1%} before, "
            f"{level.largest_after:.1%} after"
        )


def softcap(
    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="Folder that `thresher score` wrote.")],
    by: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the scores.")],
    size: Size,
    out: Out,
    penalty: Annotated[
        float, typer.Option(metavar="SCORE", help="What the score of a drawn pair loses.")
    ] = 0.15,
    temperature: Annotated[
        float, typer.Option(metavar="SCORE", help="Divides the scores; small ones keep to the best.")
    ] = 1.0,
    batch: Annotated[
        str | None,
        typer.Option(metavar="SAMPLES", help="Draws a round; left out, so many that there are 1,280."),
    ] = None,
    format: Format = "npy",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw a subset by score, with a soft cap on repeats.

    Each round draws without replacement from softmax(score / temperature), and the scores of what it drew
    fall by the penalty. Good pairs come back in later rounds, less and less often; the rest gets its turn.

    Reads SCORES. Writes DIR as `thresher subset` does.

    Examples:
        thresher softcap work/scores --by clip --size 128M --out capped
        thresher softcap work/scores --by clip --temperature 0.05 --penalty 0.05 --size 1M --out capped
    """
    from thresher.balance import soft_cap_scores
    from thresher.budget import parse_count

    with bar("softcap") as step:
        made = soft_cap_scores(
            *(scores, out),
            by=by,
            size=parse_count(size),
            format=format,
            penalty=penalty,
            temperature=temperature,
            batch=None if batch is None else parse_count(batch),
            seed=seed,
            progress=lambda done, total: step(done, total, "draws"),
        )
    if as_json:
        show_json({"folder": str(made.folder), "unique": made.num_unique, "rows": made.num_rows})
    else:
        show(f"{made.num_unique:,} pairs, {made.num_rows:,} draws, in {made.folder}")
