"""Effective data: seen for the k-th time, a sample weighs `2^(-k / tau)` of a fresh one (arXiv 2404.07177).

    E(n) = ln(M (1 - r^K) / (1 - r) + r^K (n - K M))        K = floor(n / M), r = 2^(-1 / tau)

so that one pool has `y = A * (n_eff / n0)^b + d` where it is not repeated before the meeting point. Drawn
with replacement, a sample has been seen a Poisson number of times with mean `n / M`, and the expected weight
of the pool is `M (1 - exp(-(1 - r) n / M)) / (1 - r)`.
"""

import math

import numpy as np

from thresher.planning.laws.law import Exposure, Floats, Law
from thresher.planning.laws.mix import exposure_differences, log_excess_error

_LN2 = math.log(2.0)


def log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """`E` of the module's docstring and slopes; arguments broadcast, an infinite interval never repeats."""
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


def expected_log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
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


LAW = Law(
    name="effective-data",
    shared=("A", "n0", "d", "gamma"),
    fall=log_excess_error,
    span=exposure_differences(log_exposure, expected_log_exposure),
    about="A sample seen for the k-th time counts as 2^(-k/tau) of a fresh one.",
)
