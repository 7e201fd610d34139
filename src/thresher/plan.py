"""The plan: which mix of pools to train on at each budget, how sure that is, and where the answer changes.

Candidates are all subsets of the pools, drawn uniformly over their samples. Doubt comes from the
bootstrap draws of the fit. Axes: S draws, C candidates, P pools.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thresher.budget import format_count
from thresher.crossovers import Crossover, find_crossovers
from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.interval import HIGH, LOW
from thresher.laws.law import Floats
from thresher.laws.mix import predict
from thresher.laws.result import Fit, draw_parameters, parameters, with_axis
from thresher.mixes import Mixes, all_mixes, mix_name, mix_pools, read_pool_sizes
from thresher.runs import is_loss

SURE = 0.8
"""A winner with a smaller chance than this is not called the best."""
KEPT_CANDIDATES = 64
_CHUNK_ELEMENTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One mix at one budget.

    Attributes:
        weights: Sampling weight of each of its pools; sums to 1.
        predicted_error: At the fitted parameters.
        low: 5% quantile of the prediction over the draws.
        high: 95% quantile.
        chance_best: Share of the draws in which no candidate is better.
        expected_regret: Mean over the draws of its error minus that of the draw's best candidate.
        repeats: Passes over each of its pools.
        num_unique: Samples in its pools.
    """

    name: str
    pools: tuple[str, ...]
    weights: Mapping[str, float]
    predicted_error: float
    low: float
    high: float
    chance_best: float
    expected_regret: float
    repeats: Mapping[str, float]
    num_unique: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlan:
    """The candidates at one budget, lowest predicted error first, and what to make of them."""

    samples_seen: int
    best: str
    candidates: tuple[Candidate, ...]
    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to train on, budget by budget.

    Attributes:
        pools: Pool name to number of samples, in the order of the fit.
        status: Sentences about pools that take no part.
    """

    law: str
    metric: str
    budgets: tuple[BudgetPlan, ...]
    crossovers: tuple[Crossover, ...]
    pools: Mapping[str, int]
    status: tuple[str, ...] = ()


def make_plan(
    fit: Fit,
    budgets: Sequence[int],
    sizes: Mapping[str, int] | Path | str | None = None,
    *,
    kept: int = KEPT_CANDIDATES,
) -> Plan:
    """The best mix at each budget.

    Args:
        fit: The laws of the pools.
        budgets: Samples seen; the plan lists them in rising order, each once.
        sizes: Samples in each pool, or the path of a `pools.json` (or its folder); the sizes that the runs
            tell where absent.
        kept: How many candidates a budget lists. Single pools, nested prefixes and all pools together are
            always listed.

    Raises:
        InputError: without a budget, for more than 12 pools, or for a pool of the laws that has no size.
    """
    if not budgets:
        raise InputError("a plan needs a budget; give samples seen, like 32M")
    if min(budgets) < 1:
        raise InputError(f"a budget of {min(budgets)} samples seen trains nothing; give at least 1")
    pools, status = _pool_sizes(fit, sizes)
    mixes = all_mixes([pool.name for pool in fit.pools], pools)
    ordered = sorted(set(budgets))
    return Plan(
        law=fit.law,
        metric=fit.metric,
        budgets=tuple(_plan_budget(fit, mixes, budget, kept) for budget in ordered),
        crossovers=find_crossovers(fit, mixes, ordered),
        pools=pools,
        status=tuple(status),
    )


def winner(budget: BudgetPlan) -> Candidate:
    """The candidate that a budget's plan chose."""
    return next(candidate for candidate in budget.candidates if candidate.name == budget.best)


def summary(plan: Plan) -> list[dict[str, str]]:
    """One row a budget, ready to print: what is best, its error, how sure, how often samples repeat."""
    loss = is_loss(plan.metric)
    rows = []
    for budget in plan.budgets:
        best = budget.candidates[0]
        rows.append(
            {
                "budget": format_count(budget.samples_seen),
                "best": best.name,
                "error": _error_text(best.predicted_error, loss),
                "interval": f"{_error_text(best.low, loss)} to {_error_text(best.high, loss)}",
                "chance": f"{100 * best.chance_best:.0f}%",
                "passes": f"{max(best.repeats.values()):.2g}",
                "decision": budget.decision,
            }
        )
    return rows


def _pool_sizes(fit: Fit, sizes: Mapping[str, int] | Path | str | None) -> tuple[dict[str, int], list[str]]:
    """Size of each pool that has a law, and sentences about those that take no part."""
    names = [pool.name for pool in fit.pools]
    if sizes is None:
        sizes = {pool.name: round(pool.pool_samples) for pool in fit.pools}
    elif not isinstance(sizes, Mapping):
        sizes = read_pool_sizes(sizes)
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


def _plan_budget(fit: Fit, mixes: Mixes, samples_seen: int, kept: int) -> BudgetPlan:
    error_C = predict(LAWS[fit.law], parameters(fit), samples_seen, mixes.weights_CP, mixes.size_P)
    error_SC = _errors_of_draws(fit, mixes, samples_seen)
    chance_C = np.bincount(error_SC.argmin(1), minlength=error_C.size) / len(error_SC)
    regret_C = (error_SC - error_SC.min(1, keepdims=True)).mean(0)
    low_C, high_C = np.quantile(error_SC, (LOW, HIGH), axis=0)
    order = [int(c) for c in np.argsort(error_C, kind="stable")]
    rival = max(order[1:], key=lambda c: float(chance_C[c]), default=None)
    candidates = {
        c: Candidate(
            name=mix_name(mixes, c),
            pools=mix_pools(mixes, c),
            weights={
                pool: float(mixes.weights_CP[c, mixes.pools.index(pool)]) for pool in mix_pools(mixes, c)
            },
            predicted_error=float(error_C[c]),
            low=float(low_C[c]),
            high=float(high_C[c]),
            chance_best=float(chance_C[c]),
            expected_regret=float(regret_C[c]),
            repeats=dict.fromkeys(mix_pools(mixes, c), samples_seen / float(mixes.unique_C[c])),
            num_unique=int(mixes.unique_C[c]),
        )
        for place, c in enumerate(order)
        if place < kept or c == rival or _is_simple(mixes.member_CP[c])
    }
    best = candidates[order[0]]
    return BudgetPlan(
        samples_seen=samples_seen,
        best=best.name,
        candidates=tuple(candidates.values()),
        decision=_decision(
            best, None if rival is None else candidates[rival], samples_seen, is_loss(fit.metric)
        ),
    )


def _errors_of_draws(fit: Fit, mixes: Mixes, samples_seen: int) -> Floats:
    """Predicted error of every candidate in every draw, [S, C], in pieces that fit into memory."""
    draws = with_axis(draw_parameters(fit))
    step = max(1, _CHUNK_ELEMENTS // (len(draws.A) * len(mixes.pools)))
    pieces = [
        predict(LAWS[fit.law], draws, samples_seen, mixes.weights_CP[start : start + step], mixes.size_P)
        for start in range(0, len(mixes.weights_CP), step)
    ]
    return np.concatenate(pieces, axis=1)


def _is_simple(member_P: NDArray[np.bool_]) -> bool:
    """A single pool, or the first few pools without a gap."""
    return int(member_P.sum()) == 1 or bool(member_P[: int(member_P.sum())].all())


def _decision(best: Candidate, rival: Candidate | None, samples_seen: int, loss: bool) -> str:
    budget = format_count(samples_seen)
    error = f"predicted error {_error_text(best.predicted_error, loss)}"
    if rival is None:
        return f"{best.name} is the only candidate at {budget} samples seen, {error}."
    if best.chance_best >= SURE:
        return (
            f"{best.name} is best at {budget} samples seen (chance {100 * best.chance_best:.0f}%), {error}, "
            f"{_error_text(best.low, loss)} to {_error_text(best.high, loss)}."
        )
    cost = f"{best.expected_regret:.2g}" if loss else f"{100 * best.expected_regret:.2g} points"
    return (
        f"Cannot tell {best.name} from {rival.name} at {budget} samples seen (chance to be best "
        f"{100 * best.chance_best:.0f}% against {100 * rival.chance_best:.0f}%); acting on {best.name}, "
        f"{error}, costs {cost} of error on average."
    )


def _error_text(error: float, loss: bool) -> str:
    return f"{error:.4g}" if loss else f"{100 * error:.1f}%"
