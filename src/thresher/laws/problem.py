"""The least-squares problem of a joint fit: residuals of the log error and their Jacobian.

A point in parameter space is a vector of coordinates: ln A, ln n0, d, gamma, then b and then ln tau of
each pool (the order of `mix.parameter_names`). Axes: R runs, P pools, X = 4 + 2P coordinates, F free
ones, Q priors.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.laws.law import Floats, Law
from thresher.laws.limits import Limits, gamma_shows, half_life_shows, hold, largest_d, limits
from thresher.laws.mix import Parameters, predict_with_jacobian
from thresher.runs import Run, is_loss, mix_unique, mix_weights

_CLIPPED_NOISES = 4.0
_DEVIATION_PER_MEDIAN = 1.4826
"""Of a normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Runs as arrays, limits, and what is free.

    Attributes:
        log_error_R: Natural log of the measured errors.
        weight_R: Square root of how often a run counts.
        reference_P: Pool size at which each half-life holds.
        most_passes_P: Passes over each pool in the run that repeats it most.
        start_X: Coordinates of what is held, and a point inside the bounds elsewhere.
        free_X: Which coordinates are fitted.
        gamma_shows: Whether the runs can tell gamma.
        noise: Standard deviation of a log error, which weighs the priors; 0 leaves them out.
    """

    law: Law
    pools: tuple[str, ...]
    samples_R: Floats
    weights_RP: Floats
    num_unique_RP: Floats
    log_error_R: Floats
    weight_R: Floats
    reference_P: Floats
    most_passes_P: Floats
    limits: Limits
    start_X: Floats
    free_X: NDArray[np.bool_]
    gamma_shows: bool
    noise: float = 0.0


def build_problem(law: Law, runs: Sequence[Run], pools: Sequence[str], fixed: Mapping[str, float]) -> Problem:
    """The problem of fitting `runs`; `fixed` holds values for any of A, n0, d and gamma.

    Raises:
        InputError: for a value in `fixed` that cannot be, or more parameters than runs.
    """
    samples_R = np.array([run.samples_seen for run in runs], float)
    error_R = np.array([run.error for run in runs], float)
    weights_RP, num_unique_RP = run_arrays(runs, pools)
    drawn_RP = weights_RP > 0
    interval_RP = np.where(drawn_RP, num_unique_RP / np.where(drawn_RP, weights_RP, 1.0), np.inf)
    passes_RP = samples_R[:, None] / interval_RP
    known = limits(samples_R, error_R, passes_RP.max(0), loss=is_loss(runs[0].metric))
    start_X, free_X = known.start_X.copy(), np.ones(known.start_X.size, bool)
    shows = law.has_half_life and gamma_shows(interval_RP, passes_RP)
    free_X[3] = shows
    free_X[4 + len(pools) :] = law.has_half_life & half_life_shows(passes_RP, samples_R)
    if len(pools) == 1 and "n0" not in fixed and "A" not in fixed:
        free_X[1] = False  # one curve has one prefactor: A and n0 cannot be told apart
        start_X[1] = np.log(samples_R.min())
    hold(fixed, start_X, free_X, float(error_R.min()))
    if free_X.sum() > len(runs):
        raise InputError(
            f"{free_X.sum()} parameters cannot be fitted to {len(runs)} runs ({', '.join(pools)}); "
            f"add runs of other lengths, or hold n0, A or d"
        )
    alone_RP = np.where(weights_RP == 1.0, num_unique_RP, 0.0)
    return Problem(
        law=law,
        pools=tuple(pools),
        samples_R=samples_R,
        weights_RP=weights_RP,
        num_unique_RP=num_unique_RP,
        log_error_R=np.log(error_R),
        weight_R=np.ones(len(runs)),
        reference_P=np.where(alone_RP.max(0) > 0, alone_RP, num_unique_RP * drawn_RP).max(0),
        most_passes_P=passes_RP.max(0),
        limits=known,
        start_X=start_X,
        free_X=free_X,
        gamma_shows=shows,
    )


def run_arrays(runs: Sequence[Run], pools: Sequence[str]) -> tuple[Floats, Floats]:
    """Sampling weights and unique samples of each run, [R, P]; a pool that a run leaves out has 1 sample.

    Raises:
        InputError: naming a pool of a run that is not among `pools`.
    """
    column = {pool: number for number, pool in enumerate(pools)}
    weights_RP, unique_RP = np.zeros((len(runs), len(pools))), np.ones((len(runs), len(pools)))
    for row, run in enumerate(runs):
        unique = mix_unique(run)
        for pool, weight in mix_weights(run).items():
            if pool not in column:
                raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(pools)}")
            weights_RP[row, column[pool]], unique_RP[row, column[pool]] = weight, unique[pool]
    return weights_RP, unique_RP


def to_parameters(problem: Problem, coordinates: Floats) -> Parameters:
    """Parameters at coordinates [..., X]; leading axes stay."""
    count = len(problem.pools)
    return Parameters(
        A=np.exp(coordinates[..., 0]),
        n0=np.exp(coordinates[..., 1]),
        d=coordinates[..., 2],
        gamma=coordinates[..., 3],
        b_P=coordinates[..., 4 : 4 + count],
        tau_P=np.exp(coordinates[..., 4 + count :]),
        num_unique_P=problem.reference_P,
    )


def to_natural(problem: Problem, coordinates: Floats) -> Floats:
    """Coordinates [..., X] as values of `mix.parameter_names`: logs taken back."""
    index = np.arange(coordinates.shape[-1])
    logs = (index < 2) | (index >= 4 + len(problem.pools))
    return np.where(logs, np.exp(np.where(logs, coordinates, 0.0)), coordinates)


def expand(problem: Problem, free_values: Floats) -> Floats:
    """All coordinates, the free ones taken from `free_values`."""
    coordinates_X = problem.start_X.copy()
    coordinates_X[problem.free_X] = free_values
    return coordinates_X


def residuals(problem: Problem, free_values: Floats) -> tuple[Floats, Floats]:
    """`(ln predicted - ln measured) * weight` and, with noise, the priors, [R + Q]; Jacobian [R + Q, F]."""
    coordinates_X = expand(problem, free_values)
    predicted_R, jacobian_RX = predict_with_jacobian(
        problem.law,
        to_parameters(problem, coordinates_X[None, :]),
        problem.samples_R,
        problem.weights_RP,
        problem.num_unique_RP,
    )
    residual_R = (np.log(predicted_R) - problem.log_error_R) * problem.weight_R
    jacobian_RF = jacobian_RX[:, problem.free_X] * (problem.weight_R / predicted_R)[:, None]
    if problem.noise == 0:
        return residual_R, jacobian_RF
    weight_F = problem.noise / problem.limits.prior_sd_X[problem.free_X]
    residual_F = weight_F * (free_values - problem.limits.prior_mean_X[problem.free_X])
    has_prior = weight_F > 0
    return (
        np.concatenate([residual_R, residual_F[has_prior]]),
        np.concatenate([jacobian_RF, np.diag(weight_F)[has_prior]]),
    )


def log_noise(problem: Problem, coordinates_X: Floats) -> float | None:
    """Standard deviation of the log error around a fit; None where no run is left to measure it.

    Parameters are paid for as far as the runs, not the priors, settle them: by the trace of the hat matrix.
    Outliers count as four standard deviations.
    """
    residual_R, jacobian_RF = residuals(replace(problem, noise=0.0), coordinates_X[problem.free_X])
    freedom = degrees_of_freedom(problem, coordinates_X, jacobian_RF)
    if freedom < 1:
        return None
    limit = _CLIPPED_NOISES * robust_deviation(residual_R, freedom)
    return float(np.sqrt((np.minimum(np.abs(residual_R), limit) ** 2).sum() / freedom))


def robust_deviation(residual_R: Floats, freedom: float) -> float:
    """Standard deviation from the median absolute residual, parameters paid for."""
    paid = math.sqrt(residual_R.size / max(1.0, freedom))
    return _DEVIATION_PER_MEDIAN * float(np.median(np.abs(residual_R))) * paid


def degrees_of_freedom(problem: Problem, coordinates_X: Floats, jacobian_RF: Floats | None = None) -> float:
    """Runs left over after the parameters that they settle."""
    if not problem.free_X.any():
        return float(problem.log_error_R.size)
    if jacobian_RF is None:
        _, jacobian_RF = residuals(replace(problem, noise=0.0), coordinates_X[problem.free_X])
    _, whole = residuals(problem, coordinates_X[problem.free_X])
    settled = np.trace(
        np.linalg.pinv(whole.T @ whole, rcond=1e-14, hermitian=True) @ (jacobian_RF.T @ jacobian_RF)
    )
    return float(problem.log_error_R.size - settled)


def reweighted(problem: Problem, counts_R: Floats, prior_mean_X: Floats) -> Problem:
    """The same problem in which run r counts `counts_R[r]` times."""
    return replace(
        problem, weight_R=np.sqrt(counts_R), limits=replace(problem.limits, prior_mean_X=prior_mean_X)
    )


def remeasured(problem: Problem, log_error_R: Floats, prior_mean_X: Floats) -> Problem:
    """The same problem with other measured errors; a fitted d stays below the smallest of them."""
    upper_X = problem.limits.upper_X.copy()
    upper_X[2] = largest_d(np.exp(log_error_R))
    known = replace(problem.limits, upper_X=upper_X, prior_mean_X=prior_mean_X)
    return replace(problem, log_error_R=log_error_R, limits=known)
