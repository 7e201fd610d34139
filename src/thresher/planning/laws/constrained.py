"""Data-constrained: the worth of repeats saturates exponentially (arXiv 2305.16264).

    E(n) = ln n                                     while n <= M
    E(n) = ln M + ln(1 + R (1 - e^(-(n/M - 1) / R)))     after, R = tau / ln 2

so that a repetition is worth half as much after `tau` passes. With runs of models of several sizes the law
has that paper's second term, `size * params^-alpha`. Drawn with replacement, the mean over the Poisson
number of times that a sample was seen stands for the bracket: `(1 - p)(1 + R) - R e^(1/R) (e^(-s (1 -
e^(-1/R))) - p)` with `s = n/M` and `p = e^(-s)`.
"""

import math

import numpy as np

from thresher.planning.laws.law import Exposure, Floats, Law
from thresher.planning.laws.mix import exposure_differences, log_excess_error

_LN2 = math.log(2.0)
_SMALLEST_R = 2e-3
"""Below it a repetition is worth less than a double can hold."""
_SERIES_ABOVE = 1e5


def log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """`E` of the module's docstring and slopes; arguments broadcast, an infinite interval never repeats."""
    worth, by_log_R, by_log_samples = saturated(samples_seen / interval, half_life / _LN2)
    fresh = np.log(np.minimum(samples_seen, interval))
    return Exposure(fresh + np.log(worth), by_log_R, by_log_samples)


def saturated(passes: Floats, R: Floats) -> tuple[Floats, Floats, Floats]:
    """Worth of `passes` over a pool beyond the first, `1 + R (1 - e^(-(passes - 1) / R))`, 1 within it.

    Returns the worth, the slope of its log in `ln R`, and its log's slope in `ln passes` plus that of the
    first pass.
    """
    beyond = np.maximum(passes - 1.0, 0.0) / R
    kept = np.exp(-beyond)
    worth = 1.0 - R * np.expm1(-beyond)
    by_log_R = R * (-np.expm1(-beyond) - beyond * kept) / worth
    by_log_passes = np.where(passes > 1.0, passes * kept / worth, 1.0)
    return worth, by_log_R, by_log_passes


def expected_log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """The same for samples drawn with replacement."""
    drawn = np.isfinite(interval)
    finite = np.where(drawn, interval, 1.0)
    seen = np.where(drawn, samples_seen / finite, 1.0)
    worth, by_log_R, by_seen = _expected_worth(seen, np.maximum(half_life / _LN2, _SMALLEST_R))
    value = np.where(drawn, np.log(finite * worth), np.log(samples_seen))
    return Exposure(
        value, np.where(drawn, by_log_R / worth, 0.0), np.where(drawn, seen * by_seen / worth, 1.0)
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


LAW = Law(
    name="data-constrained",
    shared=("A", "n0", "d", "gamma"),
    fall=log_excess_error,
    span=exposure_differences(log_exposure, expected_log_exposure),
    about="The worth of repeats saturates exponentially.",
)
