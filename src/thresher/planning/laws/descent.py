"""Bounded robust least squares for a batch of fits at once: Levenberg-Marquardt with Huber's loss.

Starts of one fit, or refits to resampled runs, differ in a few numbers and share the rest, so one call of
numpy does a step of all of them. A coordinate that sits at a bound and would leave it is held for that step;
steps are clipped to the bounds; Huber's loss is handled by weights anew at every step, so that a fit whose
cost cannot be lowered any more is a stationary point of it. The damping follows how much of the promised
fall a step brought (H. B. Nielsen, "Damping parameter in Marquardt's method", 1999). Axes: B fits, A those of
them that still move, R runs, F free coordinates, X all coordinates.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Floats
from thresher.planning.laws.problem import Measured, Problem, Residuals, measured, residuals

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e10
_MOST_EASED, _HARDENED, _HARDER = 0.1, 4.0, 2.0
_LARGEST_STEP = 3.0
"""Longest step of a log or a coordinate of about that size, which keeps the first steps from overshooting."""


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Where the batch stopped.

    Attributes:
        coordinates_BX: All coordinates.
        residual_BR: Residuals of the runs.
        cost_B: Huber's cost and that of the priors.
        converged_B: Whether the last step changed less than the tolerance.
    """

    coordinates_BX: Floats
    residual_BR: Floats
    cost_B: Floats
    converged_B: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Place:
    """Where the free coordinates stand, between which bounds (A or 1), and which of them may not move."""

    values_AF: Floats
    lower_AF: Floats
    upper_AF: Floats
    pinned_AF: NDArray[np.bool_] | None

    def kept(self, rows: NDArray[np.bool_]) -> "_Place":
        """Some of the fits."""
        return _Place(
            self.values_AF[rows],
            self.lower_AF,
            _picked(self.upper_AF, rows),
            None if self.pinned_AF is None else self.pinned_AF[rows],
        )


def descend(
    problem: Problem,
    start_BX: Floats,
    huber_scale: float,
    *,
    tolerance: float,
    max_steps: int,
    data: Measured | None = None,
    pinned_BX: NDArray[np.bool_] | None = None,
) -> Descent:
    """The nearest minimum from each start; what is not free keeps the value of the start.

    Args:
        problem: Runs, bounds and priors.
        start_BX: Where to start.
        huber_scale: Residual beyond which a run counts less.
        tolerance: Relative fall of the cost, and step, below which a fit has converged.
        max_steps: Steps after which it stops all the same.
        data: Measurements for each of the batch; those of the problem where absent.
        pinned_BX: Free coordinates that keep the value of the start all the same.
    """
    data = measured(problem) if data is None else data
    free = np.flatnonzero(problem.free_X)
    at = _Place(
        np.empty(0),
        problem.limits.lower_X[None, free],
        data.upper_BX[:, free],
        None if pinned_BX is None else pinned_BX[:, free],
    )
    at_AX = start_BX.copy()
    at.values_AF = _between(start_BX[:, free], at)
    at_AX[:, free] = at.values_AF
    found = residuals(problem, at_AX, data)
    cost_A = _cost(found, huber_scale)
    end = Descent(at_AX.copy(), found.runs.copy(), cost_A.copy(), np.full(len(at_AX), free.size == 0))
    damping_A, harder_A = np.full(len(at_AX), _FIRST_DAMPING), np.full(len(at_AX), _HARDENED)
    active = np.flatnonzero(~end.converged_B)
    for _ in range(max_steps):
        if not active.size:
            break
        next_AF, promised_A = _step(found, huber_scale, damping_A, at)
        next_AX = at_AX.copy()
        next_AX[:, free] = next_AF
        tried = residuals(problem, next_AX, data)
        tried_cost_A = _cost(tried, huber_scale)
        better = tried_cost_A <= cost_A
        fallen_A = cost_A - tried_cost_A
        moved_A = np.abs(next_AF - at.values_AF).max(1)
        small = better & (fallen_A <= tolerance * (cost_A + _TINY)) & (moved_A <= math.sqrt(tolerance))
        done = small | (~better & ((damping_A >= _MOST_DAMPING) | (moved_A <= tolerance)))
        factor_A = _eased(fallen_A * (huber_scale**2 / 2), promised_A)
        if better.all():
            at_AX, at.values_AF, cost_A, found = next_AX, next_AF, tried_cost_A, tried
            harder_A = np.full(len(at_AX), _HARDENED)
        else:
            at_AX = np.where(better[:, None], next_AX, at_AX)
            at.values_AF = np.where(better[:, None], next_AF, at.values_AF)
            cost_A = np.where(better, tried_cost_A, cost_A)
            found = _merged(found, tried, better)
            factor_A = np.where(better, factor_A, harder_A)
            harder_A = np.where(better, _HARDENED, _HARDER * harder_A)
        damping_A = np.minimum(np.maximum(damping_A * factor_A, _LEAST_DAMPING), _MOST_DAMPING)
        if done.any():
            _write(end, active[done], at_AX[done], found.runs[done], cost_A[done])
            end.converged_B[active[done]] = True
            left = ~done
            active, at_AX, cost_A = active[left], at_AX[left], cost_A[left]
            damping_A, harder_A = damping_A[left], harder_A[left]
            found, data, at = (
                found._replace(runs=found.runs[left], by_free=found.by_free[left], priors=found.priors[left]),
                Measured(*(_picked(values, left) for values in data)),
                at.kept(left),
            )
    _write(end, active, at_AX, found.runs, cost_A)
    return end


def _write(end: Descent, rows: NDArray[np.intp], at_AX: Floats, runs_AR: Floats, cost_A: Floats) -> None:
    end.coordinates_BX[rows], end.residual_BR[rows], end.cost_B[rows] = at_AX, runs_AR, cost_A


_TINY = 1e-30


def huber_cost(residual_BR: Floats, scale: float) -> Floats:
    """Sum of Huber's losses of each row, in units of the square of `scale`."""
    size = np.abs(residual_BR) / scale
    return np.asarray(np.where(size <= 1, size**2, 2 * size - 1).sum(-1))


def _cost(found: Residuals, scale: float) -> Floats:
    cost_B = huber_cost(found.runs, scale) + ((found.priors / scale) ** 2).sum(-1)
    return np.where(np.isfinite(cost_B), cost_B, np.inf)


def _eased(fallen_B: Floats, promised_B: Floats) -> Floats:
    """Factor of the damping after a step: the less, the more of the promised fall came (Nielsen's rule)."""
    kept_B = np.minimum(np.maximum(fallen_B, 0.0) / np.maximum(promised_B, _TINY), 1.0)
    turned_B = 2.0 * kept_B - 1.0
    return np.asarray(np.maximum(_MOST_EASED, 1.0 - turned_B * turned_B * turned_B))


def _step(found: Residuals, scale: float, damping_A: Floats, at: _Place) -> tuple[Floats, Floats]:
    """Where a damped Gauss-Newton step leads, [A, F], and by how much half the cost should fall, [A].

    What is held, or would leave its bounds, stays.
    """
    weight_AR = np.minimum(scale / np.maximum(np.abs(found.runs), _TINY), 1.0)
    weighted_AFR = (found.by_free * weight_AR[..., None]).transpose(0, 2, 1)
    normal_AFF = weighted_AFR @ found.by_free
    normal_AFF += found.prior_slope_FF.T @ found.prior_slope_FF
    gradient_AF = (weighted_AFR @ found.runs[..., None])[..., 0] + found.priors @ found.prior_slope_FF
    held_AF = (at.values_AF <= at.lower_AF) & (gradient_AF > 0)
    held_AF |= (at.values_AF >= at.upper_AF) & (gradient_AF < 0)
    if at.pinned_AF is not None:
        held_AF |= at.pinned_AF
    root_AF = np.sqrt(np.maximum(_diagonal(normal_AFF), _TINY))
    scaled_AFF = normal_AFF / (root_AF[:, :, None] * root_AF[:, None, :])
    target_AF = gradient_AF / -root_AF
    _diagonal(scaled_AFF)[...] = 1.0 + damping_A[:, None]
    if held_AF.any():
        scaled_AFF[held_AF] = 0.0
        scaled_AFF.transpose(0, 2, 1)[held_AF] = 0.0
        _diagonal(scaled_AFF)[held_AF] = 1.0
        target_AF[held_AF] = 0.0
    step_AF = np.linalg.solve(scaled_AFF, target_AF[..., None])[..., 0] / root_AF
    next_AF = _between(at.values_AF + np.minimum(np.maximum(step_AF, -_LARGEST_STEP), _LARGEST_STEP), at)
    moved_AF = next_AF - at.values_AF
    bend_AF = (moved_AF[:, None, :] @ normal_AFF)[:, 0] / 2
    return next_AF, -(moved_AF * (gradient_AF + bend_AF)).sum(1)


def _diagonal(matrix_AFF: Floats) -> Floats:
    """A view of the diagonals, [A, F], which can be written to."""
    return np.asarray(np.einsum("aff->af", matrix_AFF))


def _between(values_AF: Floats, at: _Place) -> Floats:
    return np.asarray(np.minimum(np.maximum(values_AF, at.lower_AF), at.upper_AF))


def _picked(values: Floats, rows: NDArray[np.bool_]) -> Floats:
    return values if len(values) == 1 else values[rows]


def _merged(before: Residuals, after: Residuals, better: NDArray[np.bool_]) -> Residuals:
    """Residuals where each fit stands now."""
    return before._replace(
        runs=np.where(better[:, None], after.runs, before.runs),
        by_free=np.where(better[:, None, None], after.by_free, before.by_free),
        priors=np.where(better[:, None], after.priors, before.priors),
    )
