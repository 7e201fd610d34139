"""The solver of a joint fit: deterministic starts, then bounded robust least squares.

For given d, n0 and tau the law is linear in ln A and b, so each start is the solution of a small linear
problem; the best few are refined with `scipy.optimize.least_squares` and the analytic Jacobian. Axes: S
starts, R runs, P pools.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from thresher.laws.law import Floats
from thresher.laws.mix import predict, predict_with_jacobian
from thresher.laws.problem import (
    Problem,
    degrees_of_freedom,
    expand,
    log_noise,
    residuals,
    robust_deviation,
    to_parameters,
)

FIRST_HUBER_SCALE = 0.05
"""Log errors beyond 5% count as outliers before the noise is known."""
_HUBER_NOISES = 1.345
_SMALLEST_HUBER_SCALE = 1e-4
_D_SHARES = (0.0, 0.3, 0.6, 0.85, 0.97)
_N0_PLACES = (0.05, 0.35, 0.6, 0.8, 0.95)
_HALF_LIVES = (2.0, 6.0, 20.0)
_REFINED_STARTS = 3
_FIRST_STEPS = 12
_MAX_STEPS = 300
_START_MARGIN = 1e-3
"""The solver shortens its steps near a bound, so it starts this share of the range away from each."""
_AT_BOUND = 1e-8
_ASSUMED_NOISE = 0.02
"""Log error that stands in for the noise where every run was needed to fix a parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where the solver stopped.

    Attributes:
        coordinates_X: All coordinates.
        residual_R: Log predicted minus log measured error.
        huber_scale: Log error beyond which a run counts less.
        cost: Robust cost with the priors.
        converged: Whether a tolerance was reached within the allowed steps.
    """

    coordinates_X: Floats
    residual_R: Floats
    huber_scale: float
    cost: float
    converged: bool


def solve(problem: Problem) -> tuple[Problem, Solution]:
    """The best of several starts, and the problem with the noise that weighs its priors.

    First the best start to the end without priors, which measures the noise; then every start with them.
    """
    trials = [
        refine(problem, start_X, FIRST_HUBER_SCALE, max_steps=_FIRST_STEPS) for start_X in _starts(problem)
    ]
    best = min(trials, key=lambda trial: trial.cost)
    best = refine(problem, best.coordinates_X, FIRST_HUBER_SCALE, tolerance=1e-12, max_steps=_MAX_STEPS)
    trials.append(best)
    for tolerance in (1e-6, 1e-12):
        noise = log_noise(problem, best.coordinates_X)
        problem = replace(problem, noise=_ASSUMED_NOISE if noise is None else noise)
        scale = _huber_scale(problem, best)
        trials = [
            refine(problem, trial.coordinates_X, scale, tolerance=tolerance, max_steps=_MAX_STEPS)
            for trial in trials
        ]
        best = min(trials, key=lambda trial: trial.cost)
        trials = [best]
    return problem, best


def refine(
    problem: Problem, start_X: Floats, huber_scale: float, *, tolerance: float = 1e-6, max_steps: int
) -> Solution:
    """Least squares from one start; coordinates that are not free keep the problem's values."""
    lower, upper = problem.limits.lower_X[problem.free_X], problem.limits.upper_X[problem.free_X]
    margin = _START_MARGIN * (upper - lower)
    start = np.clip(start_X[problem.free_X], lower + margin, upper - margin)
    if start.size == 0:
        residual_R, _ = residuals(problem, start)
        return Solution(
            expand(problem, start), residual_R, huber_scale, _huber_cost(residual_R, huber_scale), True
        )
    memory: dict[bytes, tuple[Floats, Floats]] = {}

    def both(free_values: Floats) -> tuple[Floats, Floats]:
        key = free_values.tobytes()
        if key not in memory:
            memory.clear()
            memory[key] = residuals(problem, free_values)
        return memory[key]

    result = least_squares(
        lambda values: both(values)[0],
        start,
        jac=lambda values: both(values)[1],
        bounds=(lower, upper),
        x_scale="jac",
        loss="huber",
        f_scale=huber_scale,
        ftol=tolerance,
        xtol=tolerance,
        gtol=tolerance,
        max_nfev=max_steps,
    )
    bound = _AT_BOUND * (upper - lower)
    free_values = np.where(
        result.x - lower < bound, lower, np.where(upper - result.x < bound, upper, result.x)
    )
    residual_R = result.fun[: problem.log_error_R.size]
    return Solution(
        expand(problem, free_values), residual_R, huber_scale, float(result.cost), bool(result.status > 0)
    )


def _huber_scale(problem: Problem, solution: Solution) -> float:
    """Log error beyond which a run is taken for an outlier: 1.345 standard deviations, robustly measured."""
    freedom = degrees_of_freedom(problem, solution.coordinates_X)
    deviation = robust_deviation(solution.residual_R, freedom)
    return max(_SMALLEST_HUBER_SCALE, min(FIRST_HUBER_SCALE, _HUBER_NOISES * deviation))


def _huber_cost(residual: Floats, scale: float) -> float:
    size = np.abs(residual) / scale
    return float(np.where(size <= 1, size**2, 2 * size - 1).sum())


def _starts(problem: Problem) -> list[Floats]:
    """Best points of a coarse grid over d, n0 and tau, one for each d, each with its own ln A and b."""
    grid_SX = _grid(problem)
    count = len(problem.pools)
    _, jacobian_SRX = predict_with_jacobian(
        problem.law,
        to_parameters(problem, np.where(_coordinate(problem, "b"), -0.1, grid_SX)[:, None, :]),
        problem.samples_R,
        problem.weights_RP,
        problem.num_unique_RP,
    )
    above_SR = jacobian_SRX[..., 0]
    error_R = np.exp(problem.log_error_R)
    target_SR = np.log(error_R - grid_SX[:, 2:3])
    weight_SR = (error_R - grid_SX[:, 2:3]) / error_R * problem.weight_R
    design_SRC = np.concatenate(
        [np.ones((*above_SR.shape, 1)), jacobian_SRX[..., 4 : 4 + count] / above_SR[..., None]], axis=-1
    )
    if not problem.free_X[0]:
        design_SRC[..., 0] = 0.0
        target_SR = target_SR - problem.start_X[0]
    design_SRC *= weight_SR[..., None]
    normal_SCC = np.einsum("src,srk->sck", design_SRC, design_SRC) + 1e-9 * np.eye(1 + count)
    right_SC = np.einsum("src,sr->sc", design_SRC, target_SR * weight_SR)
    solved_SC = np.linalg.solve(normal_SCC, right_SC[..., None])[..., 0]
    if problem.free_X[0]:
        grid_SX[:, 0] = solved_SC[:, 0]
    grid_SX[:, 4 : 4 + count] = np.minimum(solved_SC[:, 1:], -1e-3)
    free = problem.free_X
    grid_SX[:, free] = np.clip(grid_SX[:, free], problem.limits.lower_X[free], problem.limits.upper_X[free])
    predicted_SR = predict(
        problem.law,
        to_parameters(problem, grid_SX[:, None, :]),
        problem.samples_R,
        problem.weights_RP,
        problem.num_unique_RP,
    )
    residual_SR = (np.log(predicted_SR) - problem.log_error_R) * problem.weight_R
    costs = [_huber_cost(residual_R, FIRST_HUBER_SCALE) for residual_R in residual_SR]
    best: dict[float, Floats] = {}
    for index in np.argsort(costs, kind="stable"):
        best.setdefault(float(grid_SX[index, 2]), grid_SX[index])
    return list(best.values())[:_REFINED_STARTS]


def _coordinate(problem: Problem, kind: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    index, count = np.arange(problem.start_X.size), len(problem.pools)
    return (index >= 4) & (index < 4 + count) if kind == "b" else index >= 4 + count


def _grid(problem: Problem) -> Floats:
    """Coordinates of every combination of d, n0 and one half-life for all pools; what is held stays."""
    lower, upper = problem.limits.lower_X, problem.limits.upper_X
    places = np.array(_N0_PLACES) if problem.free_X[1] else np.zeros(1)
    shares = np.array(_D_SHARES) if problem.free_X[2] else np.zeros(1)
    lives = np.log(_HALF_LIVES) if problem.free_X[_coordinate(problem, "tau")].any() else np.zeros(1)
    rows = []
    for place in places:
        for share in shares:
            for life in lives:
                start_X = problem.start_X.copy()
                if problem.free_X[1]:
                    start_X[1] = lower[1] + place * (upper[1] - lower[1])
                if problem.free_X[2]:
                    start_X[2] = share * upper[2]
                fitted_tau = problem.free_X & _coordinate(problem, "tau")
                start_X[fitted_tau] = np.clip(life, lower[fitted_tau], upper[fitted_tau])
                rows.append(start_X)
    return np.array(rows)
