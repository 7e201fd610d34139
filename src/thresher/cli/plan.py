"""`thresher plan`: the best mix at each budget; loads torch only to count a model's FLOPs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import DeviceFlops, FlopsPerSample, Json, Mfu, argument, flops_of, option, price_of
from thresher.cli.text import answer
from thresher.errors import InputError

if TYPE_CHECKING:
    from thresher.planning.laws.result import Laws
    from thresher.planning.plans.costs import Costs


def plan(
    laws: Annotated[Path, argument("LAWS.json", "Laws that `thresher fit` wrote.")],
    budget: Annotated[
        list[str],
        option(
            "BUDGET",
            "Samples that the real run sees, repeats counted (32M), its FLOPs (1e18FLOPs, '3.2 EFLOPs') "
            "or its GPU-hours (100gpu-h); repeat it for several.",
        ),
    ],
    out: Annotated[Path, option("PLAN.json", "File for the plan.")],
    pools: Annotated[
        Path | None,
        option(
            "POOLS",
            "Folder of the pools, or its pools.json, for their sizes.  [default: the sizes in the runs]",
        ),
    ] = None,
    weights: Annotated[
        str,
        option(
            "KIND",
            "subsets (whole pools, drawn uniformly over their pairs), continuous (free weights) or both "
            "(free weights where they add more than the tolerance).",
        ),
    ] = "subsets",
    tolerance: Annotated[
        float | None,
        option(
            "ERROR",
            "Errors closer than this count as equal.  [default: 0.001 (.1 points); 0.005 for a loss]",
            min=0.0,
        ),
    ] = None,
    flops_per_sample: FlopsPerSample = None,
    device_flops: DeviceFlops = None,
    mfu: Mfu = None,
    runs: Annotated[
        Path | None,
        option("RUNS", "Ledger of all probe runs, for their FLOPs.  [default: the runs of LAWS.json]"),
    ] = None,
    flops_per_pair: Annotated[
        str | None,
        option(
            "FLOPS|MODEL",
            "FLOPs of scoring one pair, or the open_clip model that scored it; charged for every pair "
            "of POOLS.",
        ),
    ] = None,
    params: Annotated[
        str | None,
        option("COUNT", "Parameters of the model to plan for (151M), where the laws depend on them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which mix of pools is best at each budget.

    Every subset of up to 12 pools is a candidate, drawn uniformly over its pairs; for more pools a search
    finds the candidates. Prints for each budget the candidate with the lowest error, averaged over the
    uncertainty of the laws: its predicted error with an interval from 5% to 95%, the chance that no other is
    better by more than the tolerance, and how often each pair is seen, followed by a verdict. If two
    candidates cannot be told apart, the verdict says so, with the average cost of choosing the first one and
    the runs that would decide.

    Then come what free weights would add, the budgets at which the winner changes, what any one mix loses if
    it is used at every budget, and after how many samples seen scoring and probing have paid for themselves.

    Reads LAWS.json, POOLS and RUNS; writes PLAN.json with all candidates.

    Examples:
        thresher plan laws.json --pools pools --budget 32M --budget 128M --out plan.json
        thresher plan laws.json --budget 1e18FLOPs --flops-per-sample ViT-B-32 --weights both --out plan.json
        thresher plan laws.json --budget 100gpu-h --device-flops A100 --out plan.json --json
    """
    from thresher.budget import parse_count
    from thresher.curate.pools.record import missing_pairs
    from thresher.planning import api
    from thresher.planning.laws.laws_file import load_laws
    from thresher.planning.plans.plan import plan_text, plan_to_record, save_plan

    fitted = load_laws(laws)
    made = api.plan(
        fitted,
        budget,
        sizes=pools,
        weights=weights,
        price=price_of(flops_per_sample, device_flops, mfu),
        spent=_spent(fitted, runs, pools, flops_per_pair),
        params=None if params is None else parse_count(params),
        tolerance=tolerance,
    )
    save_plan(out, made)
    missing = missing_pairs(pools) if pools is not None else ()
    answer(plan_to_record(made), plan_text(made), as_json, warnings=(*missing, *made.status))


def _spent(laws: "Laws", runs: Path | None, pools: Path | None, flops_per_pair: str | None) -> "Costs":
    """What the runs cost, and scoring the pairs: those in the pools and those in none of them."""
    from thresher.curate.pools.record import load_pools
    from thresher.planning.plans.costs import costs_of_runs
    from thresher.planning.runs.ledger import read_runs

    scoring = None
    if flops_per_pair is not None:
        if pools is None:
            raise InputError("--flops-per-pair needs --pools, which say how many pairs were scored")
        record = load_pools(pools if pools.is_dir() else pools.parent)
        num_pairs = sum(record.sizes.values()) + sum(drop.count for drop in record.dropped)
        scoring = flops_of(flops_per_pair, training=False) * num_pairs
    return costs_of_runs(laws.runs if runs is None else read_runs(runs), scoring_flops=scoring)
