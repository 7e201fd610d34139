"""Bounded robust least squares for a batch of fits at once: Levenberg-Marquardt with Huber's loss.

Starts of one fit, or refits to resampled runs, differ in a few numbers and share the rest, so one call of
numpy does a step of all of them. A coordinate that sits at a bound and would leave it is held for that step;
steps are clipped to the bounds; Huber's loss is handled by weights anew at every step, so that a fit whose
cost cannot be lowered any more is a stationary point of it. Axes: B fits, R runs, F free coordinates, X all
coordinates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.laws.law import Floats
from thresher.laws.problem import Measured, Problem, Residuals, measured, residuals

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e10
_EASED, _HARDENED = 0.1, 5.0
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


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where the free coordinates stand, between which bounds, and which of them may not move."""

    values_BF: Floats
    lower_BF: Floats
    upper_BF: Floats
    pinned_BF: NDArray[np.bool_]


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
    lower_BX = np.broadcast_to(problem.limits.lower_X, start_BX.shape)
    upper_BX = np.broadcast_to(data.upper_BX, start_BX.shape)
    now_BX = start_BX.copy()
    now_BX[:, free] = np.clip(start_BX, lower_BX, upper_BX)[:, free]
    found = residuals(problem, now_BX, data)
    cost_B = _cost(found, huber_scale)
    residual_BR = np.array(found.runs)
    converged_B = np.full(len(now_BX), free.size == 0)
    damping_B = np.full(len(now_BX), _FIRST_DAMPING)
    pinned_BF = np.zeros((len(now_BX), free.size), bool) if pinned_BX is None else pinned_BX[:, free]
    active = np.flatnonzero(~converged_B)
    for _ in range(max_steps):
        if not active.size:
            break
        at_BX = now_BX[active]
        place = _Place(
            at_BX[:, free], lower_BX[active][:, free], upper_BX[active][:, free], pinned_BF[active]
        )
        step_BF = _step(found, huber_scale, damping_B[active], place)
        next_BX = at_BX.copy()
        next_BX[:, free] = np.clip(place.values_BF + step_BF, place.lower_BF, place.upper_BF)
        tried = residuals(problem, next_BX, _rows(data, active))
        tried_cost_B = _cost(tried, huber_scale)
        better = tried_cost_B <= cost_B[active]
        fallen = cost_B[active] - tried_cost_B
        moved = np.abs(next_BX - at_BX)[:, free].max(1)
        small = better & (fallen <= tolerance * (cost_B[active] + _TINY)) & (moved <= np.sqrt(tolerance))
        stuck = ~better & ((damping_B[active] >= _MOST_DAMPING) | (moved <= tolerance))
        rows = active[better]
        now_BX[rows], cost_B[rows], residual_BR[rows] = (
            next_BX[better],
            tried_cost_B[better],
            tried.runs[better],
        )
        damping_B[active] = np.clip(
            damping_B[active] * np.where(better, _EASED, _HARDENED), _LEAST_DAMPING, _MOST_DAMPING
        )
        done = small | stuck
        converged_B[active[done]] = True
        found = _merged(found, tried, better, ~done)
        active = active[~done]
    return Descent(now_BX, residual_BR, cost_B, converged_B)


_TINY = 1e-30


def huber_cost(residual_BR: Floats, scale: float) -> Floats:
    """Sum of Huber's losses of each row, in units of the square of `scale`."""
    size = np.abs(residual_BR) / scale
    return np.asarray(np.where(size <= 1, size**2, 2 * size - 1).sum(-1))


def _cost(found: Residuals, scale: float) -> Floats:
    cost_B = huber_cost(found.runs, scale) + ((found.priors / scale) ** 2).sum(-1)
    return np.where(np.isfinite(cost_B), cost_B, np.inf)


def _gradient(found: Residuals, scale: float) -> tuple[Floats, Floats]:
    """Weighted slopes [B, R, F] and the gradient of half the cost [B, F]."""
    weight_BR = np.minimum(1.0, scale / np.maximum(np.abs(found.runs), _TINY))
    weighted_BRF = found.by_free * weight_BR[..., None]
    return weighted_BRF, (weighted_BRF * found.runs[..., None]).sum(1) + found.priors @ found.prior_slope_FF


def _step(found: Residuals, scale: float, damping_B: Floats, at: "_Place") -> Floats:
    """One damped Gauss-Newton step, [B, F]; what is held, or would leave its bounds, stays."""
    weighted_BRF, gradient_BF = _gradient(found, scale)
    held_BF = at.pinned_BF | ((at.values_BF <= at.lower_BF) & (gradient_BF > 0))
    held_BF |= (at.values_BF >= at.upper_BF) & (gradient_BF < 0)
    normal_BFF = weighted_BRF.transpose(0, 2, 1) @ found.by_free
    places = np.arange(found.by_free.shape[-1])
    normal_BFF += found.prior_slope_FF.T @ found.prior_slope_FF
    root_BF = np.sqrt(np.maximum(normal_BFF[:, places, places], _TINY))
    scaled_BFF = normal_BFF / root_BF[:, :, None] / root_BF[:, None, :]
    scaled_BFF[held_BF] = 0.0
    scaled_BFF.transpose(0, 2, 1)[held_BF] = 0.0
    scaled_BFF[:, places, places] = np.where(held_BF, 1.0, 1.0 + damping_B[:, None])
    target_BF = np.where(held_BF, 0.0, -gradient_BF / root_BF)
    step_BF = np.linalg.solve(scaled_BFF, target_BF[..., None])[..., 0] / root_BF
    return np.clip(step_BF, -_LARGEST_STEP, _LARGEST_STEP)


def _rows(data: Measured, rows: NDArray[np.intp]) -> Measured:
    def pick(values: Floats) -> Floats:
        return values if len(values) == 1 else values[rows]

    return Measured(
        pick(data.log_error_BR), pick(data.weight_BR), pick(data.prior_mean_BX), pick(data.upper_BX)
    )


def _merged(
    before: Residuals, after: Residuals, better: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> Residuals:
    """Residuals where each fit stands now, of those that go on."""
    return Residuals(
        np.where(better[:, None], after.runs, before.runs)[kept],
        np.where(better[:, None, None], after.by_free, before.by_free)[kept],
        np.where(better[:, None], after.priors, before.priors)[kept],
        before.prior_slope_FF,
    )
