"""What a fit says about itself: one sentence a doubt, with the run or option that would settle it."""

import math
from collections.abc import Sequence

import numpy as np

from thresher.budget import format_count
from thresher.laws.interval import quantiles
from thresher.laws.law import Floats
from thresher.laws.limits import SHARED
from thresher.laws.problem import Problem, degrees_of_freedom, robust_deviation, to_natural
from thresher.laws.solve import Solution
from thresher.runs import Run

_AT_BOUND = 1e-4
"""Share of the range between its bounds within which a coordinate counts as sitting at one."""
_WIDE = 10.0
"""A half-life whose interval spans more than this factor is reported as loosely known."""
_SURE = 0.8
_OUTLIER_NOISES = 4.0
_SMALLEST_NOISE = 1e-3
_ENOUGH_POOLS = 3
_STRUCTURE_ERRORS = 3.0


def shared_status(problem: Problem, solution: Solution, fixed: Sequence[str]) -> list[str]:
    """Sentences about A, n0, d, gamma and the solver."""
    value = dict(zip(SHARED, to_natural(problem, solution.coordinates_X)[:4], strict=True))
    sentences = [f"{name} was held at {value[name]:.4g} by the caller, it has no interval." for name in fixed]
    if len(problem.pools) == 1 and not {"n0", "A"} & set(fixed):
        sentences.append(
            f"The meeting point is not identified by one pool: n0 was held at {format_count(value['n0'])}; "
            f"add runs on a second pool to share it."
        )
    if problem.law.has_half_life and not problem.gamma_shows and "gamma" not in fixed:
        sentences.append(
            "gamma was held at 1 (half-lives grow in proportion to pool size): no pool was repeated at two "
            "subsample sizes; run one pool on a quarter of its samples to measure it."
        )
    remedies = {
        ("A", -1): "check that errors are fractions of 1, or hold A",
        ("A", 1): "the pools' curves hardly spread; hold A or n0, or add shorter runs",
        ("n0", -1): "the curves meet far below the shortest run; add shorter runs or hold n0",
        ("n0", 1): "the curves cross inside the runs; add longer runs or hold n0",
        ("d", -1): "the runs show no floor; longer runs would, until then long budgets look too good",
        ("d", 1): "the longest runs have levelled off; hold d, or add a pool that goes lower",
        ("gamma", -1): "the half-life in passes does not depend on pool size here; add seeds",
        ("gamma", 1): "the runs at two sizes disagree; add seeds",
    }
    for index, name in enumerate(SHARED):
        side = _side(problem, solution, index)
        if side:
            bound = "lower" if side < 0 else "upper"
            sentences.append(f"{name} is at its {bound} bound {value[name]:.4g}: {remedies[name, side]}.")
    if not solution.converged:
        sentences.append("The solver stopped before it converged; add runs, or hold n0, A or d.")
    if degrees_of_freedom(problem, solution.coordinates_X) < 1:
        sentences.append("The parameters use up all runs, so the noise is hardly known; add runs or seeds.")
    return sentences


def pool_status(problem: Problem, solution: Solution, draws_SX: Floats, index: int) -> list[str]:
    """Sentences about b and tau of one pool."""
    pool, passes = problem.pools[index], float(problem.most_passes_P[index])
    sentences = []
    if int((problem.weights_RP[:, index] > 0).sum()) == 1:
        sentences.append(f"b of {pool} rests on one run; add a run of another length.")
    at_b, at_tau = 4 + index, 4 + len(problem.pools) + index
    side = _side(problem, solution, at_b)
    if side > 0:
        sentences.append(f"b of {pool} is at its bound 0: it teaches nothing in these runs; train it longer.")
    elif side < 0:
        sentences.append(f"b of {pool} is at its bound {problem.limits.lower_X[at_b]:g}; check its errors.")
    if not problem.law.has_half_life:
        return sentences
    tau = math.exp(solution.coordinates_X[at_tau])
    longer = max(3, math.ceil(3 * passes), math.ceil(2 * min(tau, passes)))
    if not problem.free_X[at_tau]:
        sentences.append(
            f"The half-life of {pool} is not identified: its runs make at most {passes:.2g} passes over it "
            f"(assumed {tau:.2g} passes, between {tau / 4:.2g} and {tau * 4:.2g}); train it for at least "
            f"{longer} passes."
        )
        return sentences
    side = _side(problem, solution, at_tau)
    if side > 0:
        sentences.append(
            f"The half-life of {pool} is at its upper bound {tau:.3g}: no wear shows in {passes:.2g} passes; "
            f"train it for at least {longer} passes."
        )
    elif side < 0:
        sentences.append(
            f"The half-life of {pool} is at its lower bound {tau:.2g}: a second pass teaches nothing; add "
            f"runs of one and of two passes."
        )
    elif len(draws_SX):
        low, high = quantiles(np.exp(draws_SX[:, at_tau]))
        if high > _WIDE * low:
            sentences.append(
                f"The half-life of {pool} is loosely known, {low:.2g} to {high:.2g} passes; train it for at "
                f"least {longer} passes, or add seeds."
            )
    return sentences


def run_warnings(runs: Sequence[Run]) -> list[str]:
    """Sentences about runs that may not be comparable."""
    sentences = []
    unfinished = sum(run.final is False for run in runs)
    unknown = sum(run.final is None for run in runs)
    if unfinished:
        sentences.append(
            f"{unfinished} of {len(runs)} points are not end-of-training points (final is false); they are "
            f"too pessimistic, branch a cool-down at each measuring point."
        )
    if unknown:
        sentences.append(
            f"{unknown} of {len(runs)} points do not say whether training had ended (no `final`); errors "
            f"from the middle of a schedule are too pessimistic, and the plan with them."
        )
    if len({run.recipe for run in runs}) > 1:
        sentences.append("Some runs name no recipe; the fit takes them to be of the same one, label them.")
    return sentences


def outlier_warnings(problem: Problem, solution: Solution, runs: Sequence[Run]) -> list[str]:
    """Sentences about runs far off the fit, which the robust loss counts less."""
    freedom = degrees_of_freedom(problem, solution.coordinates_X)
    limit = _OUTLIER_NOISES * max(robust_deviation(solution.residual_R, freedom), _SMALLEST_NOISE)
    return [
        f"Run {run.run or row + 1} ({run.samples_seen} samples seen, error {run.error:.4g}) lies "
        f"{100 * abs(math.expm1(-solution.residual_R[row])):.1f}% off the fit; measure it again."
        for row, run in enumerate(runs)
        if abs(solution.residual_R[row]) > limit
    ]


def structure_warnings(problem: Problem, solution: Solution) -> list[str]:
    """A sentence where the shortest or the longest runs of all pools lie off the fit to the same side."""
    sentences = []
    rows_of_pools = [np.flatnonzero(weights_R > 0) for weights_R in problem.weights_RP.T]
    for which, pick in (("shortest", np.argmin), ("longest", np.argmax)):
        ends = {int(rows[pick(problem.samples_R[rows])]) for rows in rows_of_pools if rows.size > 2}
        off = -solution.residual_R[sorted(ends)]
        if off.size < _ENOUGH_POOLS:
            continue
        error_of_mean = max(float(off.std(ddof=1)), _SMALLEST_NOISE) / math.sqrt(off.size)
        if abs(off.mean()) > _STRUCTURE_ERRORS * error_of_mean:
            side = "above" if off.mean() > 0 else "below"
            remedy = "runs that end inside the warm-up do not follow the law, leave them out"
            if which == "longest":
                remedy = "the law does not bend as the runs do, trust it less beyond them"
            sentences.append(
                f"The {which} runs lie {100 * abs(off.mean()):.2g}% {side} the fit in {off.size} pools: "
                f"{remedy}."
            )
    return sentences


def order_warnings(problem: Problem, solution: Solution, draws_SX: Floats) -> list[str]:
    """Sentences for neighbours in score order of which the lower-scored one learns faster."""
    sentences = []
    coordinates_SX = draws_SX if len(draws_SX) else solution.coordinates_X[None]
    for index in range(len(problem.pools) - 1):
        better, worse = problem.pools[index], problem.pools[index + 1]
        b_better, b_worse = solution.coordinates_X[4 + index], solution.coordinates_X[5 + index]
        share = float((coordinates_SX[:, 5 + index] < coordinates_SX[:, 4 + index]).mean())
        if b_worse < b_better and share >= _SURE:
            sentences.append(
                f"Order of score is not order of utility: {worse} (b {b_worse:.3g}) teaches more than "
                f"{better} (b {b_better:.3g}), which scores higher; look at the pairs of {better}."
            )
    return sentences


def _side(problem: Problem, solution: Solution, index: int) -> int:
    """-1 or 1 where a free coordinate sits at its lower or upper bound, else 0."""
    if not problem.free_X[index]:
        return 0
    lower, upper = problem.limits.lower_X[index], problem.limits.upper_X[index]
    near = _AT_BOUND * (upper - lower)
    value = solution.coordinates_X[index]
    return -1 if value - lower < near else int(upper - value < near)
