"""A fitted law: parameters with intervals, what the fit says about itself, and its predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.interval import HIGH, LOW
from thresher.laws.law import Floats
from thresher.laws.mix import Parameters, predict
from thresher.runs import Run

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLaw:
    """One pool's own parameters.

    Attributes:
        b: Initial utility, at most 0.
        tau: Half-life in passes at `num_unique` samples; None for a law without one.
        num_unique: Pool size at which `tau` holds.
        pool_samples: Size of the whole pool.
        intervals: 5-95% intervals of `b` and `tau`.
        status: Sentences about what is not identified or sits at a bound, each with the remedy.
    """

    name: str
    b: float
    tau: float | None
    num_unique: float
    pool_samples: float
    intervals: Mapping[str, Interval]
    status: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A run beside what the fit says about it; `residual` is measured minus predicted error."""

    run: Run
    predicted: float
    residual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Runs that the fit never saw.

    Attributes:
        mae: Mean absolute error of the predictions; None without check runs.
        mae_of_mean: Mean absolute error of predicting the mean of these runs for each of them.
    """

    mae: float | None = None
    mae_of_mean: float | None = None
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A law fitted jointly to the runs of all pools.

    Attributes:
        A: Error above `d` at the meeting point, shared.
        n0: Samples seen at the meeting point, shared.
        d: Irreducible error, shared.
        gamma: Exponent of the half-life in the return interval, shared.
        intervals: 5-95% intervals of A, n0, d and gamma; a held parameter has none.
        noise: Standard deviation of the residuals, in units of the error.
        status: Sentences about the shared parameters, each with the remedy.
        warnings: Sentences about the runs.
        draws_SX: Bootstrap draws, one row each, columns `draw_names`.
    """

    law: str
    metric: str
    recipe: str | None
    model: str | None
    A: float
    n0: float
    d: float
    gamma: float
    pools: tuple[PoolLaw, ...]
    intervals: Mapping[str, Interval]
    noise: float
    status: tuple[str, ...]
    warnings: tuple[str, ...]
    draws_SX: Floats
    draw_names: tuple[str, ...]
    points: tuple[Point, ...]
    check: Check = field(default_factory=Check)


def parameters(fit: Fit) -> Parameters:
    """The fitted values, without leading axes."""
    return Parameters(
        A=np.asarray(fit.A, float),
        n0=np.asarray(fit.n0, float),
        d=np.asarray(fit.d, float),
        gamma=np.asarray(fit.gamma, float),
        b_P=np.array([pool.b for pool in fit.pools], float),
        tau_P=np.array([1.0 if pool.tau is None else pool.tau for pool in fit.pools], float),
        num_unique_P=_reference(fit),
    )


def draw_parameters(fit: Fit) -> Parameters:
    """The bootstrap draws, leading axis S; the fitted values as the only draw where there are none."""
    count = len(fit.pools)
    draws_SX = fit.draws_SX
    if not len(draws_SX):
        point = parameters(fit)
        shared = np.array([point.A, point.n0, point.d, point.gamma])
        draws_SX = np.concatenate([shared, point.b_P, point.tau_P])[None]
    return Parameters(
        A=draws_SX[:, 0],
        n0=draws_SX[:, 1],
        d=draws_SX[:, 2],
        gamma=draws_SX[:, 3],
        b_P=draws_SX[:, 4 : 4 + count],
        tau_P=draws_SX[:, 4 + count :],
        num_unique_P=_reference(fit),
    )


def predict_mix(
    fit: Fit, weights: Mapping[str, float], num_unique: Mapping[str, float], samples_seen: ArrayLike
) -> Floats:
    """Predicted error of a mix, one value for each of `samples_seen`.

    Args:
        fit: The fitted law.
        weights: Pool name to sampling weight, relative.
        num_unique: Pool name to unique samples that the run draws from.
        samples_seen: Any shape.

    Raises:
        InputError: naming a pool without a law or without a size.
    """
    weights_P, unique_P = _mix_arrays(fit, weights, num_unique)
    return predict(LAWS[fit.law], parameters(fit), samples_seen, weights_P, unique_P)


def predict_mix_interval(
    fit: Fit, weights: Mapping[str, float], num_unique: Mapping[str, float], samples_seen: ArrayLike
) -> tuple[Floats, Floats]:
    """5% and 95% quantiles of the predicted error over the draws (the law's doubt, not a run's noise)."""
    weights_P, unique_P = _mix_arrays(fit, weights, num_unique)
    seen_N = np.atleast_1d(np.asarray(samples_seen, float))
    error_SN = predict(LAWS[fit.law], with_axis(draw_parameters(fit)), seen_N, weights_P, unique_P)
    low_N, high_N = np.quantile(error_SN, (LOW, HIGH), axis=0)
    return low_N, high_N


def with_axis(draws: Parameters) -> Parameters:
    """Draws [S] as [S, 1], so that they broadcast against candidates or points."""
    return Parameters(
        A=draws.A[:, None],
        n0=draws.n0[:, None],
        d=draws.d[:, None],
        gamma=draws.gamma[:, None],
        b_P=draws.b_P[:, None, :],
        tau_P=draws.tau_P[:, None, :],
        num_unique_P=draws.num_unique_P,
    )


def utility_curve(fit: Fit, pool: str, repetitions: ArrayLike) -> Floats:
    """`b * 2^(-k / tau)` of one pool at each repetition k (0 is the first pass)."""
    for law in fit.pools:
        if law.name == pool:
            k = np.asarray(repetitions, float)
            return np.asarray(law.b * (np.ones_like(k) if law.tau is None else np.exp2(-k / law.tau)))
    raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(law.name for law in fit.pools)}")


def _reference(fit: Fit) -> Floats:
    return np.array([pool.num_unique for pool in fit.pools], float)


def _mix_arrays(
    fit: Fit, weights: Mapping[str, float], num_unique: Mapping[str, float]
) -> tuple[Floats, Floats]:
    names = [pool.name for pool in fit.pools]
    for pool, weight in weights.items():
        if pool not in names:
            raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(names)}")
        if weight > 0 and not num_unique.get(pool, 0) > 0:
            raise InputError(f"pool {pool!r} has weight {weight:g} but no size; give its number of samples")
    total = sum(weights.values())
    weights_P = np.array([weights.get(name, 0.0) / total for name in names])
    unique_P = np.array([max(1.0, num_unique.get(name, 1.0)) for name in names])
    return weights_P, unique_P
