"""`thresher fit`: laws from finished runs; it never loads torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from thresher.cli.options import Json, argument, as_tuple, assignments, option
from thresher.cli.text import answer
from thresher.errors import InputError


def fit(
    runs: Annotated[Path, argument("RUNS", "Finished runs: a .jsonl or .csv file, a row a measurement.")],
    out: Annotated[Path, option("LAWS.json", "File for the laws.")],
    law: Annotated[
        str,
        option(
            "NAME",
            "auto (weigh the laws by how well they predict the longest runs), utility, harmful, "
            "effective-data, data-constrained, saturating, bounded or power.",
        ),
    ] = "auto",
    pools: Annotated[
        Path | None, option("POOLS", "Folder of the pools; their order, best first, is the laws' order.")
    ] = None,
    metric: Annotated[
        str | None, option("NAME", "Fit the runs of this metric; needed where RUNS hold several.")
    ] = None,
    recipe: Annotated[str | None, option("NAME", "Fit the runs of this training recipe; likewise.")] = None,
    model: Annotated[str | None, option("NAME", "Fit the runs of this model; likewise.")] = None,
    within: Annotated[
        list[str] | None,
        option(
            "PART:WHOLE",
            "The pool PART lies in the pool WHOLE, as a filter's picks do; runs on WHOLE count as runs on a "
            "mix of PART and the rest. Repeat it for several.",
        ),
    ] = None,
    fix: Annotated[
        list[str] | None, option("NAME=NUMBER", "Hold a shared parameter, such as d; repeat it for several.")
    ] = None,
    own: Annotated[
        list[str] | None,
        option(
            "NAME",
            "Give every pool its own d or A, near the shared one, where curves level off or meet at "
            "different errors; repeat it for both.",
        ),
    ] = None,
    bootstrap: Annotated[
        int, option("FITS", "Refits that the intervals come from; 0 leaves them out.", min=0)
    ] = 200,
    seed: Annotated[int, option("N", "Seed of the bootstrap.", min=0)] = 0,
    intervals: Annotated[
        str,
        option(
            "KIND",
            "bootstrap (from the refits) or profile (likelihood: how far a parameter can move before "
            "the others cannot make up for it).",
        ),
    ] = "bootstrap",
    error_column: Annotated[str, option("NAME", "Column or key of RUNS that holds the error.")] = "error",
    as_json: Json = False,
) -> None:
    """Fit laws to runs: how fast each pool wears out.

    Reads RUNS with at least pool (or weights, pool to weight, for a mix), unique_samples (that the run drew
    from), samples_seen and error (in 0 to 1, or a loss); role is fit (the default) or check, for runs that
    only test the fit. All pools share d, the irreducible error, and the point where their curves
    meet; each has a b (initial utility) or a quality, and a tau (half-life in passes over the pool).

    With --law auto, every law is fitted to the shorter runs and judged by the longest ones; those that
    predict them well make the plan together. A named law is fitted alone, with the power law for comparison.

    Writes LAWS.json and prints every parameter with its interval from 5% to 95%, and a sentence for each that
    the runs do not determine, and last how well the fit predicts the check runs.

    Examples:
        thresher fit runs.jsonl --pools pools --out laws.json
        thresher fit runs.csv --error-column imagenet_error --fix d=0.1 --out laws.json
        thresher fit runs.csv --within top10:top30 --within top30:no_filter --out laws.json
    """
    from thresher.curate.pools.record import load_pools
    from thresher.planning.laws.fit import fit as fit_law
    from thresher.planning.laws.laws_file import laws_to_record, save_laws
    from thresher.planning.laws.result import laws_text
    from thresher.planning.runs.ledger import read_runs

    fitted = fit_law(
        read_runs(runs, error_column=error_column),
        law=law,
        metric=metric,
        recipe=recipe,
        model=model,
        pool_order=load_pools(pools).names if pools is not None else None,
        within=_within(as_tuple(within)),
        fixed=assignments(as_tuple(fix), "--fix"),
        own=as_tuple(own),
        num_draws=bootstrap,
        seed=seed,
        intervals=intervals,
    )
    save_laws(out, fitted)
    record = _without_draws(laws_to_record(fitted))
    answer(record, laws_text(fitted), as_json, warnings=fitted.warnings)


def _within(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        part, _, whole = (piece.strip() for piece in text.partition(":"))
        if not (part and whole) or part in found:
            said = "names its part a second time" if part in found else "is not of the form PART:WHOLE"
            raise InputError(f"--within {text!r} {said}; write it once, such as laion_filter:no_filter")
        found[part] = whole
    return found


def _without_draws(record: dict[str, Any]) -> dict[str, Any]:
    """The laws without the draws, which are many numbers and stand in the file."""
    fits = [
        {key: value for key, value in fitted.items() if key not in ("draws", "draw_names")}
        for fitted in record["fits"]
    ]
    return {**record, "fits": fits}
