"""Bounds, weak priors and starting values of a joint fit, and which parameters the runs can tell.

Every parameter has a weak prior, so that any table can be fitted: three pools at two lengths have more
parameters than runs. Priors matter where few noisy runs leave a direction open (d against b, tau of a pool
that was hardly repeated) and vanish beside good data: they are weighed by the noise of the runs. What each
pool has of its own lies around the mean of all pools, and the runs say how widely (`signal.py`). Axes: R
runs, P pools, X coordinates (`layout.py`).
"""

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.planning.laws.crowding import (
    CROWDED_GAMMA_SD,
    CROWDED_HALF_LIFE,
    CROWDING_REACH,
    LOG_CROWDED_HALF_LIFE_SD,
    crowding_priors,
)
from thresher.planning.laws.law import LOGARITHMIC, OWN, Floats, Law
from thresher.planning.laws.layout import Layout
from thresher.tables import decimal

ASSUMED_HALF_LIFE = 6.0
"""Middle of the half-lives that the authors published (1.5 to 8.5 passes)."""
_LOG_HALF_LIFE_SD = 1.0
"""Of the mean over the pools."""
_GAMMA_SD = 0.5
_D_SHARE_OF_ERROR, _D_SHARE_OF_ERROR_SD = 0.2, 0.3
"""d as a share of the smallest error; the authors' fits have 0.1 to 0.15."""
_D_SHARE_OF_LOSS, _D_SHARE_OF_LOSS_SD = 0.5, 0.4
"""The entropy of the data makes up much of a loss, but no one knows how much of a contrastive one."""
_LOWEST_B, _HIGHEST_B = -5.0, 1.0
"""Above 0 fresh samples of a pool do harm."""
_B, _B_SD = -0.2, 0.2
"""Of the mean over the pools."""
_LOG_A_SD, _LOG_N0_SD = 1.0, 3.0
_LOG_SIZE_SD = 2.0
_LARGEST_GAMMA = 2.0
_TAIL, _TAIL_SD, _LARGEST_TAIL = 0.5, 0.4, 2.0
"""Between the exponential and the logarithm; finished runs of open_clip want about 1."""
_HARM_SD, _LARGEST_HARM = 0.1, 2.0
"""A tenth: a sample that has worn out undoes a tenth of what it taught when it was fresh."""
MIXING, _MIXING_SD, MIXING_RANGE = 0.5, 0.4, (0.0, 1.0)
"""How pools add up where no run is on a mix; the probes of real pairs that we made lie at .2 to 1."""
_LOG_START_SD, _LOWEST_START_SHARE, _LOG_LOSS_START_SD = 0.1, 0.8, 0.5
"""An untrained model errs as guessing does: nearly 1 for a thousand classes, 0.9 for ten."""
_LOWEST_SIZED_START_SHARE = 0.2
"""The size term of a small model comes on top of the start."""
_QUALITY_RANGE = (1e-4, 1e3)
_ALPHA, _LOG_ALPHA_SD, _ALPHA_RANGE = 0.35, 0.5, (0.02, 2.0)
"""Exponent of the model-size term; arXiv 2203.15556 has .34, arXiv 2305.16264 .35."""
_SHORTEST_HALF_LIFE = 0.1
_HALF_LIVES_PER_PASS = 20.0
"""A half-life of 20 times the passes that were run changes no error measurably: its upper bound."""
_LARGEST_D_SHARE = 0.98
_LOG_OWN_A_SD, _OWN_D_SD_OF_ERROR = 0.3, 0.1
"""How far a pool's own A and d lie from the shared ones; d as a share of the smallest error."""
_SIZE_RATIO = 1.5
"""Return intervals must differ by this factor before they say anything about gamma."""

_RANGES = {
    "gamma": (0.0, _LARGEST_GAMMA),
    "b": (_LOWEST_B, 0.0),
    "harm": (0.0, _LARGEST_HARM),
    "tail": (0.0, _LARGEST_TAIL),
    "mixing": (0.0, 1.0),
}
"""Values at which a parameter can be held."""

Scalar = TypeVar("Scalar", float, Floats)


class Limits(NamedTuple):
    """Bounds, priors and values to start from, one entry a coordinate; without a prior its sd is infinite.

    Row x of `about_XX` says what prior x is about: coordinate x, less the shared one for what a pool has of
    its own.
    """

    lower_X: Floats
    upper_X: Floats
    prior_mean_X: Floats
    prior_sd_X: Floats
    start_X: Floats
    about_XX: Floats


class Spread(NamedTuple):
    """Standard deviations of what each pool has of its own around the mean of all pools."""

    b: float
    log_quality: float
    log_half_life: float


USUAL_SPREAD = Spread(b=0.1, log_quality=1.0, log_half_life=0.7)
"""Published b are -.16 to -.085, half-lives 1.5 to 8.5 passes."""
NO_SPREAD = Spread(b=0.0, log_quality=0.0, log_half_life=0.0)
"""Pools that are alike."""


class _Limit(NamedTuple):
    lower: float
    upper: float
    start: float
    mean: float = 0.0
    sd: float = math.inf


def limits(
    layout: Layout,
    samples_R: Floats,
    error_R: Floats,
    most_passes_P: Floats,
    smallest_P: Floats,
    *,
    loss: bool,
    shown_P: NDArray[np.bool_],
    fresh_P: NDArray[np.bool_],
    spread: "Spread",
    params_per_sample_R: Floats | None = None,
) -> Limits:
    """Limits that follow from the data: curves meet before mid-run, d lies under every error.

    Args:
        layout: The coordinates.
        samples_R: Samples seen of the runs.
        error_R: Their errors.
        most_passes_P: Passes over each pool in the run that repeats it most.
        smallest_P: Smallest error of each pool, under which its own d lies.
        loss: Whether errors are losses.
        shown_P: Pools whose half-lives the runs show, over which their mean is taken.
        fresh_P: Pools with runs of two lengths that repeat nothing, whose b may lie above 0.
        spread: How widely pools lie around their mean.
        params_per_sample_R: Parameters for each unique sample of the runs that repeat, where laws have a term
            for crowding.
    """
    least, most = math.log(samples_R.min()), math.log(samples_R.max())
    worst, smallest = float(error_R.max()), float(error_R.min())
    share, share_sd = (
        (_D_SHARE_OF_LOSS, _D_SHARE_OF_LOSS_SD) if loss else (_D_SHARE_OF_ERROR, _D_SHARE_OF_ERROR_SD)
    )
    earliest = least - math.log(1000)
    latest = most if "start" in layout.shared else (least + most) / 2
    n0 = (3 * earliest + least + most) / 5
    share_of_worst = _LOWEST_SIZED_START_SHARE if "size" in layout.shared else _LOWEST_START_SHARE
    lowest = math.log(worst * share_of_worst)  # repeats that do harm may lead above the start
    begin = _Limit(lowest, max(math.log(worst), 0.0), 0.0, 0.0, _LOG_START_SD)
    if loss:
        begin = _around(lowest, math.log(worst * 4), math.log(worst * 1.5), _LOG_LOSS_START_SD)
    known = {
        "A": _around(math.log(worst / 20), math.log(worst * 4), math.log(worst * 0.5), _LOG_A_SD),
        "start": begin,
        "n0": _around(earliest, latest, n0, _LOG_N0_SD),
        "d": _around(0.0, largest_d(smallest), share * smallest, share_sd * smallest),
        "gamma": _around(0.0, _LARGEST_GAMMA, 1.0, _GAMMA_SD),
        "harm": _around(0.0, _LARGEST_HARM, 0.0, _HARM_SD),
        "tail": _Limit(0.0, _LARGEST_TAIL, 0.0, _TAIL, _TAIL_SD),
        "size": _around(math.log(worst * 1e-4), math.log(worst * 4), math.log(worst * 0.1), _LOG_SIZE_SD),
        "alpha": _around(*_logs(*_ALPHA_RANGE), math.log(_ALPHA), _LOG_ALPHA_SD),
        "b": _around(_LOWEST_B, 0.0, _B, _B_SD),
        "mixing": _around(*MIXING_RANGE, MIXING, _MIXING_SD),
    }
    worth = {
        "b": _around(_LOWEST_B, 0.0, _B, spread.b),
        "quality": _around(*_logs(*_QUALITY_RANGE), 0.0, spread.log_quality),
    }[layout.worth]
    log_half_life, half_life_sd = math.log(ASSUMED_HALF_LIFE), _LOG_HALF_LIFE_SD
    if params_per_sample_R is not None:
        for name, (centre, sd) in crowding_priors(params_per_sample_R).items():
            log, reach = math.log(centre), CROWDING_REACH * sd
            known[name] = _around(log - reach, log + reach, log, sd)
        known["gamma"] = _around(0.0, _LARGEST_GAMMA, 0.0, CROWDED_GAMMA_SD)
        log_half_life, half_life_sd = math.log(CROWDED_HALF_LIFE), LOG_CROWDED_HALF_LIFE_SD
    half_lives = [
        _around(math.log(_SHORTEST_HALF_LIFE), math.log(longest), log_half_life, spread.log_half_life)
        for longest in _HALF_LIVES_PER_PASS * np.maximum(most_passes_P, 1.0)
    ]
    rows = [*(known[name] for name in layout.shared), *[worth] * len(layout.pools), *half_lives]
    own_of = {
        "A": [known["A"]] * len(layout.pools),
        "d": [known["d"]._replace(upper=largest_d(float(least))) for least in smallest_P],
    }
    own_sd = {"A": _LOG_OWN_A_SD, "d": _OWN_D_SD_OF_ERROR * smallest}
    about_XX = np.eye(layout.size)
    for name, block in layout.owned.items():
        rows += [limit._replace(sd=own_sd[name], mean=0.0) for limit in own_of[name]]
        about_XX[block, layout.place(name)] = -1.0
    lower, upper, start, mean, sd = np.array(rows, float).T
    pools = np.arange(len(layout.pools))
    if layout.worth == "b":
        upper[layout.worths] = np.where(fresh_P, _HIGHEST_B, 0.0)
        _around_mean(about_XX, mean, sd, layout.worths.start + pools, _B_SD)
    shown = np.flatnonzero(shown_P)
    _around_mean(about_XX, mean, sd, layout.half_lives.start + shown, half_life_sd)
    return Limits(
        lower_X=lower,
        upper_X=upper,
        prior_mean_X=mean,
        prior_sd_X=sd,
        start_X=np.clip(start, lower, upper),
        about_XX=about_XX,
    )


def _around(lower: float, upper: float, value: float, sd: float) -> _Limit:
    """Between bounds, from the middle of its prior."""
    value = min(max(value, lower), upper)
    return _Limit(lower, upper, value, value, sd)


def _around_mean(
    about_XX: Floats, mean_X: Floats, sd_X: Floats, places: NDArray[np.intp], mean_sd: float
) -> None:
    """Turn the priors of some coordinates, all alike, into one of each around their mean.

    With `u = x - rho mean(x)` normal around `(1 - rho) m`, the mean of the x has the standard deviation
    `mean_sd` around m where `rho = 1 - sd / (sqrt(K) mean_sd)`.
    """
    if places.size < 2:
        sd_X[places] = np.hypot(sd_X[places], mean_sd)
        return
    rho = max(0.0, 1.0 - float(sd_X[places[0]]) / (math.sqrt(places.size) * mean_sd))
    about_XX[np.ix_(places, places)] -= rho / places.size
    mean_X[places] *= 1.0 - rho


def _logs(lower: float, upper: float) -> tuple[float, float]:
    return math.log(lower), math.log(upper)


def largest_d(smallest: Scalar) -> Scalar:
    """Upper bound of d: a little below the smallest measured error."""
    return _LARGEST_D_SHARE * smallest


def gamma_shows(interval_RP: Floats, passes_RP: Floats) -> bool:
    """Whether some pool was repeated at two return intervals, which is what gamma is about."""
    for interval_R, passes_R in zip(interval_RP.T, passes_RP.T, strict=True):
        repeated = interval_R[passes_R > 1.0]
        if repeated.size and repeated.max() / repeated.min() >= _SIZE_RATIO:
            return True
    return False


def half_life_shows(passes_RP: Floats, samples_R: Floats) -> NDArray[np.bool_]:
    """For each pool whether runs of two lengths touch it and one of them repeats it."""
    return np.asarray((passes_RP.max(0) > 1.0) & (_lengths(passes_RP > 0, samples_R) > 1))


def fresh_shows(passes_RP: Floats, samples_R: Floats) -> NDArray[np.bool_]:
    """For each pool whether runs of two lengths touch it that repeat nothing of it."""
    return np.asarray(_lengths((passes_RP > 0) & (passes_RP <= 1.0), samples_R) > 1)


def _lengths(touched_RP: NDArray[np.bool_], samples_R: Floats) -> NDArray[np.intp]:
    return np.array([np.unique(samples_R[touched_R]).size for touched_R in touched_RP.T])


def hold(
    fixed: Mapping[str, float],
    layout: Layout,
    start_X: Floats,
    free_X: NDArray[np.bool_],
    least_error: float,
) -> None:
    """Put the values of `fixed` into `start_X` and mark them as not free.

    Raises:
        InputError: naming a parameter that cannot be held or a value that cannot be.
    """
    for name, value in fixed.items():
        if name not in layout.shared:
            raise InputError(f"cannot hold {name!r}; one of {', '.join(layout.shared)} can be held")
        if name in LOGARITHMIC and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} is held at {value}; give a positive value")
        if name == "d" and not 0 <= value < least_error:
            raise InputError(
                f"d is held at {value}; give a value from 0 to below the smallest error, "
                f"{decimal(least_error)}"
            )
        low, high = _RANGES.get(name, (-math.inf, math.inf))
        if name in _RANGES and not low <= value <= high:
            raise InputError(
                f"{name} is held at {value}; give a value from {decimal(low)} to {decimal(high)}"
            )
        place = layout.place(name)
        start_X[place] = math.log(value) if name in LOGARITHMIC else value
        free_X[place] = False


def check_own(own: Collection[str], fixed: Collection[str], laws: Collection[Law], num_pools: int) -> None:
    """Refuse a parameter that pools cannot have of their own, or that none of these laws has.

    Raises:
        InputError: naming it.
    """
    for name in own:
        if name == "n0":
            raise InputError(
                "n0 cannot be each pool's own: n0 and A of one pool cannot be told apart; give A to each pool"
            )
        if name not in OWN:
            raise InputError(f"{name!r} cannot be each pool's own; choose {' or '.join(OWN)}")
        if not any(name in law.shared for law in laws):
            raise InputError(
                f"the {' and the '.join(law.name for law in laws)} law has no {name} that a pool could have "
                f"of its own: its curves begin at `start`; leave it out, or choose a law with {name}"
            )
        if name in fixed:
            raise InputError(f"{name} cannot be held and be each pool's own; drop one of the two")
        if num_pools == 1:
            raise InputError(
                f"one pool shares {name} with no other, so it cannot have its own; leave it out, or add "
                f"runs on a second pool"
            )
