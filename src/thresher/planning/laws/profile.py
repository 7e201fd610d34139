"""How sure the parameters of a fit are: intervals by profile likelihood, and draws by a bootstrap.

An interval says how far a parameter can move before the others cannot make up for it. Each free coordinate
is pinned beside its fitted value, the others are fitted again, and the ends of the interval are where the
cost has risen by `t^2` times the variance of a residual, t the quantile of Student's distribution with the
degrees of freedom that the noise was measured with. Nothing is resampled, so it holds for few runs too, and
a parameter that the runs do not tell has an interval that ends at a bound.

Draws are parameters that other runs of the same kind could have given. Where every pool has enough runs they
are resampled within each pool; with few runs that would throw away whole stretches of a curve, so new errors
are drawn around the fit instead, with the noise of its own residuals. So they are in dense tables, where a
surface (`surface.py`) takes what a law misses.

Axes: E ends (two a free coordinate), S draws, R runs, X coordinates.
"""

import math

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.descent import descend
from thresher.planning.laws.law import Floats
from thresher.planning.laws.problem import (
    Measured,
    Problem,
    batch_of,
    degrees_of_freedom,
    measured,
    posterior,
    residuals,
)
from thresher.planning.laws.solve import Solution

_ROUNDS = 24
_CLOSE = 0.005
"""Relative error of the root of the cost's rise at which an end is found."""
_FURTHEST, _NEAREST = 3.0, 1.05
"""Factors within which a round moves an end out."""
_INSIDE = 0.1
"""A round looks at least this share of the bracket away from its ends."""
_TOLERANCE, _MAX_STEPS = 1e-6, 60

LOW, HIGH = 0.05, 0.95
_ENOUGH_RUNS = 25
"""Runs a pool needs before resampling keeps the shape of its curve in nearly every draw."""
_LARGEST_NOISE_FACTOR = 4.0
_ASSUMED_HALF_LIFE_FACTOR = 4.0
"""A half-life that no run shows is taken to lie within this factor of the assumed one, either way."""
_ASSUMED_MIXING = (0.0, 1.0)
_ROOT_TOLERANCE = 1e-5
_MAX_ROOT_STEPS = 60


def profile(problem: Problem, solution: Solution) -> tuple[Floats, Floats]:
    """Ends of the 90% interval of every coordinate, [X] each; what is not free keeps its value."""
    fitted_X = solution.coordinates_X
    free = np.flatnonzero(problem.free_X)
    low_X, high_X = fitted_X.copy(), fitted_X.copy()
    if not free.size:
        return low_X, high_X
    place_E = np.repeat(free, 2)
    sign_E = np.tile([-1.0, 1.0], free.size)
    bound_E = np.where(sign_E < 0, problem.limits.lower_X[place_E], problem.limits.upper_X[place_E])
    freedom = max(1.0, degrees_of_freedom(problem, fitted_X))
    noise = problem.noise / solution.huber_scale
    wanted = float((_student(freedom) * noise) ** 2)
    sd_F = np.sqrt(np.diag(posterior(residuals(problem, fitted_X[None])))) * problem.noise
    step_E = _student(freedom) * np.repeat(sd_F, 2)
    end_E = _within(fitted_X[place_E] + sign_E * step_E, fitted_X[place_E], bound_E)
    start_EX = np.repeat(fitted_X[None], place_E.size, axis=0)
    data = measured(problem)
    base = float(
        descend(
            problem, fitted_X[None], solution.huber_scale, tolerance=_TOLERANCE, max_steps=_MAX_STEPS
        ).cost_B[0]
    )
    # For each end the last distance on either side of the wanted rise, and the rise there.
    inside_2E, outside_2E = np.zeros((2, 2, place_E.size))
    outside_2E[0] = np.inf
    active = np.arange(place_E.size)
    for _ in range(_ROUNDS):
        cost_E, start_EX[active] = _pinned(
            problem, solution, data, start_EX[active], place_E[active], end_E[active]
        )
        rise_E = np.sqrt(np.maximum(cost_E - base, 0.0) / wanted)
        reach_E = np.abs(end_E - fitted_X[place_E])[active]
        for known_2E, here_E in ((inside_2E, rise_E < 1), (outside_2E, rise_E >= 1)):
            known_2E[:, active[here_E]] = reach_E[here_E], rise_E[here_E]
        at_bound = (end_E[active] == bound_E[active]) & (rise_E <= 1)
        active = active[~(at_bound | (np.abs(rise_E - 1.0) < _CLOSE))]
        if not active.size:
            break
        reach_E = _next_reach(*inside_2E[:, active], *outside_2E[:, active])
        centre_E = fitted_X[place_E[active]]
        end_E[active] = _within(centre_E + sign_E[active] * reach_E, centre_E, bound_E[active])
    low_X[free], high_X[free] = end_E[::2], end_E[1::2]
    return low_X, high_X


def _next_reach(near_E: Floats, low_E: Floats, far_E: Floats, high_E: Floats) -> Floats:
    """Where to look next: between the two sides, by the line through the rises there; or further out."""
    bracketed = np.isfinite(far_E)
    share_E = np.clip((1.0 - low_E) / np.where(bracketed, high_E - low_E, 1.0), _INSIDE, 1 - _INSIDE)
    between_E = near_E + share_E * (np.where(bracketed, far_E, near_E) - near_E)
    further_E = near_E * np.clip(1.0 / np.maximum(low_E, 1e-6), _NEAREST, _FURTHEST)
    return np.asarray(np.where(bracketed, between_E, further_E))


def _within(end_E: Floats, centre_E: Floats, bound_E: Floats) -> Floats:
    """Ends that do not pass their bound."""
    return np.asarray(np.where(bound_E < centre_E, np.maximum(end_E, bound_E), np.minimum(end_E, bound_E)))


def _pinned(
    problem: Problem,
    solution: Solution,
    data: Measured,
    start_EX: Floats,
    place_E: NDArray[np.intp],
    end_E: Floats,
) -> tuple[Floats, Floats]:
    """Cost with one coordinate of each row pinned and the others fitted again, and where that is."""
    rows = np.arange(len(place_E))
    start_EX = start_EX.copy()
    start_EX[rows, place_E] = end_E
    pinned_EX = np.zeros(start_EX.shape, bool)
    pinned_EX[rows, place_E] = True
    found = descend(
        problem,
        start_EX,
        solution.huber_scale,
        tolerance=_TOLERANCE,
        max_steps=_MAX_STEPS,
        data=data,
        pinned_BX=pinned_EX,
    )
    return found.cost_B, found.coordinates_BX


def _student(freedom: float) -> float:
    """The quantile `HIGH` of Student's t."""
    from scipy.special import stdtrit  # slow to load, and only a fit needs it

    return float(stdtrit(freedom, HIGH))


def bootstrap(problem: Problem, solution: Solution, *, num_draws: int, seed: int) -> Floats:
    """Coordinates of refits, [S, X]; the same seed gives the same draws."""
    if num_draws == 0:
        return np.empty((0, problem.layout.size))
    rng = np.random.default_rng(seed)
    dense = "room" in problem.layout.shared
    resample = not dense and all(rows.size >= _ENOUGH_RUNS for rows in _groups(problem))
    data = _resampled(problem, num_draws, rng) if resample else _simulated(problem, solution, num_draws, rng)
    start_SX = np.repeat(solution.coordinates_X[None], num_draws, axis=0)
    draws_SX = descend(
        problem,
        start_SX,
        solution.huber_scale,
        tolerance=_ROOT_TOLERANCE,
        max_steps=_MAX_ROOT_STEPS,
        data=data,
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
        chosen = rng.choice(rows, (num_draws, rows.size))
        np.add.at(counts_SR, (np.arange(num_draws)[:, None], chosen), 1.0)
    return batch_of(
        problem,
        np.repeat(problem.log_error_R[None], num_draws, axis=0),
        counts_SR,
        problem.limits.prior_mean_X + _prior_noise(problem, num_draws, rng),
    )


def _simulated(problem: Problem, solution: Solution, num_draws: int, rng: np.random.Generator) -> Measured:
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
