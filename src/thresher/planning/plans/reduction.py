"""What runs yet to be made would take of the doubt.

Candidate runs would measure `Y`, which each draw predicts; the plan depends on the errors `T` of the mixes at
the budgets, which each draw predicts as well. To first order measurements with noise `sigma` lower the
variance of a target by

    cov(T, Y) (cov(Y) + sigma^2 I)^-1 cov(Y, T)

which is V-optimal design (arXiv 2604.22753 writes it with the Jacobian of one fit; with draws it covers the
doubt between laws too, and what mixes may stray from all of them). What counts in the end is regret: for
every draw the measurements are simulated, the mixes' means are moved by the same linear rule, the best mix is
chosen anew, and its regret in that draw is noted.

Axes: S draws, B budgets, C candidate mixes, J runs made together.
"""

import numpy as np

from thresher.planning.laws.law import Floats


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
