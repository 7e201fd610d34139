"""How far a pool's true curve may lie from every law, away from the runs on it.

The draws of the laws hold the doubt about parameters. They are too sure of themselves where few runs chose
the law: two lengths of a pool fit many forms, and the one that is taken says nothing of the others. So each
pool may stray from the laws, smoothly, as a Gaussian process with few features would (Kennedy and O'Hagan's
model discrepancy, doi 10.1111/1467-9868.00294): its log error by

    sum_h beta_h phi_h(n, r),  phi = (l, l^2 / 2, ln(1 + r)),  l = ln(n / n_ref),  r passes over its samples

and a mix by the sum of its pools', weighted. The betas have zero means; the runs that were fitted narrow
them, so what is left grows with the distance from those runs. It moves no prediction: it tells what a run
is worth.

Axes: S draws, R runs, P pools, H features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thresher.laws.law import Floats
from thresher.laws.result import Laws
from thresher.runs import mix_unique, mix_weights

FEATURE_SD = (0.005, 0.005, 0.005)
"""Of a slope, a curvature and a wear that no law has, in log error; how they were set is in `docs/log.md`."""
_LEAST_NOISE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stray:
    """Draws of the betas.

    Attributes:
        beta_SPH: One for each draw, pool and feature.
        reference: `n_ref`, samples seen.
    """

    beta_SPH: Floats
    reference: float


def stray_of(laws: Laws, num_draws: int, *, seed: int = 0) -> Stray:
    """Draws of how the pools may stray from laws that know their runs; zeros for laws without runs."""
    runs, count = [point.run for point in laws.points], len(laws.pool_names)
    if not runs:
        return Stray(beta_SPH=np.zeros((num_draws, count, len(FEATURE_SD))), reference=1.0)
    reference = float(np.exp(np.mean([np.log(run.samples_seen) for run in runs])))
    names = laws.pool_names
    weights_RP = np.array([[mix_weights(run).get(name, 0.0) for name in names] for run in runs])
    unique_RP = np.array([[float(mix_unique(run).get(name, 1)) for name in names] for run in runs])
    seen_R = np.array([run.samples_seen for run in runs], float)
    error_R = np.array([run.error for run in runs])
    design_RX = _features(seen_R, weights_RP, unique_RP, reference).reshape(len(runs), -1)
    noise_R = max(laws.noise, _LEAST_NOISE) / error_R
    sd_X = np.tile(FEATURE_SD, count)
    known_XX = (design_RX / noise_R[:, None] ** 2).T @ design_RX + np.diag(sd_X**-2.0)
    root_XX = np.linalg.cholesky(np.linalg.inv(known_XX))
    drawn_SX = np.random.default_rng(seed).standard_normal((num_draws, sd_X.size))
    beta_SX = (drawn_SX - drawn_SX.mean(0)) @ root_XX.T
    return Stray(beta_SPH=beta_SX.reshape(num_draws, count, -1), reference=reference)


def deviations(stray: Stray, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike) -> Floats:
    """Relative deviation of the error in every draw, [S, ...].

    Args:
        stray: From `stray_of`.
        samples_seen: [...], repeats counted.
        weights: [..., P], sampling weights that sum to 1.
        num_unique: [..., P], unique samples of each pool.
    """
    features = _features(samples_seen, weights, num_unique, stray.reference)
    return np.asarray(np.einsum("...ph,sph->s...", features, stray.beta_SPH))


def _features(samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike, reference: float) -> Floats:
    """Weight times feature of every pool, [..., P, H]."""
    seen = np.asarray(samples_seen, float)[..., None]
    weights = np.asarray(weights, float)
    length = np.broadcast_to(np.log(seen / reference), weights.shape)
    passes = weights * seen / np.asarray(num_unique, float)
    return np.asarray(weights[..., None] * np.stack([length, length**2 / 2, np.log1p(passes)], -1))
