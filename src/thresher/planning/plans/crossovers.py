"""Crossovers: the budgets at which another subset becomes the best one.

Axes: S draws, G budgets of a grid, K candidates or ends of pieces, P pools.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from thresher.planning.laws.law import Floats
from thresher.planning.laws.profile import HIGH, LOW
from thresher.planning.plans.frontier import Survey
from thresher.planning.plans.mixes import Mixes, mix_name
from thresher.planning.plans.predict import Predictor, errors, mean_errors
from thresher.planning.plans.result import Crossover

_INNER = 15
"""Budgets looked at between two of the grid where the winner changes."""
_LEADING = 12
_DRAW_REACH = 10.0
"""A draw's own crossing is sought this factor further out on both sides."""
_DRAW_BUDGETS = 160
_CUTS, _PIECES = 9, 8


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
        known = np.union1d(left_K[:_LEADING], right_K[:_LEADING])
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
