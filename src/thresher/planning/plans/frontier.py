"""The frontier: the best mix over a grid of budgets, and what any fixed mix loses against it.

At every budget of the grid all candidates are compared by a few draws of the laws, and the leading ones then
by all draws. Axes: S draws, G budgets of the grid, C candidates, K leading candidates, P pools.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Floats
from thresher.planning.plans.mixes import Mixes, mix_name, mix_weights
from thresher.planning.plans.predict import Predictor, band, errors, mean_errors, with_few_draws
from thresher.planning.plans.result import FrontierPoint, Policy

REACH = 2.0
"""Winners are sought from half the smallest budget to twice the largest."""
_STEPS_PER_OCTAVE = 4
_FEWEST, _MOST = 9, 65
_LEADING = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """The leading candidates over the grid.

    Attributes:
        budgets_G: Samples seen, whole and rising; holds the budgets of the plan.
        leading_G: Places of the leading candidates at each budget, the best one first.
        best_G: Names of the best ones.
        error_GS: Error of the best one in each draw.
    """

    budgets_G: Floats
    leading_G: list[NDArray[np.intp]]
    best_G: list[str]
    error_GS: Floats


def grid_around(budgets: Sequence[int]) -> list[int]:
    """Budgets at equal factors from half the smallest to twice the largest, and `budgets` themselves."""
    low, high = min(budgets) / REACH, max(budgets) * REACH
    count = int(np.clip(_STEPS_PER_OCTAVE * np.log2(high / low) + 1, _FEWEST, _MOST))
    whole = np.unique(np.maximum(1.0, np.round([*np.geomspace(low, high, count), *budgets])))
    return [int(budget) for budget in whole]


def survey(predictor: Predictor, mixes: Mixes, budgets: Sequence[int]) -> Survey:
    """The leading candidates at each budget."""
    few = with_few_draws(predictor)
    leading, best = [], []
    for samples_seen in budgets:
        rough_C = mean_errors(few, samples_seen, mixes.weights_CP)
        found_K = np.sort(np.argsort(rough_C, kind="stable")[:_LEADING])
        error_SK = errors(predictor, samples_seen, mixes.weights_CP[found_K])
        order_K = np.argsort(error_SK.mean(0), kind="stable")
        leading.append(found_K[order_K])
        best.append(error_SK[:, order_K[0]])
    return Survey(
        budgets_G=np.asarray(budgets, float),
        leading_G=leading,
        best_G=[mix_name(mixes, int(leading_K[0])) for leading_K in leading],
        error_GS=np.array(best),
    )


def with_free_weights(
    seen: Survey, predictor: Predictor, mixes: Mixes, *, chosen: Callable[[float], bool]
) -> Survey:
    """The survey with free weights, the last mixes, one a budget, where their gain has them chosen."""
    best, error_GS = list(seen.best_G), seen.error_GS.copy()
    first = len(mixes.weights_CP) - len(best)
    for number, samples_seen in enumerate(seen.budgets_G):
        error_S = errors(predictor, samples_seen, mixes.weights_CP[[first + number]])[:, 0]
        gain = float(error_GS[number].mean() - error_S.mean())
        if gain > 0 and chosen(gain):
            best[number], error_GS[number] = mix_name(mixes, first + number), error_S
    return replace(seen, best_G=best, error_GS=error_GS)


def frontier_of(seen: Survey) -> tuple[FrontierPoint, ...]:
    """The best mix at each budget, with its band."""
    low_G, high_G = band(seen.error_GS.T)
    return tuple(
        FrontierPoint(
            samples_seen=int(samples_seen),
            best=best,
            error=float(error_S.mean()),
            low=float(low),
            high=float(high),
        )
        for samples_seen, best, error_S, low, high in zip(
            seen.budgets_G, seen.best_G, seen.error_GS, low_G, high_G, strict=True
        )
    )


def policies_of(
    predictor: Predictor, mixes: Mixes, places: Sequence[int], frontier: Sequence[FrontierPoint]
) -> tuple[Policy, ...]:
    """What each of the mixes loses when it is kept at every budget, lowest mean regret first."""
    budgets_G = np.array([point.samples_seen for point in frontier], float)
    best_G = np.array([point.error for point in frontier])
    policies = []
    for place in places:
        weights_GP = np.broadcast_to(mixes.weights_CP[place], (budgets_G.size, len(mixes.pools)))
        regret_G = np.maximum(mean_errors(predictor, budgets_G, weights_GP) - best_G, 0.0)
        policies.append(_policy(mix_name(mixes, place), mix_weights(mixes, place), regret_G))
    return tuple(sorted(policies, key=lambda policy: policy.mean_regret))


def _policy(name: str, weights: Mapping[str, float], regret_G: Floats) -> Policy:
    return Policy(
        name=name,
        weights=weights,
        regrets=tuple(float(regret) for regret in regret_G),
        mean_regret=float(regret_G.mean()),
        worst_regret=float(regret_G.max()),
    )
