"""The subset that a plan chose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from thresher.budget import Price, format_count, parse_budget, parse_count
from thresher.curate.pools.record import load_pools
from thresher.curate.subset.manifest import manifest
from thresher.curate.subset.write import PAIRS_PER_SHARD, SubsetSummary, write_subset
from thresher.errors import InputError, nearest
from thresher.planning.plans.plan import load_plan
from thresher.planning.plans.result import BudgetPlan, Candidate, find_candidate


def subset_from_plan(
    plan_path: str | Path,
    budget: int | str,
    *,
    price: Price | None = None,
    pools: str | Path,
    out: str | Path,
    format: str = "npy",
    shards: Sequence[str] = (),
    candidate: str | None = None,
    exclude: frozenset[str] = frozenset(),
    pairs_per_shard: int = PAIRS_PER_SHARD,
    index_cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    workers: int | None = 0,
) -> SubsetSummary:
    """Write the pairs of the plan's best candidate for a budget (or of the candidate of that name).

    Args:
        plan_path: A `plan.json`.
        budget: One of the plan's budgets, as a number or like `128M`, rounded as the plan shows it; or as
            FLOPs or GPU-hours, see `parse_budget`.
        price: What these buy; the FLOPs per sample are those that the plan charged where it does not say.
        pools: Folder that `cut` wrote.
        out: Folder of the subset, or its address in a store (s3://...).
        format: `npy`, `parquet` or `shards`.
        shards: Names from `expand`, for the format `shards`.
        candidate: Name of another candidate of that budget, such as `0-10% + 10-20%`, or of the free weights
            that the plan found.
        exclude: uids to leave out.
        pairs_per_shard: Pairs of an output shard.
        index_cache: Folder in which the index of the shards is kept.
        progress: Called with (output shards written, output shards) after each.
        executor: Where shards are written, `local` or `ray`; see `write_subset`.
        ray_address: Of the Ray cluster.
        workers: Processes that index and write shards; 0 is this one, None is 2, on Ray as many as fit.

    Raises:
        InputError: the plan has no such budget or candidate (those it has are named), its pools are not in
        `pools`,
            or the subset cannot be written (see `write_subset`).
    """
    record = load_pools(pools)
    planned = _find_budget(plan_path, budget, price or Price())
    chosen = _find_candidate(planned, candidate)
    draws = manifest(record, chosen.weights, samples_seen=planned.samples_seen, exclude=exclude)
    return write_subset(
        draws,
        out,
        format=format,
        shards=shards,
        weights=chosen.weights,
        samples_seen=planned.samples_seen,
        plan={"candidate": chosen.name, "predicted_error": chosen.predicted_error},
        exclude=exclude,
        pairs_per_shard=pairs_per_shard,
        index_cache=index_cache,
        progress=progress,
        executor=executor,
        ray_address=ray_address,
        workers=workers,
    )


def _find_budget(plan_path: str | Path, budget: int | str, price: Price) -> BudgetPlan:
    plan = load_plan(plan_path)
    budgets = plan.budgets
    if price.flops_per_sample is None and plan.payback is not None:
        price = replace(price, flops_per_sample=plan.payback.flops_per_sample)
    wanted = parse_budget(budget, price)
    for planned in budgets:
        if wanted == planned.samples_seen or wanted == parse_count(format_count(planned.samples_seen)):
            return planned
    present = ", ".join(format_count(planned.samples_seen) for planned in budgets)
    raise InputError(
        f"{plan_path} has no budget {format_count(wanted)}; it has {present}: take one of "
        "these, or plan that budget first"
    )


def _find_candidate(planned: BudgetPlan, name: str | None) -> Candidate:
    wanted = name or planned.best
    found = find_candidate(planned, wanted)
    if found is not None:
        return found
    names = [candidate.name for candidate in planned.candidates]
    raise InputError(
        f"the plan has no candidate {wanted!r} at {format_count(planned.samples_seen)}; "
        f"{nearest(wanted, names)}"
    )
