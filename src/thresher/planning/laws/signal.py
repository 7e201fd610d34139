"""Do the runs hold anything to decide on? Whether they left chance, and whether their pools differ.

A law is fitted twice: with pools that may differ as pools usually do, and with pools that are all alike. If
the second leaves residuals that are hardly larger, the runs do not tell the pools apart. The ratio follows
Fisher's F distribution where they are alike,

    F = (squares_alike - squares) / k / (squares / freedom)

k the parameters that the pools have of their own, as far as the runs settle them. What the pools show beyond
that noise, `max(0, 1 - 1/F)` of the variance between them, is how widely they are taken to lie around their
mean (the estimate of James and Stein): pools that the runs do not tell apart are fitted as one.

An error has left chance where the longest runs lie below that of guessing, beyond the noise and by a
fiftieth of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Floats, Law
from thresher.planning.laws.limits import NO_SPREAD, USUAL_SPREAD, Spread
from thresher.planning.laws.problem import USUAL_NOISE, Problem, degrees_of_freedom
from thresher.planning.laws.solve import Solution, solve_runs
from thresher.planning.runs.record import Run, mix_pool_samples, mix_unique, mix_weights
from thresher.tables import percent

ALIKE = 0.02
"""Chance of an F as large among pools that are alike, above which they are not told apart."""
_ENOUGH_FREEDOM = 3.0
"""Degrees of freedom up to which a usual noise fills up what too few runs measure."""
_LEAST_FALL, _NOISES = 0.02, 3.0
"""How far an error has to lie below that of guessing: as a share of it, and in standard errors."""
_LEAST_SPREAD, _MOST_SPREAD = 0.002, 3.0
"""As shares of what is usual."""
_WIDER = 2.0
"""The spread of what was fitted under a prior is less than that of the pools."""
_LEAST_MEAN_B = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What the runs tell beyond their noise.

    Attributes:
        alike: Chance that pools which are alike would differ as much; None where there is one pool.
        left_chance: Whether the longest runs are better than guessing; None where its error is not known.
    """

    alike: float | None = None
    left_chance: bool | None = None


def nothing_in(signal: Signal) -> str | None:
    """Why the runs hold nothing to decide on, with the remedy; None where they do."""
    if signal.left_chance is False:
        return (
            "the probes have not left chance, their errors are those of guessing. Make them longer "
            "(`thresher probe` with a larger --scale), or measure on a set with fewer classes."
        )
    if signal.alike is not None and signal.alike > ALIKE:
        return (
            "the runs do not tell the pools apart (pools that are alike would differ as much with chance "
            f"{percent(signal.alike, 0)}). Add seeds (`thresher probe --seed 0 --seed 1`) or longer runs (a "
            "larger --scale), or cut the pools at other edges."
        )
    return None


def signal_of(
    law: Law, runs: Sequence[Run], pools: Sequence[str], held: Mapping[str, float]
) -> tuple[Signal, Spread]:
    """Whether the pools of runs differ, and how widely they lie around their mean."""
    own = solve_runs(law, runs, pools, held, ())
    if len(pools) < 2:
        return Signal(left_chance=left_chance(runs, own[0].noise)), USUAL_SPREAD
    same = solve_runs(law, runs, pools, held, (), spread=NO_SPREAD, near=own)
    freedom, freedom_alike = (
        degrees_of_freedom(problem, solution.coordinates_X) for problem, solution in (own, same)
    )
    k = max(len(pools) - 1.0, freedom_alike - freedom)
    squares, squares_alike, freedom = _squares(
        own[1].residual_R, same[1].residual_R, _cells(runs), freedom, k
    )
    filled = max(0.0, _ENOUGH_FREEDOM - freedom)
    variance = (squares + filled * USUAL_NOISE**2) / (freedom + filled)
    F = max(0.0, squares_alike - squares) / k / max(variance, np.finfo(float).tiny)
    from scipy.special import fdtrc  # slow to load, and only a fit needs it

    shown = max(0.0, 1.0 - 1.0 / F) if F > 0 else 0.0
    alike = float(f"{fdtrc(k, freedom + filled, F):.6g}")
    return Signal(alike=alike, left_chance=left_chance(runs, math.sqrt(variance))), _spread(*own, shown)


def _cells(runs: Sequence[Run]) -> NDArray[np.intp]:
    """Number of the setting of each run, [R]: its length, the share of its pools, and how many pools."""
    settings = [
        (
            run.samples_seen,
            round(math.log(sum(mix_unique(run).values()) / sum(mix_pool_samples(run).values())), 2),
            len(mix_weights(run)),
        )
        for run in runs
    ]
    order = {setting: number for number, setting in enumerate(dict.fromkeys(settings))}
    return np.array([order[setting] for setting in settings])


def _squares(
    own_R: Floats, same_R: Floats, cell_R: NDArray[np.intp], freedom: float, k: float
) -> tuple[float, float, float]:
    """Squares of the residuals with and without differences of pools, and the degrees of freedom.

    Where pools were run in the same settings, the mean of a setting is taken off: a bend of all curves that
    the law does not follow is no noise.
    """
    count = np.bincount(cell_R)
    shared_R = count[cell_R] > 1
    left = float(shared_R.sum() - (count > 1).sum()) - k
    if left < min(freedom, _ENOUGH_FREEDOM):
        return float((own_R**2).sum()), float((same_R**2).sum()), freedom
    squares = []
    for residual_R in (own_R, same_R):
        mean = np.bincount(cell_R, residual_R) / count
        squares.append(float(((residual_R - mean[cell_R])[shared_R] ** 2).sum()))
    return squares[0], squares[1], left


def _spread(problem: Problem, solution: Solution, shown: float) -> Spread:
    """How widely the pools lie around their mean, of which the share `shown` is not noise."""
    b_P: Floats = solution.coordinates_X[problem.layout.worths]
    deviation = _WIDER * math.sqrt(shown) * float(b_P.std(ddof=1))
    # A pool is worth q samples of another where `q^b = e^((b_i - b) ln (n / n0))`.
    log_n = float(
        np.log(problem.design.samples_seen).max() - solution.coordinates_X[problem.layout.place("n0")]
    )
    log_quality = deviation * log_n / max(float(np.abs(b_P.mean())), _LEAST_MEAN_B)
    usual = USUAL_SPREAD
    return Spread(
        b=usual.b * _within(deviation / usual.b, _MOST_SPREAD),
        log_quality=usual.log_quality * _within(log_quality / usual.log_quality, _MOST_SPREAD),
        log_half_life=usual.log_half_life * _within(math.sqrt(shown), 1.0),
    )


def _within(factor: float, most: float) -> float:
    return min(max(factor, _LEAST_SPREAD), most)


def left_chance(runs: Sequence[Run], noise: float) -> bool | None:
    """Whether the longest runs of some pool are better than guessing; `noise` is that of a log error."""
    chance = chance_of(runs)
    if chance is None:
        return None
    longest: dict[tuple[str, ...], int] = {}
    for run in runs:
        group = tuple(mix_weights(run))
        longest[group] = max(longest.get(group, 0), run.samples_seen)
    for group, length in longest.items():
        ends = [run.error for run in runs if tuple(mix_weights(run)) == group and run.samples_seen == length]
        mean = float(np.mean(ends))
        if chance - mean > max(_LEAST_FALL * chance, _NOISES * noise * mean / math.sqrt(len(ends))):
            return True
    return False


def chance_of(runs: Sequence[Run]) -> float | None:
    """The error of guessing, the largest that a run tells; None where none does."""
    return max((run.chance_error for run in runs if run.chance_error is not None), default=None)
