"""The error that a law predicts for a mix of pools: any weights, pools of any size.

Pool i has `N_i` unique samples and is drawn with weight `w_i`, so it comes back every `M_i = N_i / w_i`
samples seen and has been repeated `floor(n / M_i)` times. Its half-life, measured on `N_ref_i` samples,
is then

    tau_i(M_i) = tau_i * (M_i / N_ref_i)^gamma               (gamma = 1: Theorem 1 of arXiv 2404.07177)

and the mix falls by `d ln(y - d) / d ln n = sum_i w_i b_i 2^(-floor(n / M_i) / tau_i(M_i))`. That sum is
linear in the pools, so its integral from the meeting point n0 is the weighted sum of the pools' own
integrals, each exact between its own pass boundaries. Derived in the paper for equal pools drawn
uniformly; for other weights it is an assumption, which check mixes test. A weight of zero contributes
nothing, and a pool split into random parts predicts what the whole does.

Axes: P pools (always last); all leading axes broadcast (draws, candidates, points).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thresher.laws.law import Floats, Law


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parameters:
    """Parameters of a law for P pools; leading axes hold draws.

    Attributes:
        A: Error above d at the meeting point, [...].
        n0: Samples seen at the meeting point, [...].
        d: Irreducible error, [...].
        gamma: Exponent of the half-life in the return interval, [...].
        b_P: Initial utility of each pool, [..., P], at most 0.
        tau_P: Half-life of each pool in passes, [..., P], at `num_unique_P` samples.
        num_unique_P: Pool size at which `tau_P` holds, [P].
    """

    A: Floats
    n0: Floats
    d: Floats
    gamma: Floats
    b_P: Floats
    tau_P: Floats
    num_unique_P: Floats


def parameter_names(pools: Sequence[str]) -> list[str]:
    """Names in the order of the Jacobian's last axis and of the bootstrap draws."""
    return ["A", "n0", "d", "gamma", *(f"b:{pool}" for pool in pools), *(f"tau:{pool}" for pool in pools)]


def predict(
    law: Law, parameters: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike
) -> Floats:
    """Predicted error, [...].

    Args:
        law: One of `LAWS`.
        parameters: Leading axes broadcast with those of the other arguments.
        samples_seen: [...], repeats counted.
        weights: [..., P], sampling weights that sum to 1.
        num_unique: [..., P], unique samples of each pool that the run draws from.
    """
    terms = _terms(law, parameters, samples_seen, weights, num_unique)
    return np.asarray(parameters.A * np.exp(terms.exponent) + parameters.d)


def predict_with_jacobian(
    law: Law, parameters: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike
) -> tuple[Floats, Floats]:
    """Predicted error [...] and its Jacobian [..., 4 + 2P].

    Columns: ln A, ln n0, d, gamma, then b and then ln tau of each pool (order of `parameter_names`).
    """
    terms = _terms(law, parameters, samples_seen, weights, num_unique)
    above = parameters.A * np.exp(terms.exponent)
    by_log_tau = terms.weighted_b * terms.by_log_tau
    by_exponent = np.concatenate(
        [
            np.ones_like(above)[..., None],
            -(terms.weighted_b * terms.by_log_n0).sum(-1)[..., None],
            np.zeros_like(above)[..., None],
            (by_log_tau * terms.log_stretch).sum(-1)[..., None],
            np.broadcast_to(terms.weights * terms.log_ratio, by_log_tau.shape),
            by_log_tau,
        ],
        axis=-1,
    )
    jacobian = by_exponent * above[..., None]
    jacobian[..., 2] = 1.0
    return above + parameters.d, jacobian


@dataclass(frozen=True, slots=True, eq=False)
class _Terms:
    """What the prediction and its slopes share; every array but `exponent` ends in the pool axis."""

    exponent: Floats
    weights: Floats
    weighted_b: Floats
    log_ratio: Floats
    by_log_tau: Floats
    by_log_n0: Floats
    log_stretch: Floats


def _terms(
    law: Law, parameters: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike
) -> _Terms:
    weights = np.asarray(weights, float)
    num_unique = np.asarray(num_unique, float)
    drawn = weights > 0
    interval = np.where(drawn, num_unique / np.where(drawn, weights, 1.0), np.inf)
    log_stretch = np.log(np.where(drawn, interval, parameters.num_unique_P) / parameters.num_unique_P)
    half_life = parameters.tau_P * np.exp(parameters.gamma[..., None] * log_stretch)
    now = law.log_exposure(np.asarray(samples_seen, float)[..., None], interval, half_life)
    n0 = parameters.n0[..., None]
    fresh = bool(
        (n0 <= interval.min()).all()
    )  # then E(n0) = ln n0, whatever tau: spares the draws a second sum
    start = law.log_exposure(
        n0, np.array(np.inf) if fresh else interval, np.array(1.0) if fresh else half_life
    )
    log_ratio = now.value - start.value
    weighted_b = weights * parameters.b_P
    return _Terms(
        exponent=(weighted_b * log_ratio).sum(-1),
        weights=weights,
        weighted_b=np.broadcast_to(weighted_b, np.broadcast_shapes(weighted_b.shape, log_ratio.shape)),
        log_ratio=log_ratio,
        by_log_tau=now.by_log_tau - start.by_log_tau,
        by_log_n0=start.by_log_samples,
        log_stretch=log_stretch,
    )
