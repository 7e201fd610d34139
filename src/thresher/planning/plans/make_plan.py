"""Making a plan: the candidates, the choice at each budget, the frontier, the crossovers and the costs.

Axes: S draws, B budgets, G budgets of the grid, C candidates, P pools.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from thresher.budget import format_count
from thresher.errors import InputError
from thresher.planning.laws.law import Floats
from thresher.planning.laws.result import Laws
from thresher.planning.plans.costs import Costs, payback
from thresher.planning.plans.frontier import (
    Survey,
    find_crossovers,
    frontier_of,
    grid_around,
    policies_of,
    survey,
    with_free_weights,
)
from thresher.planning.plans.mixes import (
    MOST_POOLS,
    filled_pools,
    is_simple,
    read_pool_sizes,
    uniform_weights,
    with_weights,
)
from thresher.planning.plans.next_run import tiebreaker
from thresher.planning.plans.one_budget import PlanInputs, chooses_weights, plan_budget
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.prediction import Predictor, mean_errors, with_few_draws
from thresher.planning.plans.result import LOSS_TOLERANCE, TOLERANCE, BudgetPlan, Tiebreaker
from thresher.planning.plans.search import best_weights, candidate_mixes, starts
from thresher.planning.runs.nested import part_sizes, wholes_in
from thresher.planning.runs.record import is_loss
from thresher.tables import gap_text

KEPT_CANDIDATES = 64
WEIGHTS = ("subsets", "continuous", "both")


def make_plan(
    laws: Laws,
    budgets: Sequence[int],
    sizes: Mapping[str, int] | Path | str | None = None,
    *,
    weights: str = "subsets",
    spent: Costs | None = None,
    params: float | None = None,
    tolerance: float | None = None,
    kept: int = KEPT_CANDIDATES,
    telling: Tiebreaker | None = None,
) -> Plan:
    """The best mix at each budget: the one with the lowest mean error over the draws of the laws.

    Args:
        laws: The laws of the pools.
        budgets: Samples seen; the plan lists them in rising order, each once.
        sizes: Samples in each pool, or the path of a `pools.json` (or its folder); the sizes that the runs
            tell where absent.
        weights: "subsets" chooses among subsets drawn uniformly and says beside them what free weights would
            add; "continuous" chooses the free weights; "both" chooses them where they add more than the
            tolerance.
        spent: What scoring and probing cost; charged to the budgets.
        params: Size of the model to plan for, where the laws have a term for it.
        tolerance: Errors closer than this count as equal; 0.001 (.1 points), or 0.005 for a loss.
        kept: How many candidates a budget lists. Single pools, nested prefixes and all pools together are
            always listed.
        telling: Names the run that would tell two mixes apart; `next_run.tiebreaker` where absent.

    Raises:
        InputError: without a budget, for a budget below 1, for a pool of the laws that has no size, or for
            `weights` that are none of these.
    """
    if weights not in WEIGHTS:
        raise InputError(f"weights is {weights!r}; choose one of {', '.join(WEIGHTS)}")
    ordered = _rising(budgets)
    pools, status = _pool_sizes(laws, sizes)
    loss = is_loss(laws.metric)
    filled = filled_pools(laws.pool_names, pools)
    size_P = np.array([max(1, pools.get(name, 0)) for name in laws.pool_names], float)
    predictor = Predictor(laws=laws, size_P=size_P, params=params)
    setting = PlanInputs(
        predictor=predictor,
        mixes=candidate_mixes(predictor, pools, filled, ordered),
        filled=filled,
        weights=weights,
        tolerance=tolerance if tolerance is not None else LOSS_TOLERANCE if loss else TOLERANCE,
        loss=loss,
        kept=kept,
        telling=tiebreaker(laws, pools) if telling is None else telling,
    )
    grid = grid_around(ordered)
    free = _free_weights(setting, ordered if weights == "subsets" else grid)
    planned = tuple(plan_budget(setting, budget, free.get(budget)) for budget in ordered)
    seen = survey(predictor, setting.mixes, grid)
    crossovers = find_crossovers(predictor, setting.mixes, seen)
    policies = _policy_places(setting, seen, ordered)
    if weights != "subsets" and free:
        seen = with_free_weights(
            seen,
            predictor,
            with_weights(setting.mixes, np.array([free[budget] for budget in grid])),
            chosen=lambda gain: chooses_weights(setting, gain),
        )
    frontier = frontier_of(seen)
    everything_P = uniform_weights(np.isin(np.arange(size_P.size), filled)[None], size_P)[0]
    return Plan(
        law=laws.best.law,
        metric=laws.metric,
        budgets=planned,
        crossovers=crossovers,
        pools=pools,
        status=(*status, *_search_status(setting, planned)),
        tolerance=setting.tolerance,
        weights=weights,
        looked_at=(float(grid[0]), float(grid[-1])),
        frontier=frontier,
        wholes=wholes_in([laws.pool_names[place] for place in filled], laws.within),
        policies=policies_of(predictor, setting.mixes, policies, frontier),
        payback=None if spent is None else payback(predictor, seen, everything_P, ordered, spent),
    )


def _rising(budgets: Sequence[int]) -> list[int]:
    """The budgets in rising order, each once."""
    if not budgets:
        raise InputError("a plan needs a budget; give samples seen, like 32M")
    if min(budgets) < 1:
        raise InputError(f"a budget of {min(budgets)} samples seen trains nothing; give at least 1")
    return sorted({int(budget) for budget in budgets})


def known_sizes(laws: Laws, sizes: Mapping[str, int] | Path | str | None) -> dict[str, int]:
    """Samples in each pool, or disjoint part of one, that the laws are of: as given, or as the runs tell."""
    if sizes is None:
        return laws.sizes
    known = dict(sizes) if isinstance(sizes, Mapping) else read_pool_sizes(sizes)
    return known if set(laws.pool_names) <= set(known) else part_sizes(known, laws.within)


def _pool_sizes(laws: Laws, sizes: Mapping[str, int] | Path | str | None) -> tuple[dict[str, int], list[str]]:
    """Size of each pool that has a law, and sentences about those that take no part."""
    names, sizes = laws.pool_names, known_sizes(laws, sizes)
    for name in names:
        if name not in sizes:
            raise InputError(
                f"the laws hold pool {name!r}, the pools are {', '.join(sizes)}; cut and fit the same pools"
            )
    status = [
        f"Pool {name} has no law and takes no part; probe it and fit again."
        for name in sizes
        if name not in names
    ]
    status += [f"Pool {name} is empty and takes no part." for name in names if sizes[name] < 1]
    return {name: int(sizes[name]) for name in names if sizes[name] >= 1}, status


def _free_weights(setting: PlanInputs, budgets: Sequence[int]) -> dict[int, Floats]:
    """The best free weights at each budget; none where there is one pool."""
    if len(setting.filled) < 2:
        return {}
    few = with_few_draws(setting.predictor)
    subsets = setting.mixes
    rough = [int(mean_errors(few, budget, subsets.weights_CP).argmin()) for budget in budgets]
    found_BP = best_weights(
        setting.predictor, budgets, starts(subsets, rough, setting.filled), setting.filled
    )
    return dict(zip(budgets, found_BP, strict=True))


def _policy_places(setting: PlanInputs, seen: Survey, budgets: Sequence[int]) -> list[int]:
    """Mixes that one may keep at every budget: single pools, nested ones, and the best subset of a budget."""
    simple = [
        place
        for place, weights_P in enumerate(setting.mixes.weights_CP)
        if is_simple(weights_P, setting.filled)
    ]
    best = [
        int(leading_K[0])
        for budget, leading_K in zip(seen.budgets_G, seen.leading_G, strict=True)
        if budget in budgets
    ]
    return list(dict.fromkeys([*simple, *best]))


def _search_status(setting: PlanInputs, planned: Sequence[BudgetPlan]) -> list[str]:
    """What was not searched in full, and how far from the free weights that leaves the best subset."""
    count = len(setting.filled)
    if count <= MOST_POOLS:
        return []
    gaps = [0.0 if budget.weighting is None else budget.weighting.gain for budget in planned]
    widest, compared = gaps.index(max(gaps)), len(setting.mixes.weights_CP)
    return [
        f"{count} pools have {2**count - 1:,} subsets; a greedy search found {compared:,} to compare. The "
        "best free weights that were found, which bound every subset as far as they are the best, are better "
        f"by at most {gap_text(max(gaps), setting.loss)} (at "
        f"{format_count(planned[widest].samples_seen)} samples seen)."
    ]
