"""The bootstrap of a joint fit: parameters that other runs of the same kind could have given.

Where every pool has enough runs they are resampled within each pool; with few runs that would throw away
whole stretches of a curve, so new errors are drawn around the fit instead, with the noise of its own
residuals. Axes: S draws, R runs, X coordinates.
"""

import math

import numpy as np

from thresher.laws.descent import descend
from thresher.laws.law import Floats
from thresher.laws.problem import Measured, Problem, batch_of, degrees_of_freedom
from thresher.laws.solve import Solution

LOW, HIGH = 0.05, 0.95
_ENOUGH_RUNS = 25
"""Runs a pool needs before resampling keeps the shape of its curve in nearly every draw."""
_LARGEST_NOISE_FACTOR = 4.0
_ASSUMED_HALF_LIFE_FACTOR = 4.0
"""A half-life that no run shows is taken to lie within this factor of the assumed one, either way."""
_ASSUMED_MIXING = (0.15, 1.0)
_TOLERANCE = 1e-5
_MAX_STEPS = 60


def bootstrap(problem: Problem, solution: Solution, *, num_draws: int, seed: int) -> Floats:
    """Coordinates of refits, [S, X]; the same seed gives the same draws."""
    if num_draws == 0:
        return np.empty((0, problem.layout.size))
    rng = np.random.default_rng(seed)
    resample = all(rows.size >= _ENOUGH_RUNS for rows in _groups(problem))
    data = _resampled(problem, num_draws, rng) if resample else _redrawn(problem, solution, num_draws, rng)
    start_SX = np.repeat(solution.coordinates_X[None], num_draws, axis=0)
    draws_SX = descend(
        problem, start_SX, solution.huber_scale, tolerance=_TOLERANCE, max_steps=_MAX_STEPS, data=data
    ).coordinates_BX
    return _spread_assumed(problem, draws_SX, rng)


def quantiles(draws_S: Floats) -> tuple[float, float]:
    """The 5% and the 95% quantile of the draws."""
    low, high = np.quantile(draws_S, (LOW, HIGH))
    return float(low), float(high)


def _groups(problem: Problem) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Rows of the runs on each set of pools."""
    _, group_R = np.unique(problem.design.weights > 0, axis=0, return_inverse=True)
    group_R = group_R.reshape(-1)
    return [np.flatnonzero(group_R == group) for group in range(int(group_R.max()) + 1)]


def _resampled(problem: Problem, num_draws: int, rng: np.random.Generator) -> Measured:
    """Runs drawn again within each set of pools, and priors drawn again around their means."""
    counts_SR = np.zeros((num_draws, problem.log_error_R.size))
    for rows in _groups(problem):
        drawn = rng.choice(rows, (num_draws, rows.size))
        np.add.at(counts_SR, (np.arange(num_draws)[:, None], drawn), 1.0)
    return batch_of(
        problem,
        np.repeat(problem.log_error_R[None], num_draws, axis=0),
        counts_SR,
        problem.limits.prior_mean_X + _prior_noise(problem, num_draws, rng),
    )


def _redrawn(problem: Problem, solution: Solution, num_draws: int, rng: np.random.Generator) -> Measured:
    """New errors and new priors around the fit.

    The noise is itself uncertain, by the chi-square law of its degrees of freedom.
    """
    freedom = max(1.0, degrees_of_freedom(problem, solution.coordinates_X))
    factor_S = np.minimum(np.sqrt(freedom / rng.chisquare(freedom, num_draws)), _LARGEST_NOISE_FACTOR)
    noise_SR = rng.standard_normal((num_draws, problem.log_error_R.size)) * problem.noise * factor_S[:, None]
    return batch_of(
        problem,
        problem.log_error_R + (solution.residual_R + noise_SR) / problem.scale_R,
        np.ones((num_draws, problem.log_error_R.size)),
        problem.limits.about_XX @ solution.coordinates_X + _prior_noise(problem, num_draws, rng),
    )


def _prior_noise(problem: Problem, num_draws: int, rng: np.random.Generator) -> Floats:
    """Makes the spread of the draws that of the posterior: a prior that stood still would narrow it."""
    sd_X = problem.limits.prior_sd_X
    return np.where(np.isfinite(sd_X), sd_X, 0.0) * rng.standard_normal((num_draws, sd_X.size))


def _spread_assumed(problem: Problem, draws_SX: Floats, rng: np.random.Generator) -> Floats:
    """What is assumed takes any value that it could well have."""
    layout, count = problem.layout, len(draws_SX)
    reach = math.log(_ASSUMED_HALF_LIFE_FACTOR)
    for place in np.flatnonzero(problem.assumed_X):
        if place >= layout.half_lives.start:
            draws_SX[:, place] = problem.start_X[place] + rng.uniform(-reach, reach, count)
        else:
            draws_SX[:, place] = rng.uniform(*_ASSUMED_MIXING, count)
    return draws_SX
