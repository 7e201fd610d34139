"""Saturating repeats: pools add up as data, not as exponents (after arXiv 2605.12715).

    y = d + (start - d) (1 + D / n0)^b exp(harm * W)
    D = (sum_i w_i (q_i n r'_i / r_i)^m)^(1/m),       r_i = n / M_i passes over pool i
    r'_i = r_i while r_i <= 1, then 1 + R_i (1 - e^(-(r_i - 1) / R_i)),   R_i = tau_i / ln 2
    W = sum_i w_i ln(r_i / r'_i)

One `b` for all pools; a pool differs by its quality `q_i`, the number of samples of the first pool that one
of its own is worth, so that curves of fresh pools are the same curve, moved along ln n. How pools add up is
`mixing`, m: at 1, as that paper has it, a pool of noise (q = 0) costs its share of the samples and nothing
more; towards 0 the mean becomes geometric, and noise spoils what the others teach. Runs on mixes tell m; on
probes of real pairs with wrong captions it came out near 0.3 (`docs/log.md`). All curves begin at `start`
(`bounded.py`). The last factor is the over-training term, in a form of our own: samples that no longer teach
make the error worse, by `harm` for each factor e that is wasted. Drawn with replacement, the expectation of
`r'` stands in its place.
"""

import numpy as np

from thresher.planning.laws.baselines import constrained_exposure, expected_constrained_exposure
from thresher.planning.laws.law import (
    Design,
    Floats,
    Law,
    LogExcessError,
    Parameters,
    stretched,
)

_LEAST_MIXING = 0.02
"""So near to 0 the mean is geometric."""


def fall(_: Law, parameters: Parameters, of: Design) -> LogExcessError:
    """`ln (y - d)` of the module's docstring and its slopes."""
    interval = of.interval
    half_life, log_stretch = stretched(parameters, of, interval)
    samples = of.samples_seen[..., None]
    worn = constrained_exposure(samples, interval, half_life, parameters.shared["tail"][..., None])
    log_worth, by_log_tau, by_tail = worn.value, worn.by_log_tau, worn.by_tail
    if of.replacement is not None:
        poisson = expected_constrained_exposure(samples, interval, half_life)
        log_worth, by_log_tau, by_tail = (
            np.where(of.replacement[..., None], *pair)
            for pair in (
                (poisson.value, log_worth),
                (poisson.by_log_tau, by_log_tau),
                (poisson.by_tail, by_tail),
            )
        )
    active_P = of.weights > 0
    wasted = np.where(active_P, np.log(samples) - log_worth, 0.0)
    mixing = np.maximum(parameters.shared["mixing"], _LEAST_MIXING)
    log_parts = np.where(active_P, np.log(parameters.worth_P) + log_worth, 0.0)
    most = np.where(active_P, log_parts, -np.inf).max(-1, keepdims=True)
    powers = np.where(active_P, of.weights * np.exp(mixing[..., None] * (log_parts - most)), 0.0)
    total = powers.sum(-1)
    log_data = np.log(total) / mixing + most[..., 0]
    of_total = powers / total[..., None]
    data = np.exp(log_data)
    n0, d, start = (parameters.shared[name] for name in ("n0", "d", "start"))
    rises = data / (n0 + data)
    share = of_total * rises[..., None]
    by_mixing = rises * ((of_total * log_parts).sum(-1) - log_data) / mixing
    b, harm = parameters.shared["b"], parameters.shared["harm"]
    log_ratio = np.log1p(data / n0)
    waste = (of.weights * wasted).sum(-1)
    by_worth = b[..., None] * share - harm[..., None] * of.weights
    by_tau = by_worth * by_log_tau
    above = np.maximum(start - d, np.finfo(float).tiny)
    shared: dict[str, Floats] = {
        "start": start / above,
        "d": -1.0 / above,
        "n0": -b * rises,
        "b": log_ratio,
        "gamma": (by_tau * log_stretch).sum(-1),
        "tail": (by_worth * by_tail).sum(-1),
        "harm": waste,
        "mixing": b * by_mixing,
    }
    return LogExcessError(np.log(above) + b * log_ratio + harm * waste, shared, b[..., None] * share, by_tau)


LAW = Law(
    name="saturating",
    shared=("start", "n0", "d", "gamma", "tail", "b", "harm", "mixing"),
    worth="quality",
    fall=fall,
    about="Pools add up as data of different quality, and the worth of repeats saturates.",
)
