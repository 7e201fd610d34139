"""The exponential integral `E1(x)`, in two forms that neither cancel nor overflow."""

import numpy as np

from thresher.laws.law import Floats

_SMALL = 1e-3
"""Below it three terms of the series of Ein are exact to 1e-14, where E1(z) + ln z would cancel."""
_LARGE = 500.0
"""Above it, where E1 nears the smallest double, four terms of the asymptotic series are exact to 1e-9."""


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
