"""Integrals that laws need: `E1(x)`, which neither cancels nor overflows, and many passes summed at once.

A tiny pool may be repeated a billion times. Of its passes those beyond the first hundreds are a sum

    S = sum_{k=a}^{K-1} r^k ln(1 + 1 / (k + o)),  r = e^(-l)

With x = k + o + 1/2 a term is `e^(l (o + 1/2)) e^(-l x) (1/x + 1/(12 x^3) + ...)`, and the Euler-Maclaurin
formula at midpoints turns the sum into E1 and two terms at the ends; what is left out is of order a^-4.
"""

from typing import NamedTuple

import numpy as np

from thresher.planning.laws.law import Floats

_SMALL = 1e-3
"""Below it three terms of the series of Ein are exact to 1e-14, where E1(z) + ln z would cancel."""
_LARGE = 500.0
"""Above it, where E1 nears the smallest double, four terms of the asymptotic series are exact to 1e-9."""

FIRST_LATER = 256
"""Passes before this one are worth a sum, term by term."""
_LEAST_DECAY = 1e-300


def ein(z: Floats) -> Floats:
    """The entire exponential integral, `E1(z) + ln z + 0.5772...`, for z of at least 0."""
    large = z > _SMALL
    safe_z = np.where(large, z, 1.0)
    return np.where(large, _exp1(safe_z) + np.log(safe_z) + np.euler_gamma, z - z**2 / 4 + z**3 / 18)


def scaled_exp1(x: Floats) -> Floats:
    """`e^x E1(x)`, for x above 0."""
    small, large = np.minimum(x, _LARGE), np.maximum(x, _LARGE)
    series = (1.0 - (1.0 - (2.0 - 6.0 / large) / large) / large) / large
    return np.where(x > _LARGE, series, np.exp(small) * _exp1(small))


def _exp1(x: Floats) -> Floats:
    from scipy.special import exp1  # takes longer to load than all of planning, which seldom needs it

    return np.asarray(exp1(x), float)


class LaterPasses(NamedTuple):
    """`S` of the module's docstring, the same sum with every term times k, and its slope in o."""

    value: Floats
    times_pass: Floats
    by_offset: Floats


def later_passes(passes: Floats, log_decay: Floats, offset: Floats) -> LaterPasses:
    """The sum from `FIRST_LATER` to before `passes`, which lie above it.

    Args:
        passes: K, whole.
        log_decay: ln r, at most 0.
        offset: o, at least 0.
    """
    decay = np.maximum(-log_decay, _LEAST_DECAY)
    first, last = FIRST_LATER + offset, passes + offset
    worth_first, worth_last = np.exp(-decay * FIRST_LATER), np.exp(-decay * passes)
    at_first, at_last = worth_first / first, worth_last / last
    scale, curved = np.exp(decay / 2), 1 + decay**2 / 24
    integral = worth_first * scaled_exp1(decay * first) - worth_last * scaled_exp1(decay * last)
    lost = worth_first * -np.expm1(-decay * (passes - FIRST_LATER))
    ends = at_last - at_first
    value = scale * (curved * integral + decay / 12 * ends)
    by_decay = scale * (decay / 12 * integral - curved * lost / decay + ends / 12 + decay / 12 * lost)
    by_ends = curved * ends - decay / 12 * (decay * ends + at_last / last - at_first / first)
    return LaterPasses(value, -(offset + 0.5) * value - by_decay, decay * value + scale * by_ends)
