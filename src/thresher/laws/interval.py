"""The bootstrap of a joint fit: parameters that other runs of the same kind could have given.

Where every pool has enough runs they are resampled within each pool; with few runs that would throw away
whole stretches of a curve, so new errors are drawn around the fit instead, with the noise of its own
residuals. Axes: S draws, R runs, X coordinates.
"""

import math

import numpy as np

from thresher.laws.law import Floats
from thresher.laws.problem import Problem, degrees_of_freedom, remeasured, reweighted
from thresher.laws.solve import Solution, refine

LOW, HIGH = 0.05, 0.95
_ENOUGH_RUNS = 8
"""Runs a pool needs before resampling keeps the shape of its curve in nearly every draw."""
_LARGEST_NOISE_FACTOR = 4.0
_ASSUMED_HALF_LIFE_FACTOR = 4.0
"""A half-life that no run shows is taken to lie within this factor of the assumed one, either way."""
_TOLERANCE = 1e-6
_MAX_STEPS = 60


def bootstrap(problem: Problem, solution: Solution, *, num_draws: int, seed: int) -> Floats:
    """Coordinates of refits, [S, X]; the same seed gives the same draws."""
    rng = np.random.default_rng(seed)
    resample = all(rows.size >= _ENOUGH_RUNS for rows in _groups(problem))
    freedom = max(1.0, degrees_of_freedom(problem, solution.coordinates_X))
    draws_SX = np.empty((num_draws, problem.start_X.size))
    for number in range(num_draws):
        drawn = _resampled(problem, rng) if resample else _redrawn(problem, solution, freedom, rng)
        draws_SX[number] = refine(
            drawn, solution.coordinates_X, solution.huber_scale, tolerance=_TOLERANCE, max_steps=_MAX_STEPS
        ).coordinates_X
    return _spread_assumed_half_lives(problem, draws_SX, rng)


def quantiles(draws_S: Floats) -> tuple[float, float]:
    """The 5% and the 95% quantile of the draws."""
    low, high = np.quantile(draws_S, (LOW, HIGH))
    return float(low), float(high)


def _groups(problem: Problem) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Rows of the runs on each set of pools."""
    _, group_R = np.unique(problem.weights_RP > 0, axis=0, return_inverse=True)
    group_R = group_R.reshape(-1)
    return [np.flatnonzero(group_R == group) for group in range(int(group_R.max()) + 1)]


def _resampled(problem: Problem, rng: np.random.Generator) -> Problem:
    """Runs drawn again within each set of pools, and priors drawn again around their means."""
    counts_R = np.zeros(problem.log_error_R.size)
    for rows in _groups(problem):
        counts_R += np.bincount(rng.choice(rows, rows.size), minlength=counts_R.size)
    return reweighted(problem, counts_R, problem.limits.prior_mean_X + _prior_noise(problem, rng))


def _redrawn(problem: Problem, solution: Solution, freedom: float, rng: np.random.Generator) -> Problem:
    """New errors and new priors around the fit.

    The noise is itself uncertain, by the chi-square law of its degrees of freedom.
    """
    factor = min(math.sqrt(freedom / rng.chisquare(freedom)), _LARGEST_NOISE_FACTOR)
    noise_R = rng.standard_normal(problem.log_error_R.size) * problem.noise * factor
    return remeasured(
        problem,
        problem.log_error_R + solution.residual_R + noise_R,
        solution.coordinates_X + _prior_noise(problem, rng),
    )


def _prior_noise(problem: Problem, rng: np.random.Generator) -> Floats:
    """Makes the spread of the draws that of the posterior: a prior that stood still would narrow it."""
    sd_X = problem.limits.prior_sd_X
    return np.where(np.isfinite(sd_X), sd_X, 0.0) * rng.standard_normal(sd_X.size)


def _spread_assumed_half_lives(problem: Problem, draws_SX: Floats, rng: np.random.Generator) -> Floats:
    if problem.law.has_half_life:
        reach = math.log(_ASSUMED_HALF_LIFE_FACTOR)
        for index in np.flatnonzero(~problem.free_X):
            if index >= 4 + len(problem.pools):
                draws_SX[:, index] = problem.start_X[index] + rng.uniform(-reach, reach, len(draws_SX))
    return draws_SX
