"""The error that a law predicts for a mix of pools: any weights, pools of any size.

Pool i has `N_i` unique samples and is drawn with weight `w_i`, so it comes back every `M_i = N_i / w_i`
samples seen and has been repeated `floor(n / M_i)` times. Its half-life, measured on `N_ref_i` samples,
is then

    tau_i(M_i) = tau_i * (M_i / N_ref_i)^gamma               (gamma = 1: Theorem 1 of arXiv 2404.07177)

and alone, in that interval, it would make `ln(y - d)` fall by `f_i = b_i (E_i(n) - E_i(n0))`. How pools add
up is the parameter `mixing`, m:

    fall = -(1 / k) ln sum_i w_i e^(-k f_i),    k = m / sum_i w_i |b_i|

With m = 0 the mix falls by the mean `sum_i w_i f_i`, the rule that the paper derives for equal pools drawn
uniformly (Theorem 1): utilities add up, and noise spoils what the others teach. With m = 1 pools add up as
data do (arXiv 2605.12715): for pools of one b, `e^(-f_i / b)` is what pool i is worth in samples, and noise
costs its share of the samples and nothing more. Runs on mixes tell m. A weight of zero contributes nothing,
and a pool split into random parts predicts what the whole does.

A law with `harm` c takes the worth `(1 + c) h - c` in place of `h`: it ends below zero, where a repetition
makes the error worse, and its integral is `(1 + c) E - c ln n`.
"""

import functools
from typing import NamedTuple

import numpy as np

from thresher.planning.laws.law import (
    Design,
    ExposureDifference,
    Floats,
    Law,
    LogExcessError,
    LogExposure,
    Parameters,
    SpanOf,
    stretched,
)

_LEAST_STEEPNESS = 1e-4
"""Of a mix that hardly learns, for which how its pools add up cannot matter."""
_SMALL = 1e-4
"""Below it two terms of the series in k are exact to 1e-9."""


def exposure_differences(exact: LogExposure, expected: LogExposure) -> SpanOf:
    """`E(n) - E(n0)` from `E` for exact passes and from its expectation under Poisson exposures."""

    def span(
        samples: Floats,
        n0: Floats,
        interval: Floats,
        half_life: Floats,
        replacement: np.ndarray | None,
        *tail: Floats,
    ) -> ExposureDifference:
        if (n0 <= interval.min()).all():  # then E(n0) = ln n0 whatever tau, and draws are spared a second sum
            now = exact(samples, interval, half_life, *tail)
            whole = ExposureDifference(now.value - np.log(n0), now.by_log_tau, np.asarray(-1.0), now.by_tail)
        else:
            whole = _difference(exact, samples, n0, interval, half_life, *tail)
        if replacement is None:
            return whole
        poisson = _difference(expected, samples, n0, interval, half_life)
        of_pools = replacement[..., None]
        return ExposureDifference(*(np.where(of_pools, *pair) for pair in zip(poisson, whole, strict=True)))

    return span


def _difference(exposure: LogExposure, samples: Floats, n0: Floats, *wear: Floats) -> ExposureDifference:
    now, start = exposure(samples, *wear), exposure(n0, *wear)
    return ExposureDifference(
        now.value - start.value,
        now.by_log_tau - start.by_log_tau,
        -np.asarray(start.by_log_samples),
        now.by_tail - start.by_tail,
    )


def log_excess_error(law: Law, parameters: Parameters, of: Design) -> LogExcessError:
    """`ln A` and the fall of the mix, and slopes."""
    assert law.span is not None
    interval = of.interval
    half_life, log_stretch = stretched(parameters, of, interval)
    samples, n0 = of.samples_seen[..., None], parameters.shared["n0"][..., None]
    tail = [parameters.shared["tail"][..., None]] if "tail" in law.shared else []
    b_P = parameters.worth_P
    value, by_log_tau, by_log_n0, by_tail = law.span(samples, n0, interval, half_life, of.replacement, *tail)
    harmed = np.zeros(())
    if "harm" in law.shared:
        harm = parameters.shared["harm"][..., None]
        harmed = b_P * (value - np.log(samples / n0))
        value = value + harm * (value - np.log(samples / n0))
        by_log_tau, by_log_n0 = (1 + harm) * by_log_tau, (1 + harm) * by_log_n0 + harm
    mean = _mean_fall(b_P * value, of.weights, b_P, parameters.shared["mixing"])
    share = mean.by_fall
    by_tau = share * b_P * by_log_tau
    shared: dict[str, Floats] = {
        "n0": _dot(share, b_P * by_log_n0),
        "gamma": _dot(by_tau, log_stretch),
        "mixing": mean.by_mixing,
    }
    if "harm" in law.shared:
        shared["harm"] = _dot(share, harmed)
    if "tail" in law.shared:
        shared["tail"] = _dot(share, b_P * by_tail)
    if "start" in law.shared:
        start = parameters.shared["start"]
        above = np.maximum(start - parameters.shared["d"], np.finfo(float).tiny)
        shared["start"], shared["d"] = start / above, -1.0 / above
        first = np.log(above)
    else:
        shared["A"] = np.ones(())
        first = np.log(parameters.shared["A"])
    return LogExcessError(first + mean.value, shared, share * value + mean.by_b, by_tau)


class _MeanFall(NamedTuple):
    """The fall of a mix [...] and its slopes in those of its pools [..., P], their b and the mixing."""

    value: Floats
    by_fall: Floats
    by_b: Floats
    by_mixing: Floats


def _mean_fall(fall: Floats, weights: Floats, b_P: Floats, mixing: Floats) -> _MeanFall:
    """`-(1 / k) ln sum_i w_i e^(-k f_i)` with `k = m / B`, and `sum_i w_i f_i` as k goes to 0."""
    if weights.shape[-1] == 1:  # each run is on one pool, which is its own mean
        return _MeanFall(fall[..., 0], weights, np.zeros(()), np.zeros(()))
    fall, weights, b_P = np.broadcast_arrays(fall, weights, b_P)
    drawn = weights > 0
    all_drawn = drawn.all()
    fall = fall if all_drawn else np.where(drawn, fall, 0.0)
    arithmetic = _dot(weights, fall)
    steepness = np.maximum(_dot(weights, np.abs(b_P)), _LEAST_STEEPNESS)
    k = mixing / steepness
    off = fall - arithmetic[..., None]
    exponent = -k[..., None] * off
    if not all_drawn:
        off[~drawn] = 0.0
        exponent[~drawn] = -np.inf
    most = _largest(exponent)
    small = np.maximum(most, k * _largest(off)) < _SMALL
    exponent -= most[..., None]
    share = weights * np.exp(exponent, out=exponent)
    total = _sum(share)
    share /= total[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):  # where k is 0, which is small
        value = arithmetic - (np.log(total) + most) / k
        by_k = (_dot(share, off) - (value - arithmetic)) / k
    if small.any():
        variance = _dot(weights, off**2)
        value = np.where(small, arithmetic - k * variance / 2, value)
        by_k = np.where(small, -variance / 2, by_k)
        share = np.where(small[..., None], weights * (1 - k[..., None] * off), share)
    by_steepness = np.where(steepness > _LEAST_STEEPNESS, -by_k * k / steepness, 0.0)
    return _MeanFall(value, share, by_steepness[..., None] * weights * np.sign(b_P), by_k / steepness)


def _sum(values_P: Floats) -> Floats:
    """Over the last axis, which is short: numpy's own sums and maxima are slow there."""
    return np.asarray(np.einsum("...p->...", values_P))


def _dot(left_P: Floats, right_P: Floats) -> Floats:
    return np.asarray(np.einsum("...p,...p->...", left_P, right_P))


def _largest(values_P: Floats) -> Floats:
    return np.asarray(functools.reduce(np.maximum, np.moveaxis(values_P, -1, 0)))
