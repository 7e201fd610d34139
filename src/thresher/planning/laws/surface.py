"""What laws leave over where runs are dense in size, data and repetition: a surface of residuals above them.

The log of measured over predicted error is taken for a Gaussian process over the logs of the model's
parameters, of samples seen and of unique samples, of Matérn's kind,

    k(x, x') = height^2 (1 + r) e^(-r),    r^2 = 3 sum_k ((x_k - x'_k) / length_k)^2    (+ noise^2 of a run)

whose lengths, height and noise are the most probable under weak priors (Rasmussen and Williams, "Gaussian
Processes for Machine Learning", equations 2.25, 2.26, 4.17 and 5.9). Between runs it follows them, and a few
lengths away it is zero again: there the laws stand alone, in doubt by `height`. Every draw of a law has
residuals of its own, so that draws agree near the runs and part from each other as the laws do elsewhere.

It is offered for runs on one pool whose models are of several known sizes, by `is_dense`.

Axes: S draws, R runs, Q designs, K = 3 coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thresher.planning.laws.law import Design, Floats
from thresher.planning.runs.record import Run, mix_unique, mix_weights
from thresher.planning.shares.solving import factor, solve_both, solve_lower

ENOUGH_SETTINGS, ENOUGH_SIZES, ENOUGH_REPEATED = 20, 4, 8
_CENTRES = np.log([2.0, 2.0, 2.0, 0.04, 0.01])
_WIDTHS = np.array([0.5, 0.5, 0.5, 0.8, 0.6])
"""Of the priors on the logs of the three lengths, the height and the noise."""
_REACH = 4.0
"""Widths around the centre within which a parameter is looked for."""
_MOST_STEPS = 60
_ROUNDING = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The process of the residuals.

    Attributes:
        lengths: Over the logs of parameters, samples seen and unique samples.
        height: Standard deviation far from all runs, of the log of an error.
        noise: Standard deviation of the log of a run's error beside the surface.
    """

    lengths: tuple[float, ...]
    height: float
    noise: float


def is_dense(runs: Sequence[Run]) -> bool:
    """Whether the runs lie dense in size, data and repetition of one pool: by counts of their settings."""
    settings = {
        (run.params, run.samples_seen, sum(mix_unique(run).values()))
        for run in runs
        if run.params is not None
    }
    repeated = sum(seen > unique for _, seen, unique in settings)
    return (
        all(run.params is not None for run in runs)
        and len({pool for run in runs for pool in mix_weights(run)}) == 1
        and len({params for params, _, _ in settings}) >= ENOUGH_SIZES
        and len(settings) >= ENOUGH_SETTINGS
        and repeated >= ENOUGH_REPEATED
    )


def places(of: Design) -> Floats:
    """Where a design lies: logs of parameters, samples seen and unique samples, [..., K].

    Unique samples of a mix are the mean over its pools of the log of the interval at which one comes back.
    """
    assert of.num_params is not None
    interval = np.where(of.weights > 0, of.interval, 1.0)
    logs = (np.log(of.num_params), np.log(of.samples_seen), (of.weights * np.log(interval)).sum(-1))
    return np.stack(np.broadcast_arrays(*logs), -1)


def tune_surface(at_RK: Floats, residual_R: Floats) -> Surface:
    """The most probable surface of residuals of the log error at the places of the runs."""
    from scipy.optimize import minimize

    squares_KRR = (at_RK.T[:, :, None] - at_RK.T[:, None, :]) ** 2

    def objective(theta: Floats) -> tuple[float, Floats]:
        scaled_KRR = 3 * squares_KRR / np.exp(2 * theta[:3, None, None])
        apart_RR = np.sqrt(scaled_KRR.sum(0))
        near_RR = np.exp(2 * theta[3] - apart_RR)
        alike_RR = (1 + apart_RR) * near_RR
        lower_RR = factor(_with_noise(alike_RR, float(np.exp(theta[4]))))
        inverse_RR = solve_both(lower_RR, np.eye(len(residual_R)))
        solved_R = inverse_RR @ residual_R
        weight_RR = (inverse_RR - np.outer(solved_R, solved_R)) / 2
        slopes = [*(weight_RR * near_RR * scaled_KRR).sum((1, 2)), 2 * (weight_RR * alike_RR).sum()]
        slopes.append(2 * np.exp(2 * theta[4]) * np.trace(weight_RR))
        away = (theta - _CENTRES) / _WIDTHS
        value = residual_R @ solved_R / 2 + np.log(np.diag(lower_RR)).sum() + away @ away / 2
        return float(value), np.array(slopes) + away / _WIDTHS

    bounds = np.stack([_CENTRES - _REACH * _WIDTHS, _CENTRES + _REACH * _WIDTHS], axis=1)
    found = minimize(
        objective, _CENTRES, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_STEPS}
    )
    *lengths, height, noise = (float(f"{value:.6g}") for value in np.exp(found.x))
    return Surface(lengths=tuple(lengths), height=height, noise=noise)


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """A surface through the residuals of runs, for each draw of the laws.

    Attributes:
        at_RK: Where the runs lie.
        lower_RR: Cholesky factor of their covariance with noise.
        solved_RS: That covariance's inverse times the residuals of each draw.
    """

    surface: Surface
    at_RK: Floats
    lower_RR: Floats
    solved_RS: Floats

    def at(self, of: Design) -> tuple[Floats, Floats]:
        """Logs of measured over predicted errors at a design, by draw [S, ...], and their doubt [...]."""
        at = places(of)
        towards_QR = _alike(self.surface, at.reshape(-1, at.shape[-1]), self.at_RK)
        explained_Q = (solve_lower(self.lower_RR, towards_QR.T) ** 2).sum(0)
        doubt_Q = np.sqrt(np.maximum(self.surface.height**2 - explained_Q, 0.0))
        mean_SQ = (towards_QR @ self.solved_RS).T
        return mean_SQ.reshape(-1, *at.shape[:-1]), doubt_Q.reshape(at.shape[:-1])


def through(surface: Surface, at_RK: Floats, residual_SR: Floats) -> Residuals:
    """The surface through the residuals of each draw."""
    lower_RR = factor(_with_noise(_alike(surface, at_RK, at_RK), surface.noise))
    return Residuals(surface, at_RK, lower_RR, solve_both(lower_RR, residual_SR.T))


def _alike(surface: Surface, left_QK: Floats, right_RK: Floats) -> Floats:
    apart_QR = np.sqrt(3 * ((left_QK[:, None] - right_RK) ** 2 / np.square(surface.lengths)).sum(-1))
    return np.asarray(surface.height**2 * (1 + apart_QR) * np.exp(-apart_QR))


def _with_noise(alike_RR: Floats, noise: float) -> Floats:
    return np.asarray(alike_RR + (noise**2 + _ROUNDING) * np.eye(len(alike_RR)))
