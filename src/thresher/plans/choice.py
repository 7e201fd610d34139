"""The choice at one budget: what is chosen, how sure that is, and what it cannot be told from.

Axes: S draws, C candidates.
"""

from dataclasses import dataclass

import numpy as np

from thresher.laws.law import Floats
from thresher.plans.result import SURE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """Places of candidates, and numbers of all of them.

    Attributes:
        best: The chosen one.
        order_C: All candidates, the chosen one first, then by mean error.
        chance_C: Share of the draws in which no candidate is better by more than the tolerance.
        regret_C: Mean over the draws of the error beyond that of the draw's best candidate.
        verdict: "best", "close" or "unclear", as in `BudgetPlan`.
        rival: The candidate for which a sure answer to "which of the two" would save most; None where there
            is no other.
        as_good: Candidates within the tolerance of the chosen one in nearly all draws, best first.
    """

    best: int
    order_C: list[int]
    chance_C: Floats
    regret_C: Floats
    verdict: str
    rival: int | None
    as_good: list[int]


def choose(error_SC: Floats, *, tolerance: float, best: int | None = None) -> Choice:
    """The candidate with the lowest mean error, which is that with the lowest expected regret.

    Args:
        error_SC: Errors in the draws.
        tolerance: Errors closer than this count as equal.
        best: Choose this one instead.
    """
    mean_C = error_SC.mean(0)
    order = [int(place) for place in np.argsort(mean_C, kind="stable")]
    if best is None:
        best = order[0]
    order = [best, *(place for place in order if place != best)]
    beyond_SC = error_SC - error_SC.min(1, keepdims=True)
    chance_C = (beyond_SC <= tolerance).mean(0)
    behind_SC = error_SC[:, [best]] - error_SC
    near_C = (np.abs(behind_SC) <= tolerance).mean(0)
    lost_C = np.maximum(behind_SC, 0.0).mean(0)
    regret_C = beyond_SC.mean(0)
    others = order[1:]
    return Choice(
        best=best,
        order_C=order,
        chance_C=chance_C,
        regret_C=regret_C,
        verdict=_verdict(float(chance_C[best]), float(regret_C[best]), tolerance),
        rival=max(others, key=lambda place: float(lost_C[place]), default=None),
        as_good=[place for place in others if near_C[place] >= SURE],
    )


def _verdict(chance: float, regret: float, tolerance: float) -> str:
    if chance >= SURE:
        return "best"
    return "close" if regret <= tolerance else "unclear"
