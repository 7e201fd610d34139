"""Crossovers: the budgets at which another mix becomes the best one.

Axes: S draws, G budgets of a logarithmic grid, C candidates, P pools.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from thresher.laws import LAWS
from thresher.laws.interval import HIGH, LOW
from thresher.laws.law import Floats
from thresher.laws.mix import predict
from thresher.laws.result import Fit, draw_parameters, parameters, with_axis
from thresher.mixes import Mixes, mix_name

_GRID_BUDGETS = 240
_REACH = 2.0
"""Winners are sought from half the smallest budget to twice the largest."""
_DRAW_REACH = 10.0
"""A draw's own crossing is sought this factor further out on both sides."""
_CHUNK_ELEMENTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """At `samples_seen` the best mix changes.

    Attributes:
        before: Best below.
        after: Best above.
        samples_seen: Where the two predictions are equal.
        low: 5% quantile over the draws; None where it lies below every budget that was looked at.
        high: 95% quantile; None where it lies above them.
    """

    before: str
    after: str
    samples_seen: float
    low: float | None
    high: float | None


def find_crossovers(fit: Fit, mixes: Mixes, budgets: Sequence[int]) -> tuple[Crossover, ...]:
    """Every change of the winner from half the smallest to twice the largest budget, in rising order."""
    grid_G = np.geomspace(min(budgets) / _REACH, max(budgets) * _REACH, _GRID_BUDGETS)
    winner_G = _winners(fit, mixes, grid_G)
    found = []
    for place in np.flatnonzero(np.diff(winner_G)):
        before, after = int(winner_G[place]), int(winner_G[place + 1])
        pair_2P = mixes.weights_CP[[before, after]]
        crossing = _crossing(fit, pair_2P, mixes.size_P, grid_G[place], grid_G[place + 1])
        low, high = _interval(fit, pair_2P, mixes.size_P, crossing, grid_G)
        found.append(
            Crossover(
                before=mix_name(mixes, before),
                after=mix_name(mixes, after),
                samples_seen=crossing,
                low=low,
                high=high,
            )
        )
    return tuple(found)


def _winners(fit: Fit, mixes: Mixes, grid_G: Floats) -> NDArray[np.intp]:
    """Candidate with the lowest predicted error at each budget."""
    law, fitted = LAWS[fit.law], parameters(fit)
    step = max(1, _CHUNK_ELEMENTS // mixes.weights_CP.size)
    chunks = [
        predict(law, fitted, grid_G[start : start + step, None], mixes.weights_CP, mixes.size_P).argmin(1)
        for start in range(0, grid_G.size, step)
    ]
    return np.concatenate(chunks)


def _crossing(fit: Fit, pair_2P: Floats, size_P: Floats, below: float, above: float) -> float:
    def gap(log_samples: float) -> float:
        error_2 = predict(LAWS[fit.law], parameters(fit), float(np.exp(log_samples)), pair_2P, size_P)
        return float(error_2[0] - error_2[1])

    return float(np.exp(brentq(gap, np.log(below), np.log(above), xtol=1e-12)))


def _interval(
    fit: Fit, pair_2P: Floats, size_P: Floats, crossing: float, grid_G: Floats
) -> tuple[float | None, float | None]:
    """5-95% interval of the crossing that each draw has nearest to the fitted one."""
    wide_G = np.geomspace(grid_G[0] / _DRAW_REACH, grid_G[-1] * _DRAW_REACH, grid_G.size)
    draws = with_axis(draw_parameters(fit))
    gap_SG = np.subtract(*(predict(LAWS[fit.law], draws, wide_G, weights_P, size_P) for weights_P in pair_2P))
    at_crossing = int(np.argmin(np.abs(np.log(wide_G / crossing))))
    crossings_S = [_nearest_crossing(gap_G, wide_G, crossing, at_crossing) for gap_G in gap_SG]
    low, high = np.quantile(crossings_S, (LOW, HIGH), method="nearest")
    return (float(low) if low > 0 else None), (float(high) if np.isfinite(high) else None)


def _nearest_crossing(gap_G: Floats, samples_G: Floats, crossing: float, at_crossing: int) -> float:
    """Where the gap turns from negative to positive; 0 or infinity where it never does within the grid."""
    turns = np.flatnonzero((gap_G[:-1] < 0) & (gap_G[1:] >= 0))
    if not turns.size:
        return 0.0 if gap_G[at_crossing] >= 0 else np.inf
    log_G = np.log(samples_G)
    share = gap_G[turns] / (gap_G[turns] - gap_G[turns + 1])
    logs = log_G[turns] + share * (log_G[turns + 1] - log_G[turns])
    return float(np.exp(logs[np.argmin(np.abs(logs - np.log(crossing)))]))
