"""What repetition costs models that are large for their data: an error that comes on top of a law.

A model of N parameters that has made e passes over U unique samples errs by

    (N / (U room))^excess h,    h = x^sharpness / (1 + x^sharpness),    x = (e - 1) / onset

more: it has learned the samples by heart. Harm grows as a power of the parameters per unique sample and sets
in after about `onset` passes; `room` is how many parameters a sample takes until the harm of endless passes
is one unit of the error. In a mix, pool i has `e = n / M_i` passes over `U = M_i` samples, and the harm is
the mean over pools by weight, so a split of a pool changes nothing. The form is ours. With a power of the
passes in place of h, few passes are fitted as well, and at a thousand, where small models have long levelled
off, it errs by whole nats.

Axes: P pools; all leading axes broadcast.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CROWDING = ("room", "excess", "onset", "sharpness")
"""Shared parameters of the term, all positive; their coordinates are natural logs."""
CROWDED_HALF_LIFE, LOG_CROWDED_HALF_LIFE_SD, CROWDED_GAMMA_SD = 140.0, 0.25, 0.1
"""Beside this harm little wears: small models gain for a hundred passes and more, of any pool."""
CROWDING_REACH = 15.0
"""Standard deviations between the centre of a prior and the bounds."""
_ROOM, _LOG_ROOM_SD, _ROOM_REACH = 4.0, 0.2, 4.0
_OTHERS = {"excess": (1.2, 0.1), "onset": (80.0, 0.15), "sharpness": (2.0, 0.1)}
"""Centres and standard deviations of logs. All, and the half-life, lie near what language models in the
train half of ScaleBench (arXiv 2604.22753) and the C4 runs of arXiv 2305.16264 show; a sample is a token."""
_NO_PASSES, _MOST = 1e-12, 100.0
"""Passes beyond the first that stand for none; a log beyond which nothing gets larger."""


def crowding_priors(params_per_sample_R: Floats) -> dict[str, tuple[float, float]]:
    """Centre of each parameter of the term and the standard deviation of its log.

    A sample that is no token has room for another number of parameters, near those of the runs.

    Args:
        params_per_sample_R: Parameters for each unique sample, of runs that repeat.
    """
    usual, most = float(np.median(params_per_sample_R)), float(params_per_sample_R.max())
    return {"room": (min(max(_ROOM, usual), _ROOM_REACH * most), _LOG_ROOM_SD), **_OTHERS}


def crowding_term(
    shared: Mapping[str, Floats], params: Floats, samples_seen: Floats, weights: Floats, interval: Floats
) -> tuple[Floats, dict[str, Floats]]:
    """The harm [...] and its slopes in the coordinates of `CROWDING` by name.

    Args:
        shared: Values of `CROWDING` by name, [...].
        params: Parameters of the models, [...].
        samples_seen: Repeats counted, [...].
        weights: Of pools, [..., P].
        interval: Samples seen between two passes over each pool, [..., P]; infinite for one left out.
    """
    room, excess, onset, sharpness = (np.log(shared[name])[..., None] for name in CROWDING)
    again = np.maximum(samples_seen[..., None] / interval - 1.0, _NO_PASSES)
    log_ratio = np.log(params)[..., None] - np.log(np.where(weights > 0, interval, 1.0)) - room
    log_again = np.log(again) - onset
    power, steepness = np.exp(excess), np.exp(sharpness)
    learned = 1.0 / (1.0 + np.exp(-np.clip(steepness * log_again, -_MOST, _MOST)))
    whole = weights * np.exp(np.minimum(power * log_ratio, _MOST)) * learned
    left = steepness * (1.0 - learned)
    slopes = {
        "room": -power * whole,
        "excess": power * log_ratio * whole,
        "onset": -left * whole,
        "sharpness": left * log_again * whole,
    }
    return whole.sum(-1), {name: slope.sum(-1) for name, slope in slopes.items()}
