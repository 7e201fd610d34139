"""The doubt that the draws of the laws leave out, and what runs yet to be made would take of all doubt.

The draws hold the doubt about parameters. They are too sure of themselves where few runs chose the law: two
lengths of a pool fit many forms, and the one that is taken says nothing of the others. So each pool may
stray from the laws, smoothly, as a Gaussian process with few features would (Kennedy and O'Hagan's model
discrepancy, doi 10.1111/1467-9868.00294): its log error by

    sum_h beta_h phi_h(n, r),  phi = (l, l^2 / 2, ln(1 + r)),  l = ln(n / n_ref),  r passes over its samples

and a mix by the sum of its pools', weighted. The betas have zero means; the runs that were fitted narrow
them, so what is left grows with the distance from those runs. It moves no prediction: it tells what a run
is worth.

Candidate runs would measure `Y`, which each draw predicts; the plan depends on the errors `T` of the mixes at
the budgets, which each draw predicts as well. To first order measurements with noise `sigma` lower the
variance of a target by

    cov(T, Y) (cov(Y) + sigma^2 I)^-1 cov(Y, T)

which is V-optimal design (arXiv 2604.22753 writes it with the Jacobian of one fit; with draws it covers the
doubt between laws too). What counts in the end is regret: for every draw the measurements are simulated, the
mixes' means are moved by the same linear rule, the best mix is chosen anew, and its regret in that draw is
noted.

Axes: S draws, R runs, P pools, H features, B budgets, C candidate mixes, J runs made together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thresher.planning.laws.law import Floats
from thresher.planning.laws.result import Laws
from thresher.planning.runs.record import mix_unique, mix_weights

FEATURE_SD = (0.005, 0.005, 0.005)
"""Of a slope, a curvature and a wear that no law has, in log error; how they were set is in `docs/log.md`."""
_LEAST_NOISE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Discrepancy:
    """Draws of the betas.

    Attributes:
        beta_SPH: One for each draw, pool and feature.
        reference: `n_ref`, samples seen.
    """

    beta_SPH: Floats
    reference: float


def discrepancy_of(laws: Laws, num_draws: int, *, seed: int = 0) -> Discrepancy:
    """Draws of how the pools may stray from laws that know their runs; zeros for laws without runs."""
    runs, count = [point.run for point in laws.points], len(laws.pool_names)
    if not runs:
        return Discrepancy(beta_SPH=np.zeros((num_draws, count, len(FEATURE_SD))), reference=1.0)
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
    normal_SX = np.random.default_rng(seed).standard_normal((num_draws, sd_X.size))
    beta_SX = (normal_SX - normal_SX.mean(0)) @ root_XX.T
    return Discrepancy(beta_SPH=beta_SX.reshape(num_draws, count, -1), reference=reference)


def deviations(
    stray: Discrepancy, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike
) -> Floats:
    """Relative deviation of the error in every draw, [S, ...].

    Args:
        stray: From `discrepancy_of`.
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


def expected_reduction(target_BSC: Floats, run_SJ: Floats, noise: float) -> tuple[float, float]:
    """Expected relative fall of variance and fall of regret by runs made together, means over the budgets.

    The variance is that of the difference between the best mix and its rivals, 0 to 1 of it falls; regret is
    in units of the error.

    Args:
        target_BSC: What each draw predicts for the mixes at the budgets.
        run_SJ: What each draw predicts for the runs.
        noise: Standard deviation of one measurement.
    """
    falls = (
        [_reduction(target_SC, run_SJ, noise) for target_SC in target_BSC] if run_SJ.size else [(0.0, 0.0)]
    )
    variance_fall, regret_fall = (float(np.mean(column)) for column in zip(*falls, strict=True))
    return variance_fall, regret_fall


def _reduction(target_SC: Floats, run_SJ: Floats, noise: float) -> tuple[float, float]:
    """Expected relative fall of variance and fall of regret at one budget."""
    mean_C = target_SC.mean(0)
    off_SJ = run_SJ - run_SJ.mean(0)
    measured_JJ = off_SJ.T @ off_SJ / len(run_SJ) + noise**2 * np.eye(run_SJ.shape[1])
    spread_SC = target_SC - mean_C
    slope_JC = np.linalg.solve(measured_JJ, off_SJ.T @ spread_SC / len(run_SJ))
    best = int(mean_C.argmin())
    against_SC = spread_SC - spread_SC[:, [best]]
    rival_C = (against_SC**2).mean(0)
    against_JC = slope_JC - slope_JC[:, [best]]
    explained_C = (against_JC * (measured_JJ @ against_JC)).sum(0)
    chance_C = np.bincount(target_SC.argmin(1), minlength=mean_C.size) / len(run_SJ)
    chance_C[best] = 0.0
    weight = float((chance_C * rival_C).sum())
    variance_fall = float((chance_C * explained_C).sum()) / weight if weight > 0 else 0.0
    lowest_S = target_SC.min(1)
    before = float((target_SC[:, best] - lowest_S).mean())
    after = 0.0
    signs_SJ = np.where(np.random.default_rng(0).random(run_SJ.shape) < 0.5, -noise, noise)
    for noise_SJ in (signs_SJ, -signs_SJ):  # two points of the noise stand for its normal distribution
        moved_SC = mean_C + (off_SJ + noise_SJ) @ slope_JC
        chosen_S = moved_SC.argmin(1)
        after += float((target_SC[np.arange(len(run_SJ)), chosen_S] - lowest_S).mean()) / 2
    return variance_fall, before - after
