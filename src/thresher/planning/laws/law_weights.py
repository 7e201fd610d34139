"""Which law: every law fitted to some runs and judged by others, which it has not seen.

In-sample residuals favour the law that bends most. What a plan needs is a law that predicts a larger budget,
so the longest runs of each pool (or mix) are held out, and a law gains the factor `(noise^2 + mean square
error there)^(-G/2)`, the likelihood of G pools' errors whose common scale is unknown, one for each pool or
mix as runs on the same pool err together. The density under the law's own doubt would not do: a wrong law is
often a sure one.

Check runs, which no fit has seen, count in the same way, as two groups. The third factor is the evidence of
all runs, which pays for every parameter; with few runs a pool, as probes are, it tells laws apart that the
longest runs alone cannot. It is bounded, so that the runs held out and the check runs can overrule it. Laws
with a negligible share are left out. Measured on planted worlds in `benchmarks/regret.py` and
`calibration.py`.

In a table of models of many sizes the longest runs are those of the largest model, which say nothing about
another one, and what a plan wants to know is what more passes do. There the quarter of the settings that
repeat most is held out instead. Errors on them are of all kinds, and laws that are near copies of each other
would outvote one that differs; so laws are not weighed by how likely each is, but get the shares with which
they predict the held-out runs best together (stacking, arXiv 1704.02030): a copy adds nothing to a share,
and two laws that err on opposite sides stand half and half.

Axes: H runs that were held out, L laws.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from thresher.errors import InputError
from thresher.planning.laws.law import Floats, Law
from thresher.planning.laws.layout import design_of
from thresher.planning.laws.limits import USUAL_SPREAD, Spread
from thresher.planning.laws.problem import Problem, predictions, residuals
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.solve import Solution, Solved, solve_runs
from thresher.planning.runs.record import Run, is_loss, mix_unique, mix_weights, run_passes

AUTO = ("utility", "harmful", "effective-data", "data-constrained", "saturating", "bounded")
"""The laws that are weighed against each other; the power law joins where some pool was repeated."""
_LEAST_WEIGHT = 0.03
_LEAST_NOISE = 1e-4
_ENOUGH_LENGTHS = 3
_SAME_LENGTH = 1.1
"""Lengths within this factor count as one: 12.8B and 13.2B samples seen are the same budget."""
_WIDE_SD = 1.0
_RUNS_PER_POOL = 4.0
_MOST_EVIDENCE = 4.0
"""Nats by which evidence can speak for a law: a factor of 55, which runs held out can overrule."""
_NO_EVIDENCE = -1e300
_CHECK_GROUPS = 2.0
_PRIOR_RUNS, _PRIOR_NOISE = 2.0, 0.003
_HELD_SHARE = 0.25
_ENOUGH_SETTINGS = 10
"""Settings that must be held out: shares of seven laws are not told by fewer."""
_SUM_TO_ONE = 1e4
"""Weight of the row that makes shares sum to one, against rows of relative errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LawTrial:
    """What a law made of the longest runs.

    Attributes:
        mae: Mean absolute error on them, units of the error.
        mean_square: Of the residuals on them.
        noise: Standard deviation of a residual of the shorter runs.
        num_groups: Pools and mixes with held-out runs.
        ratio_H: Predicted over measured error of each of them, H runs.
        solved: The fit of the shorter runs.
    """

    mae: float
    mean_square: float
    noise: float
    num_groups: int
    ratio_H: Floats
    solved: Solved


def candidates(runs: Sequence[Run], fixed: Mapping[str, float]) -> tuple[str, ...]:
    """`AUTO`, without the harmful law where no run can show harm: it would be utility once more."""
    repeated = [run for run in runs if _passes(run) > 1.0]
    shows = "harm" in fixed or (bool(repeated) and all(run.final for run in repeated))
    return tuple(name for name in AUTO if shows or name != "harmful")


def hold_out(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Runs to fit and runs to judge by: the longest of every pool or mix that has runs of three lengths.

    Runs on subsamples of different size are different runs: what repeats most is held out with them. In a
    table of models of many sizes it is the quarter that repeats most.
    """
    repeated = most_repeated(runs)
    if repeated is not None:
        return repeated
    longest: dict[tuple[str, ...], int] = {}
    lengths_of: dict[tuple[str, ...], set[int]] = {}
    for run in runs:
        lengths_of.setdefault(_group(run), set()).add(run.samples_seen)
    for group, lengths in lengths_of.items():
        budgets = _budgets(lengths)
        if len(budgets) >= _ENOUGH_LENGTHS:
            longest[group] = budgets[-1]
    held = [run.samples_seen >= longest.get(_group(run), math.inf) for run in runs]
    shorter = [run for run, out in zip(runs, held, strict=True) if not out]
    return shorter, [run for run, out in zip(runs, held, strict=True) if out]


def try_law(
    law: Law,
    runs: Sequence[Run],
    pools: Sequence[str],
    fixed: Mapping[str, float],
    own: Sequence[str] = (),
    *,
    spread: Spread = USUAL_SPREAD,
) -> LawTrial | None:
    """Fit a law to the shorter runs and judge it by the longest; None where no runs can be held out."""
    shorter, longest = hold_out(runs)
    if not longest or {pool for run in shorter for pool in mix_weights(run)} != set(pools):
        return None
    solved = solve_runs(law, shorter, pools, fixed, own, spread=spread)
    return _judge(*solved, longest)


def weights_of(
    trials: Mapping[str, LawTrial | None],
    evidence: Mapping[str, float],
    checks: Mapping[str, float],
    noise: float,
) -> dict[str, float]:
    """Share of each law in the predictions, largest first; those below 3% are left out.

    Args:
        trials: What each law made of the longest runs; None where it could not be tried.
        evidence: `log_evidence` of each law that can be fitted to all runs.
        checks: Mean square of the residuals of the check runs, by law, where there are some.
        noise: Standard deviation of a residual of a run.
    """
    tried = {name: trial for name in evidence if (trial := trials[name]) is not None}
    most = max(evidence.values())
    logs = {
        name: -_MOST_EVIDENCE * math.tanh((most - value) / _MOST_EVIDENCE) for name, value in evidence.items()
    }
    if len(tried) == len(evidence):
        least = max(_LEAST_NOISE, min(trial.noise for trial in tried.values()))
        for name, trial in tried.items():
            logs[name] -= trial.num_groups / 2 * math.log(least**2 + trial.mean_square)
    for name, square in checks.items():
        logs[name] -= _CHECK_GROUPS / 2 * math.log(max(_LEAST_NOISE, noise) ** 2 + square)
    most = max(logs.values())
    return _sorted_shares({name: math.exp(value - most) for name, value in logs.items()})


def stacked_weights(trials: Mapping[str, LawTrial | None], runs: Sequence[Run]) -> dict[str, float] | None:
    """As `weights_of`, for a table of models of many sizes; None for any other, or where no law was tried."""
    split = most_repeated(runs)
    ratios = {name: trial.ratio_H for name, trial in trials.items() if trial is not None}
    return None if split is None or not ratios else _sorted_shares(stacked(ratios, split[1]))


def _sorted_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares that sum to 1, largest first, without those below 3%."""
    total = sum(shares.values())
    kept = {name: share / total for name, share in shares.items() if share / total >= _LEAST_WEIGHT}
    total = sum(kept.values())
    return {name: kept[name] / total for name in sorted(kept, key=lambda name: -kept[name])}


def log_evidence(problem: Problem, solution: Solution) -> float:
    """Log of the density that a law gave to the runs before any was seen, by Laplace's approximation.

    The noise is integrated out under an inverse-gamma prior worth two runs of three parts in a thousand;
    parameters without a prior of their own get a wide one here, the same in all laws. Many runs on a pool
    count as four do: what a wrong law misses it misses in all of them alike.
    """
    found = residuals(problem, solution.coordinates_X[None])
    free = problem.free_X
    sd_F, about_XX = problem.limits.prior_sd_X[free], problem.limits.about_XX
    off_F = (about_XX @ solution.coordinates_X - problem.limits.prior_mean_X)[
        free
    ] / sd_F  # 0 without a prior
    wide_F = np.where(np.isfinite(sd_F), sd_F, _WIDE_SD)
    count = found.runs.size
    squares = float((found.runs**2).sum()) + _PRIOR_RUNS * _PRIOR_NOISE**2
    variance = squares / (count + _PRIOR_RUNS)
    about_FF = about_XX[free][:, free]
    prior_FF = about_FF.T * wide_F**-2.0 @ about_FF
    precision_FF = found.by_free[0].T @ found.by_free[0] / variance + prior_FF
    log_volume = np.linalg.slogdet(precision_FF)[1] - np.linalg.slogdet(prior_FF)[1]
    likelihood = -(count + _PRIOR_RUNS) / 2 * math.log(squares)
    evidence = float(likelihood - (off_F**2).sum() / 2 - log_volume / 2)
    if not math.isfinite(evidence):  # a flat direction beyond the reach of a double
        return _NO_EVIDENCE
    return evidence * min(1.0, _RUNS_PER_POOL * len(problem.pools) / count)


def _budgets(lengths: Iterable[int]) -> list[int]:
    """The shortest of each lot of lengths that are about the same, rising."""
    budgets: list[int] = []
    for length in sorted(lengths):
        if not budgets or length > _SAME_LENGTH * budgets[-1]:
            budgets.append(length)
    return budgets


def _group(run: Run) -> tuple[str, ...]:
    return tuple(sorted(mix_weights(run)))


def _judge(problem: Problem, solution: Solution, longest: Sequence[Run]) -> LawTrial:
    predicted_H, error_H = _foretold(problem, solution, longest)
    return LawTrial(
        mae=float(np.abs(predicted_H - error_H).mean()),
        mean_square=_mean_square(predicted_H / error_H, problem, longest),
        noise=problem.noise,
        num_groups=len({_group(run) for run in longest}),
        ratio_H=predicted_H / error_H,
        solved=(problem, solution),
    )


def judge_checks(problem: Problem, solution: Solution, checks: Sequence[Run]) -> float:
    """Mean square of the residuals of runs that the fit has not seen."""
    predicted_H, error_H = _foretold(problem, solution, checks)
    return _mean_square(predicted_H / error_H, problem, checks)


def _foretold(problem: Problem, solution: Solution, runs: Sequence[Run]) -> tuple[Floats, Floats]:
    """Predicted and measured errors of runs that the fit has not seen, [H] each."""
    of = design_of(runs, problem.pools, sized=problem.num_params is not None)
    (predicted_H,), _ = predictions(replace(problem, design=of), solution.coordinates_X[None])
    return predicted_H, np.array([run.error for run in runs], float)


def _mean_square(ratio_H: Floats, problem: Problem, runs: Sequence[Run]) -> float:
    error_H = np.array([run.error for run in runs], float)
    mean = float(np.exp(problem.log_error_R.mean()))
    scale_H = np.ones_like(error_H) if is_loss(runs[0].metric) else error_H / mean
    return float(((np.log(ratio_H) * scale_H) ** 2).mean())


def registered(name: str) -> Law:
    """The law of that name.

    Raises:
        InputError: where there is none.
    """
    if name not in LAWS:
        raise InputError(f"there is no law {name!r}; choose one of auto, {', '.join(LAWS)}")
    return LAWS[name]


def most_repeated(runs: Sequence[Run]) -> tuple[list[Run], list[Run]] | None:
    """The runs that repeat less, and the quarter of the settings that repeats most.

    None where the models are all of one size, or where fewer than ten settings would be held out: then the
    longest runs are held out instead.
    """
    if len({run.params for run in runs} - {None}) < 2:
        return None
    settings = {_setting(run): _passes(run) for run in runs}
    cut = float(np.quantile(list(settings.values()), 1 - _HELD_SHARE))
    if cut <= 1 or sum(passes > cut for passes in settings.values()) < _ENOUGH_SETTINGS:
        return None
    return [run for run in runs if _passes(run) <= cut], [run for run in runs if _passes(run) > cut]


def stacked(ratio_of_law: Mapping[str, Floats], held: Sequence[Run]) -> dict[str, float]:
    """Shares that sum to 1, by name, with which laws together lie least off the held-out runs.

    Least squares of the relative error, seeds of one setting counted as one run.

    Args:
        ratio_of_law: Predicted over measured error of each held-out run, [H], by the name of the law.
        held: Those runs.
    """
    from scipy.optimize import nnls

    names = list(ratio_of_law)
    settings = [_setting(run) for run in held]
    weight_H = np.sqrt([1 / settings.count(setting) for setting in settings])
    ratio_HL = np.array([ratio_of_law[name] for name in names]).T
    rows = np.vstack([weight_H[:, None] * ratio_HL, np.full(len(names), _SUM_TO_ONE)])
    share_L, _ = nnls(rows, np.append(weight_H, _SUM_TO_ONE))
    return {name: float(share) for name, share in zip(names, share_L / share_L.sum(), strict=True)}


def _setting(run: Run) -> tuple[object, ...]:
    mix = tuple(sorted(mix_weights(run).items()))
    return mix, tuple(sorted(mix_unique(run).items())), run.samples_seen, run.params


def _passes(run: Run) -> float:
    """Over the pool that the run repeats most."""
    return max(run_passes(run).values())
