"""Baselines: laws of other papers, which add up pools in the exponent as the utility law does.

Effective data (arXiv 2404.07177): seen for the k-th time, a sample weighs `2^(-k / tau)` of a fresh one,

    E(n) = ln(M (1 - r^K) / (1 - r) + r^K (n - K M))        K = floor(n / M), r = 2^(-1 / tau)

so that one pool has `y = A * (n_eff / n0)^b + d` where it is not repeated before the meeting point. Drawn
with replacement, a sample has been seen a Poisson number of times with mean `n / M`, and the expected weight
of the pool is `M (1 - exp(-(1 - r) n / M)) / (1 - r)`.

Data-constrained (arXiv 2305.16264): the worth of repeats saturates exponentially,

    E(n) = ln n                                     while n <= M
    E(n) = ln M + ln(1 + R (1 - e^(-(n/M - 1) / R)))     after, R = tau / ln 2

so that a repetition is worth half as much after `tau` passes. Ours has a `tail` t as well: a repetition x R
passes after the first is worth `(1 + t x)^(-1/t)`, which is `e^-x` at t = 0 and `1 / (1 + x)` at 1, where
the bracket is `1 + R ln(1 + x)`, and `R = tau t / (2^t - 1)`. With runs of models of several sizes the law
has that paper's second term, `size * params^-alpha`. Drawn with replacement, the mean over the Poisson
number of times that a sample was seen stands for the bracket: `(1 - p)(1 + R) - R e^(1/R) (e^(-s (1 -
e^(-1/R))) - p)` with `s = n/M` and `p = e^(-s)`.

The power law `y = A * (n / n0)^b + d` is blind to repetition: the baseline that other laws must beat.
"""

import math

import numpy as np

from thresher.planning.laws.law import Exposure, Floats, Law
from thresher.planning.laws.mix import exposure_differences, log_excess_error

_LN2 = math.log(2.0)
_SMALLEST_R = 2e-3
"""Below it a repetition of the data-constrained law is worth less than a double can hold."""
_SERIES_ABOVE = 1e5
_SMALL_TAIL, _SMALL_REACH = 1e-6, 1e-4
"""Below them two terms of a series are exact."""


def effective_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """`E` of effective data and slopes; arguments broadcast, an infinite interval never repeats."""
    finite = np.where(np.isfinite(interval), interval, 1.0)
    passes = np.where(np.isfinite(interval), np.floor(samples_seen / interval), 0.0)
    rest = np.where(np.isfinite(interval), samples_seen / finite - passes, samples_seen)
    log_r = -_LN2 / half_life
    worth_now = np.exp(passes * log_r)
    fresh_left = -np.expm1(log_r)
    total = -np.expm1(passes * log_r) / fresh_left + worth_now * rest
    # by ln r, as d ln r / d ln tau = -ln r
    by_log_r = (
        -passes * worth_now / fresh_left
        + np.exp(log_r) * -np.expm1(passes * log_r) / fresh_left**2
        + passes * worth_now * rest
    )
    return Exposure(
        np.log(finite * total), -log_r * by_log_r / total, worth_now * samples_seen / (finite * total)
    )


def expected_effective_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """The same for samples drawn with replacement."""
    finite = np.where(np.isfinite(interval), interval, 1.0)
    seen = np.where(np.isfinite(interval), samples_seen / finite, 0.0)
    r = np.exp2(-1.0 / half_life)
    fresh_left = -np.expm1(-_LN2 / half_life)
    z = fresh_left * seen
    repeated = np.isfinite(interval) & (z > 1e-9)
    safe_z = np.where(repeated, z, 1.0)
    weight = -np.expm1(-safe_z)
    slope = safe_z * np.exp(-safe_z) / weight
    value = np.where(repeated, np.log(finite * weight / fresh_left), np.log(samples_seen))
    by_log_tau = np.where(repeated, (1.0 - slope) * r * _LN2 / half_life / fresh_left, 0.0)
    return Exposure(value, by_log_tau, np.where(repeated, slope, 1.0))


EFFECTIVE = Law(
    name="effective-data",
    shared=("A", "n0", "d", "gamma", "mixing"),
    fall=log_excess_error,
    span=exposure_differences(effective_exposure, expected_effective_exposure),
    about="A sample seen for the k-th time counts as 2^(-k/tau) of a fresh one.",
)


def constrained_exposure(
    samples_seen: Floats, interval: Floats, half_life: Floats, tail: Floats | float = 0.0
) -> Exposure:
    """`E` of the data-constrained law and slopes; arguments broadcast, an infinite interval never repeats."""
    tail = np.asarray(tail)
    passes, (R, by_tail_R) = samples_seen / interval, scale_of(half_life, tail)
    beyond = np.maximum(passes - 1.0, 0.0) / R
    wear, by_tail_wear = _wear(beyond, tail)
    left = np.exp(-wear)
    taught, by_left, by_tail_left = _taught(wear, 1.0 - tail)
    worth = 1.0 + R * taught  # of the passes, 1 within the first
    by_log_R = R * (taught - beyond * left)
    by_tail = R * (by_left * by_tail_wear - by_tail_left) + by_log_R * by_tail_R
    fresh = np.log(np.minimum(samples_seen, interval))
    return Exposure(
        fresh + np.log(worth),
        by_log_R / worth,
        np.where(passes > 1.0, passes * left / worth, 1.0),
        by_tail / worth,
    )


def scale_of(half_life: Floats, tail: Floats) -> tuple[Floats, Floats]:
    """R that makes a repetition worth half as much after the half-life, and the slope of ln R in the tail."""
    safe = np.where(tail > _SMALL_TAIL, tail, 1.0)
    grown = np.expm1(safe * _LN2)
    short = np.where(tail > _SMALL_TAIL, safe / grown, 1.0 / (_LN2 * (1.0 + tail * _LN2 / 2.0)))
    by_tail = np.where(tail > _SMALL_TAIL, 1.0 / safe - _LN2 * (1.0 + 1.0 / grown), -_LN2 / 2.0)
    return half_life * short, by_tail


def _wear(beyond: Floats, tail: Floats) -> tuple[Floats, Floats]:
    """`-ln` of the worth of a repetition, `ln(1 + tail x) / tail`, and its slope in the tail."""
    reach = tail * beyond
    small = reach < _SMALL_REACH
    safe = np.where(small, 1.0, tail)
    whole = np.where(small, 0.0, np.log1p(np.where(small, 0.0, reach)) / safe)
    wear = np.where(small, beyond * (1.0 - reach / 2.0 + reach**2 / 3.0), whole)
    slope = np.where(small, -(beyond**2) * (0.5 - 2.0 * reach / 3.0), (beyond / (1.0 + reach) - whole) / safe)
    return wear, slope


def _taught(wear: Floats, rate: Floats) -> tuple[Floats, Floats, Floats]:
    """`(1 - e^(-rate u)) / rate` of the wear u, and its slopes in u and in the rate."""
    z = rate * wear
    small = np.abs(z) < _SMALL_REACH
    safe_z, safe_rate = np.where(small, 1.0, z), np.where(small, 1.0, rate)
    left = np.exp(-z)
    taught = np.where(small, wear * (1.0 - z / 2.0 + z**2 / 6.0), -np.expm1(-safe_z) / safe_rate)
    by_rate = np.where(
        small, -(wear**2) * (0.5 - z / 3.0), (safe_z * np.exp(-safe_z) + np.expm1(-safe_z)) / safe_rate**2
    )
    return taught, left, by_rate


def expected_constrained_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """The same for samples drawn with replacement, of which the tail has no closed form: as without one."""
    active = np.isfinite(interval)
    finite = np.where(active, interval, 1.0)
    seen = np.where(active, samples_seen / finite, 1.0)
    worth, by_log_R, by_seen = _expected_worth(seen, np.maximum(half_life / _LN2, _SMALLEST_R))
    value = np.where(active, np.log(finite * worth), np.log(samples_seen))
    return Exposure(
        value, np.where(active, by_log_R / worth, 0.0), np.where(active, seen * by_seen / worth, 1.0)
    )


def _expected_worth(seen: Floats, R: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean worth of a sample seen a Poisson number of times, and its slopes in `ln R` and `seen`.

    Where R is large the terms cancel, and two terms of the series in 1/R are exact to 1e-10.
    """
    large = R / (1.0 + seen) > _SERIES_ABOVE
    safe_R = np.where(large, 1.0, R)
    again, scale = np.exp(-1.0 / safe_R), np.exp(1.0 / safe_R)
    once, left = -np.expm1(-seen), np.exp(seen * np.expm1(-1.0 / safe_R))
    repeated = -scale * left * np.expm1(-seen * again)
    bent = (seen**2 - seen + once) / (2.0 * R)
    by_R = once - (1.0 - 1.0 / safe_R) * repeated - seen * left / safe_R
    by_seen = 1.0 - once - safe_R * np.expm1(-1.0 / safe_R) * repeated
    return (
        np.where(large, seen - bent, once + safe_R * (once - repeated)),
        np.where(large, bent, safe_R * by_R),
        np.where(large, 1.0 - (2.0 * seen - once) / (2.0 * R), by_seen),
    )


DATA_CONSTRAINED = Law(
    name="data-constrained",
    shared=("A", "n0", "d", "gamma", "tail", "mixing"),
    fall=log_excess_error,
    span=exposure_differences(constrained_exposure, expected_constrained_exposure),
    about="The worth of repeats saturates exponentially.",
)


def unworn_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """`ln n`, whatever was repeated; its slope in the half-life is zero."""
    shape = np.broadcast_shapes(samples_seen.shape, interval.shape, half_life.shape)
    return Exposure(np.broadcast_to(np.log(samples_seen), shape), np.zeros(shape), np.ones(shape))


POWER = Law(
    name="power",
    shared=("A", "n0", "d", "gamma", "mixing"),
    has_half_life=False,
    fall=log_excess_error,
    span=exposure_differences(unworn_exposure, unworn_exposure),
    about="A repeated sample is worth as much as a fresh one.",
)
