"""`thresher fit` and `subset`: runs to laws, a plan to its pairs; none of it loads torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from thresher.cli.executors import Executor, RayAddress
from thresher.cli.options import Exclude, Json, assignments, given
from thresher.cli.output import show, show_json, warn
from thresher.cli.progress import bar


def fit(
    runs: Annotated[
        Path,
        typer.Argument(metavar="RUNS", help="Finished runs: a .jsonl or .csv file, a row a measurement."),
    ],
    out: Annotated[Path, typer.Option(metavar="LAWS.json", help="File for the laws.")],
    law: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto (weigh the laws by how well they predict the longest runs), utility, harmful, "
            "effective-data, data-constrained, saturating, bounded or power.",
        ),
    ] = "auto",
    pools: Annotated[
        Path | None,
        typer.Option(
            metavar="POOLS", help="Folder of the pools; their order, best first, is the laws' order."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Fit the runs of this metric; needed where RUNS hold several."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Fit the runs of this training recipe; likewise.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Fit the runs of this model; likewise.")
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="Hold a shared parameter, such as d; repeat it for several."
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Give every pool its own d or A, near the shared one, where curves level off or meet at "
            "different errors; repeat it for both.",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, metavar="FITS", help="Refits that the intervals come from; 0 leaves them out."),
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the bootstrap.")] = 0,
    intervals: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="bootstrap (from the refits) or profile (likelihood: how far a parameter can move before "
            "the others cannot make up for it).",
        ),
    ] = "bootstrap",
    error_column: Annotated[
        str, typer.Option(metavar="NAME", help="Column or key of RUNS that holds the error.")
    ] = "error",
    as_json: Json = False,
) -> None:
    """Fit laws to runs: how fast each pool wears out.

    Reads RUNS with at least pool (or weights, pool to weight, for a mix), unique_samples (that the run drew
    from), samples_seen and error (in 0 to 1, or a loss); role tells the runs to fit (fit, when left out)
    from those to test on (check). All pools share d, the irreducible error, and the point where their curves
    meet; each has a b (initial utility) or a quality, and a tau (half-life in passes over the pool).

    With --law auto, every law is fitted to the shorter runs and judged by the longest ones; those that
    predict them well make the plan together. A law that is named stands alone, with the power law beside it.

    Writes LAWS.json and prints every parameter with its interval from 5% to 95%, and a sentence for each that
    the runs do not determine. The check runs take no part in the fit; how well it predicts them stands last.

    Examples:
        thresher fit runs.jsonl --pools pools --out laws.json
        thresher fit runs.csv --error-column imagenet_error --fix d=0.1 --out laws.json
    """
    from thresher.display.laws import laws_text
    from thresher.laws.fit import fit as fit_law
    from thresher.laws.store import laws_to_record, save_laws
    from thresher.pools import load_pools
    from thresher.runs import read_runs

    fitted = fit_law(
        read_runs(runs, error_column=error_column),
        law=law,
        metric=metric,
        recipe=recipe,
        model=model,
        pool_order=load_pools(pools).names if pools is not None else None,
        fixed=assignments(given(fix), "--fix"),
        own=given(own),
        num_draws=bootstrap,
        seed=seed,
        intervals=intervals,
    )
    save_laws(out, fitted)
    warn(fitted.warnings)
    if as_json:
        show_json(_without_draws(laws_to_record(fitted)))
    else:
        show(laws_text(fitted))


def _without_draws(record: dict[str, Any]) -> dict[str, Any]:
    """The laws without the draws, which are many numbers and stand in the file."""
    fits = [
        {key: value for key, value in fitted.items() if key not in ("draws", "draw_names")}
        for fitted in record["fits"]
    ]
    return {**record, "fits": fits}


def subset(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", help="Plan that `thresher plan` wrote.")],
    budget: Annotated[
        str, typer.Option(metavar="SAMPLES", help="One of the plan's budgets, in samples seen.")
    ],
    pools: Annotated[Path, typer.Option(metavar="POOLS", help="Folder that `thresher cut` wrote.")],
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for the subset, or its address (s3://bucket/subset).")
    ],
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="npy (uids, as DataComp's resharder reads them), parquet (uid, pool, repeats) or shards "
            "(new tar files).",
        ),
    ] = "npy",
    shards: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARDS", help="Where the pairs are; needed for --format shards."),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(metavar="MIX", help="Another candidate of that budget, such as '0-10% + 10-20%'."),
    ] = None,
    pairs_per_shard: Annotated[
        str, typer.Option(metavar="PAIRS", help="Pairs in each tar file that is written.")
    ] = "10000",
    index: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps the index of the shards for the next time."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PROCESSES",
            help="Processes that index and write shards; 0 does it one after another here.  [default: 2, "
            "on Ray as many as fit]",
        ),
    ] = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Write the pairs that the plan chose for a budget.

    Each pair stands there as often as it is to be drawn. Its bytes are copied untouched into new shards (with
    sizes.json and sample_ids.npy); the formats npy and parquet are lists, for training from the shards where
    they are. DIR/meta.json says what the subset is and how to train on it with open_clip, which is printed as
    well.

    Reads PLAN.json, POOLS and, for --format shards, the shards. A run that was stopped goes on; a folder with
    another subset is refused. At an address of a store every file is uploaded whole, and what is there as
    it was uploaded is kept. With --executor ray the workers of a cluster write the shards; every node needs
    the shards and DIR by the same paths or addresses.

    Examples:
        thresher subset plan.json --budget 128M --pools pools --out subset
        thresher subset plan.json --budget 128M --pools pools --out new --format shards --shards 'old/*.tar'
        thresher subset plan.json --budget 128M --pools pools --out s3://b/new --format shards --shards s3://b/old
    """
    from thresher.budget import parse_count
    from thresher.data.exclude import read_exclude
    from thresher.data.shards import expand
    from thresher.pools import load_pools
    from thresher.subset import subset_from_plan

    with bar("subset") as step:
        written = subset_from_plan(
            plan,
            budget,
            pools=pools,
            out=out,
            format=format,
            shards=expand(shards) if shards else (),
            candidate=candidate,
            exclude=read_exclude(exclude),
            pairs_per_shard=parse_count(pairs_per_shard),
            index_cache=index,
            progress=lambda done, total: step(done, total, "shards"),
            executor=executor,
            ray_address=ray_address,
            workers=workers,
        )
    warn(load_pools(pools).missing)
    if as_json:
        show_json(asdict(written))
        return
    show(
        f"{written.num_unique:,} pairs, {written.num_rows:,} samples a pass, as {written.format} in "
        f"{written.folder}\n"
    )
    show("\n".join(written.how_to_train))
