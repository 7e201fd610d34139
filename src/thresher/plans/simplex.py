"""The best weights over pools: a descent on the simplex for many problems at once.

A problem is a budget with a start. In laws that add up pools in the exponent, the log of the error above the
irreducible one is a sum of functions of one weight each, convex where repeats only lose worth, and a descent
that moves mass between pools ends at the optimum; elsewhere it may end at a local one, which is what several
starts are for. Errors have a kink where a pass ends with the budget, so a weight has one slope upwards and
another downwards, and steps are compared by their errors.

Axes: B problems, A those not yet finished, P pools, K trial steps.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from thresher.laws.law import Floats

MeanErrors = Callable[[NDArray[np.intp], Floats], Floats]
"""(problem of each mix [N], weights [N, P]) to errors [N]."""

_STEP = 1e-4
_HALVINGS = 12


def descend(
    mean_errors: MeanErrors, starts_BP: Floats, *, rounds: int = 60, tolerance: float = 1e-6
) -> tuple[Floats, Floats]:
    """Weights [B, P] and their errors [B], never above those of the starts.

    Args:
        mean_errors: What is minimised; pools that may not be drawn are left out of it.
        starts_BP: On the simplex.
        rounds: Most steps a problem takes.
        tolerance: A problem is finished when a step gains less.
    """
    weights_BP = np.array(starts_BP, float)
    error_B = mean_errors(np.arange(len(weights_BP)), weights_BP)
    active = np.arange(len(weights_BP)) if weights_BP.shape[1] > 1 else np.arange(0)
    for _ in range(rounds):
        if not active.size:
            break
        now_AP = weights_BP[active]
        up_AP, down_AP = _slopes(mean_errors, active, now_AP, error_B[active])
        trial_AKP = _trials(now_AP, up_AP, down_AP)
        trial_AK = _evaluate(mean_errors, active, trial_AKP)
        best_A = trial_AK.argmin(1)
        rows = np.arange(active.size)
        gain_A = error_B[active] - trial_AK[rows, best_A]
        better = gain_A > 0
        weights_BP[active[better]] = trial_AKP[rows, best_A][better]
        error_B[active[better]] -= gain_A[better]
        active = active[gain_A > tolerance]
    return weights_BP, error_B


def _evaluate(mean_errors: MeanErrors, problems: NDArray[np.intp], weights_AKP: Floats) -> Floats:
    count, trials, pools = weights_AKP.shape
    flat = mean_errors(np.repeat(problems, trials), weights_AKP.reshape(-1, pools))
    return flat.reshape(count, trials)


def _slopes(
    mean_errors: MeanErrors, problems: NDArray[np.intp], now_AP: Floats, error_A: Floats
) -> tuple[Floats, Floats]:
    """Slope of the error in each weight alone, upwards and downwards (upwards at 0)."""
    one_PP = np.eye(now_AP.shape[1])
    step_AP = np.minimum(_STEP, now_AP)
    up_APP = now_AP[:, None, :] + _STEP * one_PP
    down_APP = now_AP[:, None, :] - step_AP[:, :, None] * one_PP
    both = _evaluate(mean_errors, problems, np.concatenate([up_APP, down_APP], axis=1)) - error_A[:, None]
    up_AP, fall_AP = np.split(both, 2, axis=1)
    up_AP = up_AP / _STEP
    return up_AP, np.where(step_AP > 0, -fall_AP / np.where(step_AP > 0, step_AP, 1.0), up_AP)


def _trials(now_AP: Floats, up_AP: Floats, down_AP: Floats) -> Floats:
    """Steps of many lengths: along the projected gradient, and of mass from the worst pool to the best."""
    rows = np.arange(len(now_AP))
    halves_K = 0.5 ** np.arange(_HALVINGS)
    slope_AP = (up_AP + down_AP) / 2
    spread_A = np.ptp(slope_AP, axis=1)
    scaled_AP = slope_AP / np.where(spread_A > 0, spread_A, 1.0)[:, None]
    along_AKP = project(now_AP[:, None, :] - halves_K[:, None] * scaled_AP[:, None, :])
    worst_A = np.where(now_AP > 0, down_AP, -np.inf).argmax(1)
    moved_AKP = np.repeat(now_AP[:, None, :], _HALVINGS, axis=1)
    mass_AK = now_AP[rows, worst_A][:, None] * halves_K
    moved_AKP[rows, :, worst_A] -= mass_AK
    moved_AKP[rows, :, up_AP.argmin(1)] += mass_AK
    return np.concatenate([along_AKP, np.maximum(moved_AKP, 0.0)], axis=1)


def project(points: Floats) -> Floats:
    """Nearest points of the simplex; the last axis holds the weights.

    >>> project(np.array([0.8, 0.8, -1.0])).tolist()
    [0.5, 0.5, 0.0]
    """
    falling = -np.sort(-points, axis=-1)
    excess = np.cumsum(falling, axis=-1) - 1.0
    counts = np.arange(1, points.shape[-1] + 1)
    kept = (falling - excess / counts > 0).sum(-1, keepdims=True)
    level = np.take_along_axis(excess, kept - 1, axis=-1) / kept
    return np.asarray(np.maximum(points - level, 0.0))
