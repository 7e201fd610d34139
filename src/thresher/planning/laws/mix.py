"""The error that a law predicts for a mix of pools: any weights, pools of any size.

Pool i has `N_i` unique samples and is drawn with weight `w_i`, so it comes back every `M_i = N_i / w_i`
samples seen and has been repeated `floor(n / M_i)` times. Its half-life, measured on `N_ref_i` samples,
is then

    tau_i(M_i) = tau_i * (M_i / N_ref_i)^gamma               (gamma = 1: Theorem 1 of arXiv 2404.07177)

and the mix falls by `d ln(y - d) / d ln n = sum_i w_i b_i h_i(n)`, where `h_i` is what a sample of pool i is
worth then, 1 while it is fresh. That sum is linear in the pools, so its integral from the meeting point n0
is the weighted sum of the pools' own integrals, each exact between its own pass boundaries. Derived in the
paper for equal pools drawn uniformly; for other weights it is an assumption, which check mixes test. A
weight of zero contributes nothing, and a pool split into random parts predicts what the whole does.

A law with `harm` c takes the worth `(1 + c) h - c` in place of `h`: it ends below zero, where a repetition
makes the error worse, and its integral is `(1 + c) E - c ln n`.
"""

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


def exposure_differences(exact: LogExposure, expected: LogExposure) -> SpanOf:
    """`E(n) - E(n0)` from `E` for exact passes and from its expectation under Poisson exposures."""

    def span(
        samples: Floats, n0: Floats, interval: Floats, half_life: Floats, replacement: np.ndarray | None
    ) -> ExposureDifference:
        if (n0 <= interval.min()).all():  # then E(n0) = ln n0 whatever tau, and draws are spared a second sum
            now = exact(samples, interval, half_life)
            whole = ExposureDifference(now.value - np.log(n0), now.by_log_tau, np.asarray(-1.0))
        else:
            whole = _difference(exact, samples, n0, interval, half_life)
        if replacement is None:
            return whole
        poisson = _difference(expected, samples, n0, interval, half_life)
        of_pools = replacement[..., None]
        return ExposureDifference(*(np.where(of_pools, *pair) for pair in zip(poisson, whole, strict=True)))

    return span


def _difference(
    exposure: LogExposure, samples: Floats, n0: Floats, interval: Floats, half_life: Floats
) -> ExposureDifference:
    now, start = exposure(samples, interval, half_life), exposure(n0, interval, half_life)
    return ExposureDifference(
        now.value - start.value, now.by_log_tau - start.by_log_tau, -np.asarray(start.by_log_samples)
    )


def log_excess_error(law: Law, parameters: Parameters, of: Design) -> LogExcessError:
    """`ln A + sum_i w_i b_i (E_i(n) - E_i(n0))` and its slopes."""
    assert law.span is not None
    interval = of.interval
    half_life, log_stretch = stretched(parameters, of, interval)
    samples, n0 = of.samples_seen[..., None], parameters.shared["n0"][..., None]
    span = law.span(samples, n0, interval, half_life, of.replacement)
    weighted_b = of.weights * parameters.worth_P
    shared: dict[str, Floats] = {}
    value, by_log_tau, by_log_n0 = span
    if "harm" in law.shared:
        harm = parameters.shared["harm"][..., None]
        unworn = np.log(samples / n0)
        shared["harm"] = (weighted_b * (value - unworn)).sum(-1)
        value = value + harm * (value - unworn)
        by_log_tau, by_log_n0 = (1 + harm) * by_log_tau, (1 + harm) * by_log_n0 + harm
    by_tau = weighted_b * by_log_tau
    shared["n0"] = (weighted_b * by_log_n0).sum(-1)
    shared["gamma"] = (by_tau * log_stretch).sum(-1)
    total = (weighted_b * value).sum(-1)
    if "start" in law.shared:
        start = parameters.shared["start"]
        above = np.maximum(start - parameters.shared["d"], np.finfo(float).tiny)
        shared["start"], shared["d"] = start / above, -1.0 / above
        total = np.log(above) + total
    else:
        shared["A"] = np.ones(())
        total = np.log(parameters.shared["A"]) + total
    return LogExcessError(total, shared, of.weights * value, by_tau)
