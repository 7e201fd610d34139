"""`thresher fit`, `plan` and `subset`: runs to laws to a plan to the pairs; none of it loads torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

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
        str, typer.Option(metavar="NAME", help="utility (pools wear out) or power (they do not).")
    ] = "utility",
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
        typer.Option(metavar="NAME=NUMBER", help="Hold A, n0, d or gamma at a value; repeat it for several."),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, metavar="FITS", help="Refits that the intervals come from; 0 leaves them out."),
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the bootstrap.")] = 0,
    error_column: Annotated[
        str, typer.Option(metavar="NAME", help="Column or key of RUNS that holds the error.")
    ] = "error",
    as_json: Json = False,
) -> None:
    """Fit a law to finished runs: how fast each pool wears out.

    Reads RUNS with at least pool (or weights, pool to weight, for a mix), unique_samples (that the run drew
    from), samples_seen and error (in 0 to 1, or a loss); role tells the runs to fit (fit, when left out)
    from those to test on (check). All pools share A, n0, d and gamma; each has a b (initial utility) and a
    tau (half-life in passes over the pool).

    Writes LAWS.json and prints every parameter with its interval from 5% to 95%, and a sentence for each that
    the runs do not determine. The check runs take no part in the fit; how well it predicts them stands last.

    Examples:
        thresher fit runs.jsonl --pools pools --out laws.json
        thresher fit runs.csv --error-column imagenet_error --fix d=0.1 --out laws.json
    """
    from thresher import laws
    from thresher.cli.text import fit_text
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
        num_draws=bootstrap,
        seed=seed,
    )
    save_laws(out, fitted)
    warn(fitted.warnings)
    if as_json:
        record = laws_to_record(fitted)
        show_json({key: value for key, value in record.items() if key not in ("draws", "draw_names")})
    else:
        show(fit_text(fitted, has_half_life=laws.LAWS[fitted.law].has_half_life))


def plan(
    laws: Annotated[Path, typer.Argument(metavar="LAWS.json", help="Laws that `thresher fit` wrote.")],
    budget: Annotated[
        list[str],
        typer.Option(
            metavar="SAMPLES", help="Samples that the real run sees, repeats counted; repeat it for several."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PLAN.json", help="File for the plan.")],
    pools: Annotated[
        Path | None,
        typer.Option(
            metavar="POOLS",
            help="Folder of the pools, or its pools.json, for their sizes.  [default: the sizes in the runs]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which mix of pools is best at each budget.

    Every subset of the pools is a candidate, drawn uniformly over its pairs. Prints for each budget the best
    one: predicted error with its interval from 5% to 95%, the chance that no other is better, and how often
    each pair is seen; then what to make of it. Where two candidates cannot be told apart, it says so and
    what acting on the first one costs on average. Last come the budgets at which one winner gives way to
    the next.

    Reads LAWS.json and POOLS; writes PLAN.json with all candidates.

    Examples:
        thresher plan laws.json --pools pools --budget 32M --budget 128M --out plan.json
        thresher plan laws.json --budget 1.5B --out plan.json --json
    """
    from thresher.budget import parse_count
    from thresher.cli.text import plan_text
    from thresher.laws.store import load_laws
    from thresher.plan import make_plan
    from thresher.plan_store import plan_to_record, save_plan

    made = make_plan(load_laws(laws), [parse_count(text) for text in budget], pools)
    save_plan(out, made)
    warn(made.status)
    if as_json:
        show_json(plan_to_record(made))
    else:
        show(plan_text(made))


def subset(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", help="Plan that `thresher plan` wrote.")],
    budget: Annotated[
        str, typer.Option(metavar="SAMPLES", help="One of the plan's budgets, in samples seen.")
    ],
    pools: Annotated[Path, typer.Option(metavar="POOLS", help="Folder that `thresher cut` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the subset.")],
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
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Write the pairs that the plan chose for a budget.

    Each pair stands there as often as it is to be drawn. Its bytes are copied untouched into new shards (with
    sizes.json and sample_ids.npy); the formats npy and parquet are lists, for training from the shards where
    they are. DIR/meta.json says what the subset is and how to train on it with open_clip, which is printed as
    well.

    Reads PLAN.json, POOLS and, for --format shards, the shards. A run that was stopped goes on; a folder with
    another subset is refused.

    Examples:
        thresher subset plan.json --budget 128M --pools pools --out subset
        thresher subset plan.json --budget 128M --pools pools --out new --format shards --shards 'old/*.tar'
    """
    from thresher.budget import parse_count
    from thresher.data.exclude import read_exclude
    from thresher.data.shards import expand
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
        )
    if as_json:
        show_json(asdict(written))
        return
    show(
        f"{written.num_unique:,} pairs, {written.num_rows:,} samples a pass, as {written.format} in "
        f"{written.folder}\n"
    )
    show("\n".join(written.how_to_train))
