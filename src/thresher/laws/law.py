"""The interface of a law: how much fresh data the samples seen of one pool were worth.

Every law here reads `y = d + A * exp(sum_i w_i * b_i * (E_i(n) - E_i(n0)))`. They differ in `E_i(n)`, the log
of the worth of `n` samples seen of a mix in which pool i comes back every `M_i` samples. Pools share the
meeting point `(n0, A + d)`: every curve has the error `A + d` after `n0` samples seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Exposure(NamedTuple):
    """`E` and its slopes; the three share a shape.

    Attributes:
        value: `E`, which is `ln n` while no sample was repeated.
        by_log_tau: Slope in the log of the half-life.
        by_log_samples: Slope in `ln n`: what a sample is worth now, 1 when fresh.
    """

    value: Floats
    by_log_tau: Floats
    by_log_samples: Floats


LogExposure = Callable[[Floats, Floats, Floats], Exposure]
"""(samples seen n, return interval M, half-life tau in passes), broadcast together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One law; `LAWS` holds them by name.

    Attributes:
        log_exposure: `E` and its slopes.
        has_half_life: Whether `tau` enters at all.
        about: One sentence for people.
    """

    name: str
    log_exposure: LogExposure
    has_half_life: bool
    about: str
