"""The power law `y = A * (n / n0)^b + d`, blind to repetition: the baseline that other laws must beat."""

import numpy as np

from thresher.planning.laws.law import Exposure, Floats, Law
from thresher.planning.laws.mix import exposure_differences, log_excess_error


def log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """`ln n`, whatever was repeated; its slope in the half-life is zero."""
    shape = np.broadcast_shapes(samples_seen.shape, interval.shape, half_life.shape)
    return Exposure(np.broadcast_to(np.log(samples_seen), shape), np.zeros(shape), np.ones(shape))


LAW = Law(
    name="power",
    shared=("A", "n0", "d", "gamma"),
    has_half_life=False,
    fall=log_excess_error,
    span=exposure_differences(log_exposure, log_exposure),
    about="A repeated sample is worth as much as a fresh one.",
)
