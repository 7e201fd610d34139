"""The planning side in a few calls, for notebooks and scripts: `import thresher as th`.

    runs = th.read_runs("runs.jsonl")
    fit = th.fit(runs)
    plan = th.plan(fit, budgets=["32M", "640M"])

`fit`, `read_runs` and `import_runs` are those of `laws` and `runs`. What is here adds what a command adds:
budgets as people write them, FLOPs as the runs tell them, results that print themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from thresher.budget import Price, epochs, parse_budget
from thresher.errors import InputError
from thresher.planning.laws.predict import draw_noise, predict_draws
from thresher.planning.laws.result import Laws
from thresher.planning.plans.costs import Costs, costs_of_runs
from thresher.planning.plans.make_plan import known_sizes, make_plan
from thresher.planning.plans.next_run import CandidateRun, candidate_runs
from thresher.planning.plans.next_run import suggest as suggest_among
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.prediction import Prediction, error_interval
from thresher.planning.plans.suggestions import Suggestions
from thresher.planning.runs.nested import split_weights
from thresher.planning.runs.record import is_loss

Budget = int | str
Sizes = Mapping[str, int] | Path | str


def plan(
    laws: Laws,
    budgets: Budget | Sequence[Budget],
    *,
    sizes: Sizes | None = None,
    weights: str = "subsets",
    price: Price | None = None,
    spent: Costs | None = None,
    params: float | None = None,
    tolerance: float | None = None,
) -> Plan:
    """The best mix of pools at each budget.

    Args:
        laws: From `fit` or `load_laws`.
        budgets: Samples seen (`"32M"`), FLOPs (`"1e18FLOPs"`) or GPU-hours (`"100gpu-h"`).
        sizes: Samples in each pool, or the path of a `pools.json`; those that the runs tell where absent.
        weights: "subsets", "continuous" or "both"; see `make_plan`.
        price: What turns FLOPs and GPU-hours into samples; the FLOPs per sample are those of the runs where
            it does not say.
        spent: What scoring and probing cost, charged at that price; the FLOPs of the runs of the fit where
            absent.
        params: Size of the model to plan for, where the laws have a term for it.
        tolerance: Errors closer than this count as equal.

    Raises:
        InputError: for a budget that cannot be read or priced, a pool without a size, and what `make_plan`
            refuses.
    """
    costs = costs_of_runs(laws.runs) if spent is None else spent
    full = _price(price, costs)
    return make_plan(
        laws,
        [parse_budget(budget, full) for budget in _listed(budgets)],
        sizes,
        weights=weights,
        spent=replace(costs, flops_per_sample=full.flops_per_sample),
        params=params,
        tolerance=tolerance,
    )


def predict(
    laws: Laws,
    weights: Mapping[str, float],
    budget: Budget,
    *,
    sizes: Sizes | None = None,
    price: Price | None = None,
    params: float | None = None,
    with_noise: bool = False,
) -> Prediction:
    """The error that the laws predict for one mix.

    Args:
        laws: From `fit` or `load_laws`.
        weights: Pool to sampling weight, relative: `{"0-10%": 1, "10-20%": 1}`.
        budget: As in `plan`.
        sizes: As in `plan`.
        price: As in `plan`.
        params: Size of the model, where the laws have a term for it.
        with_noise: Whether the interval is that of a single run, with its noise, or that of the laws.

    Raises:
        InputError: naming a pool without a law or a size, or for weights that sum to zero.
    """
    known = known_sizes(laws, sizes)
    names, weights = laws.pool_names, split_weights(weights, known, laws.within)
    for pool, weight in weights.items():
        if pool not in names:
            raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(names)}")
        if not 0 <= weight < np.inf:
            raise InputError(f"weight of {pool!r} is {weight}; weights are finite and not negative")
        if weight > 0 and known.get(pool, 0) < 1:
            raise InputError(f"pool {pool!r} has a weight but no size; give its number of samples in `sizes`")
    total = float(sum(weights.values()))
    if not total > 0:
        raise InputError("the weights sum to zero; give at least one pool a positive weight")
    seen = parse_budget(budget, _price(price, costs_of_runs(laws.runs)))
    weights_P = np.array([weights.get(name, 0.0) / total for name in names])
    size_P = np.array([max(1, known.get(name, 1)) for name in names], float)
    error_S = predict_draws(laws, float(seen), weights_P, size_P, params=params)
    spread_S = error_S
    if with_noise:
        spread_S = error_S + draw_noise(laws)
    low, high = error_interval(spread_S[:, None])
    mix = {name: float(weight) for name, weight in zip(names, weights_P, strict=True) if weight > 0}
    return Prediction(
        metric=laws.metric,
        samples_seen=seen,
        weights=mix,
        error=float(error_S.mean()),
        low=float(low[0]),
        high=float(high[0]),
        repeats={name: epochs(seen * weight, known[name]) for name, weight in mix.items()},
    )


def suggest(
    laws: Laws,
    budgets: Budget | Sequence[Budget],
    *,
    sizes: Sizes | None = None,
    price: Price | None = None,
    candidates: Sequence[CandidateRun] | None = None,
) -> Suggestions:
    """Runs to make next, by the expected fall of regret for what they cost.

    Args:
        laws: From `fit` or `load_laws`, with draws.
        budgets: As in `plan`.
        sizes: As in `plan`.
        price: As in `plan`.
        candidates: The runs to choose from; those of `next_run.candidate_runs` where absent.

    Raises:
        InputError: as `plan`, and for laws without draws.
    """
    full = _price(price, costs_of_runs(laws.runs))
    seen = [parse_budget(budget, full) for budget in _listed(budgets)]
    known, rate = known_sizes(laws, sizes), full.flops_per_sample or 1.0
    if candidates is None:
        candidates = candidate_runs(laws, seen, sizes=known, flops_per_sample=rate)
    found = suggest_among(laws, candidates, seen, sizes=known, flops_per_sample=rate)
    return Suggestions(runs=tuple(found), budgets=tuple(seen), loss=is_loss(laws.metric))


def _listed(budgets: Budget | Sequence[Budget]) -> list[Budget]:
    return [budgets] if isinstance(budgets, int | str) else list(budgets)


def _price(price: Price | None, costs: Costs) -> Price:
    """The price that was given, with the FLOPs per sample of the runs where it has none."""
    price = price or Price()
    if price.flops_per_sample is None:
        price = replace(price, flops_per_sample=costs.flops_per_sample or None)
    return price
