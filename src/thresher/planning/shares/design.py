"""Which runs to buy next: those that leave the least doubt about the losses where they will be needed.

Greedy V-optimal design (arXiv 2604.22753 for scaling laws): each step takes the run that, per unit of cost,
lowers the posterior variance of the losses most, summed over targets. What a run will show is not needed for
that, only where it stands; so runs are chosen one after the other, each beside those before it.

Axes: K candidate runs, T targets, B bought runs, M losses, P parameters.
"""

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.planning.shares.inputs import Floats, Inputs
from thresher.planning.shares.kernel import covariance, variance
from thresher.planning.shares.solving import factor, noise_of, noisy_covariance, solve_lower
from thresher.planning.shares.tuning import prior


def choose_runs(
    candidates: Inputs,
    targets: Inputs,
    number: int,
    *,
    bought: Inputs | None = None,
    theta: Floats | None = None,
    weights: Floats | None = None,
    cost: Floats | None = None,
) -> NDArray[np.intp]:
    """Places of the chosen candidates [number], in the order in which they should be trained; none twice.

    Args:
        candidates: Runs that could be trained.
        targets: Runs whose losses are to be known.
        number: How many to choose.
        bought: Runs that were trained already.
        theta: Parameters of the covariance of each loss [M, P], from a fit to the bought runs; what is likely
            before any run where there is none.
        weights: How much the variance of each standardised loss matters [M]; equal by default.
        cost: Of each candidate [K]; equal by default.

    Raises:
        InputError: there are fewer candidates than runs to choose, or a cost is not positive.
    """
    if not 0 <= number <= len(candidates):
        raise InputError(f"{number} runs cannot be chosen from {len(candidates)}; offer more candidates")
    cost = np.ones(len(candidates)) if cost is None else np.asarray(cost, dtype=float)
    if not (cost > 0).all():
        raise InputError(f"run {int(np.argmin(cost))} costs {cost.min()}; costs are positive")
    theta = prior(candidates)[0][None] if theta is None else theta
    weights = np.ones(len(theta)) if weights is None else np.asarray(weights, dtype=float)
    losses = [_Doubt(one, candidates, targets, bought) for one in theta]
    chosen: list[int] = []
    for _ in range(number):
        fall = sum(weight * loss.fall() for weight, loss in zip(weights, losses, strict=True)) / cost
        fall[chosen] = -np.inf
        best = int(np.argmax(fall))
        chosen.append(best)
        for loss in losses:
            loss.buy(best)
    return np.array(chosen, dtype=np.intp)


class _Doubt:
    """The posterior covariance of one loss between candidates and targets, as runs are bought."""

    def __init__(self, theta: Floats, candidates: Inputs, targets: Inputs, bought: Inputs | None) -> None:
        self._theta, self._candidates = theta, candidates
        self._noise = float(noise_of(theta))
        self._cross = covariance(theta, candidates, targets)
        self._left = variance(theta, candidates)
        self._known = np.empty((0, len(candidates)))
        if bought is not None and len(bought):
            lower = factor(noisy_covariance(theta, bought))
            self._known = solve_lower(lower, covariance(theta, bought, candidates))
            of_targets = solve_lower(lower, covariance(theta, bought, targets))
            self._cross -= self._known.T @ of_targets
            self._left -= (self._known**2).sum(0)

    def fall(self) -> Floats:
        """By how much each candidate would lower the variance, summed over targets [K]."""
        found: Floats = (self._cross**2).sum(1) / (np.maximum(self._left, 0) + self._noise)
        return found

    def buy(self, place: int) -> None:
        """Makes the covariances those after the run of a candidate."""
        one = np.array([place])
        column = covariance(self._theta, self._candidates.rows(one), self._candidates)[0]
        column -= self._known[:, place] @ self._known
        root = np.sqrt(max(self._left[place], 0.0) + self._noise)
        column /= root
        self._cross -= np.outer(column, self._cross[place] / root)
        self._left -= column**2
        self._known = np.vstack([self._known, column])
