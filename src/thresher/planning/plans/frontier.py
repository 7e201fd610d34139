"""The frontier: the best mix over a grid of budgets, where it changes, and what any fixed mix loses by it.

At every budget of the grid all candidates are compared by a few draws of the laws, and the leading ones then
by all draws. Where the winner changes from one budget to the next, the crossover between is sought, in the
mean and in each draw.

Axes: S draws, G budgets of the grid, C candidates, K leading candidates or ends of pieces, P pools.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Floats
from thresher.planning.laws.profile import HIGH, LOW
from thresher.planning.plans.mixes import Mixes, mix_name, mix_weights
from thresher.planning.plans.prediction import Predictor, error_interval, errors, mean_errors, with_few_draws
from thresher.planning.plans.result import Crossover, FrontierPoint, Policy

REACH = 2.0
"""Winners are sought from half the smallest budget to twice the largest."""
_STEPS_PER_OCTAVE = 4
_FEWEST, _MOST = 9, 65
_LEADING = 24
_INNER = 15
"""Budgets looked at between two of the grid where the winner changes."""
_LEADING_BESIDE = 12
_DRAW_REACH = 10.0
"""A draw's own crossing is sought this factor further out on both sides."""
_DRAW_BUDGETS = 160
_CUTS, _PIECES = 9, 8


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
    low_G, high_G = error_interval(seen.error_GS.T)
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
        policies.append(
            Policy(
                name=mix_name(mixes, place),
                weights=mix_weights(mixes, place),
                regrets=tuple(regret_G.tolist()),
                mean_regret=float(regret_G.mean()),
                worst_regret=float(regret_G.max()),
            )
        )
    return tuple(sorted(policies, key=lambda policy: policy.mean_regret))


def find_crossovers(predictor: Predictor, mixes: Mixes, seen: Survey) -> tuple[Crossover, ...]:
    """Every change of the winner over the grid of the survey, in rising order."""
    wide_G = np.geomspace(
        max(1.0, seen.budgets_G[0] / _DRAW_REACH), seen.budgets_G[-1] * _DRAW_REACH, _DRAW_BUDGETS
    )
    found = []
    for before, after, below, above in _changes(predictor, mixes, seen):
        pair_2P = mixes.weights_CP[[before, after]]
        crossing = _crossing(predictor, pair_2P, below, above)
        low, high, chance = _spread(predictor, pair_2P, crossing, wide_G)
        found.append(
            Crossover(
                before=mix_name(mixes, before),
                after=mix_name(mixes, after),
                samples_seen=crossing,
                low=low,
                high=high,
                chance=chance,
            )
        )
    return tuple(found)


def _changes(predictor: Predictor, mixes: Mixes, seen: Survey) -> Iterator[tuple[int, int, float, float]]:
    """Winner before and after, and the budgets between which it changes."""
    for place, (left_K, right_K) in enumerate(itertools.pairwise(seen.leading_G)):
        if left_K[0] == right_K[0]:
            continue
        known = np.union1d(left_K[:_LEADING_BESIDE], right_K[:_LEADING_BESIDE])
        inner_G = np.geomspace(seen.budgets_G[place], seen.budgets_G[place + 1], _INNER + 2)[1:-1]
        error_GK = mean_errors(
            predictor, np.repeat(inner_G, known.size), np.tile(mixes.weights_CP[known], (_INNER, 1))
        ).reshape(_INNER, known.size)
        winners = [int(left_K[0]), *(int(known[best]) for best in error_GK.argmin(1)), int(right_K[0])]
        ends = [seen.budgets_G[place], *inner_G, seen.budgets_G[place + 1]]
        for number, (before, after) in enumerate(itertools.pairwise(winners)):
            if before != after:
                yield before, after, float(ends[number]), float(ends[number + 1])


def _crossing(predictor: Predictor, pair_2P: Floats, below: float, above: float) -> float:
    """Where the second mix overtakes the first between two budgets, by cutting the stretch into pieces."""
    for _ in range(_CUTS):
        ends_K = np.geomspace(below, above, _PIECES + 1)
        error_2K = mean_errors(
            predictor, np.tile(ends_K, 2), np.repeat(pair_2P, ends_K.size, axis=0)
        ).reshape(2, -1)
        behind_K = np.flatnonzero(error_2K[0, 1:] >= error_2K[1, 1:])
        place = int(behind_K[0]) if behind_K.size else _PIECES - 1
        below, above = float(ends_K[place]), float(ends_K[place + 1])
    return above


def _spread(
    predictor: Predictor, pair_2P: Floats, crossing: float, wide_G: Floats
) -> tuple[float | None, float | None, float]:
    """5-95% interval of each draw's crossing that is nearest to this one, and the share of draws with one."""
    gap_SG = np.subtract(
        *(
            errors(predictor, wide_G, np.broadcast_to(weights_P, (wide_G.size, weights_P.size)))
            for weights_P in pair_2P
        )
    )
    at_crossing = int(np.argmin(np.abs(np.log(wide_G / crossing))))
    crossings_S = [_nearest_crossing(gap_G, wide_G, crossing, at_crossing) for gap_G in gap_SG]
    low, high = np.quantile(crossings_S, (LOW, HIGH), method="nearest")
    inside = np.isfinite(crossings_S) & (np.asarray(crossings_S) > 0)
    low_end, high_end = (float(end) if 0 < end < np.inf else None for end in (low, high))
    return low_end, high_end, float(inside.mean())


def _nearest_crossing(gap_G: Floats, samples_G: Floats, crossing: float, at_crossing: int) -> float:
    """Where the gap turns from negative to positive; 0 or infinity where it never does within the grid."""
    turns = np.flatnonzero((gap_G[:-1] < 0) & (gap_G[1:] >= 0))
    if not turns.size:
        return 0.0 if gap_G[at_crossing] >= 0 else np.inf
    log_G = np.log(samples_G)
    share = gap_G[turns] / (gap_G[turns] - gap_G[turns + 1])
    logs = log_G[turns] + share * (log_G[turns + 1] - log_G[turns])
    return float(np.exp(logs[np.argmin(np.abs(logs - np.log(crossing)))]))
