"""What is known of the parameters before any fit: bounds, weak priors, which of them the runs can tell.

The priors matter where few noisy runs leave a direction open (d against b, tau of a pool that was hardly
repeated) and vanish beside good data: they are weighed by the noise of the runs. Axes: R runs, P pools, X
coordinates (ln A, ln n0, d, gamma, b of each pool, ln tau of each pool).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.laws.law import Floats

SHARED = ("A", "n0", "d", "gamma")
ASSUMED_HALF_LIFE = 6.0
"""Middle of the half-lives that the authors published (1.5 to 8.5 passes)."""
_LOG_HALF_LIFE_SD = 1.0
_GAMMA_SD = 0.5
_D_SHARE_OF_ERROR, _D_SHARE_OF_ERROR_SD = 0.2, 0.3
"""d as a share of the smallest error; the authors' fits have 0.1 to 0.15."""
_D_SHARE_OF_LOSS, _D_SHARE_OF_LOSS_SD = 0.5, 0.4
"""The entropy of the data makes up much of a loss, but no one knows how much of a contrastive one."""
_LOWEST_B = -5.0
_LARGEST_GAMMA = 2.0
_SHORTEST_HALF_LIFE = 0.1
_HALF_LIVES_PER_PASS = 20.0
"""A half-life of 20 times the passes that were run changes no error measurably: its upper bound."""
_LARGEST_D_SHARE = 0.98
_SIZE_RATIO = 1.5
"""Return intervals must differ by this factor before they say anything about gamma."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limits:
    """Bounds, priors and values to start from, one entry a coordinate; without a prior its sd is infinite."""

    lower_X: Floats
    upper_X: Floats
    prior_mean_X: Floats
    prior_sd_X: Floats
    start_X: Floats


def limits(samples_R: Floats, error_R: Floats, most_passes_P: Floats, *, loss: bool) -> Limits:
    """Limits that follow from the data: curves meet before mid-run, d lies under every error."""
    count = most_passes_P.size
    least, most, smallest = samples_R.min(), samples_R.max(), float(error_R.min())
    lower = [math.log(error_R.max() / 20), math.log(least / 1000), 0.0, 0.0]
    upper = [
        math.log(error_R.max() * 4),
        math.log(math.sqrt(least * most)),
        largest_d(error_R),
        _LARGEST_GAMMA,
    ]
    longest_P = _HALF_LIVES_PER_PASS * np.maximum(most_passes_P, 1.0)
    lower_X = np.array(lower + [_LOWEST_B] * count + [math.log(_SHORTEST_HALF_LIFE)] * count)
    upper_X = np.array(upper + [0.0] * count + np.log(longest_P).tolist())
    share, share_sd = (
        (_D_SHARE_OF_LOSS, _D_SHARE_OF_LOSS_SD) if loss else (_D_SHARE_OF_ERROR, _D_SHARE_OF_ERROR_SD)
    )
    log_half_life = math.log(ASSUMED_HALF_LIFE)
    mean_X = np.array([0.0, 0.0, share * smallest, 1.0] + [0.0] * count + [log_half_life] * count)
    sd = (
        [math.inf, math.inf, share_sd * smallest, _GAMMA_SD]
        + [math.inf] * count
        + [_LOG_HALF_LIFE_SD] * count
    )
    start_X = (lower_X + upper_X) / 2
    start_X[2], start_X[3], start_X[4 + count :] = mean_X[2], 1.0, log_half_life
    return Limits(
        lower_X=lower_X, upper_X=upper_X, prior_mean_X=mean_X, prior_sd_X=np.array(sd), start_X=start_X
    )


def largest_d(error_R: Floats) -> float:
    """Upper bound of d: a little below the smallest measured error."""
    return _LARGEST_D_SHARE * float(error_R.min())


def gamma_shows(interval_RP: Floats, passes_RP: Floats) -> bool:
    """Whether some pool was repeated at two return intervals, which is what gamma is about."""
    for interval_R, passes_R in zip(interval_RP.T, passes_RP.T, strict=True):
        repeated = interval_R[passes_R > 1.0]
        if repeated.size and repeated.max() / repeated.min() >= _SIZE_RATIO:
            return True
    return False


def half_life_shows(passes_RP: Floats, samples_R: Floats) -> NDArray[np.bool_]:
    """For each pool whether runs of two lengths touch it and one of them repeats it."""
    lengths_P = np.array([np.unique(samples_R[passes_R > 0]).size for passes_R in passes_RP.T])
    return np.asarray((passes_RP.max(0) > 1.0) & (lengths_P > 1))


def hold(fixed: Mapping[str, float], start_X: Floats, free_X: NDArray[np.bool_], least_error: float) -> None:
    """Put the values of `fixed` into `start_X` and mark them as not free.

    Raises:
        InputError: naming a parameter that cannot be held or a value that cannot be.
    """
    for name, value in fixed.items():
        if name not in SHARED:
            raise InputError(f"cannot hold {name!r}; one of {', '.join(SHARED)} can be held")
        if name in ("A", "n0") and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} is held at {value}; give a positive value")
        if name == "d" and not 0 <= value < least_error:
            raise InputError(
                f"d is held at {value}; give a value from 0 to below the smallest error, {least_error:g}"
            )
        if name == "gamma" and not 0 <= value <= _LARGEST_GAMMA:
            raise InputError(f"gamma is held at {value}; give a value from 0 to {_LARGEST_GAMMA:g}")
        index = SHARED.index(name)
        start_X[index] = math.log(value) if name in ("A", "n0") else value
        free_X[index] = False
