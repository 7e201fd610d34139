"""Warnings of a fit: one sentence for each doubt, with the run or option that would settle it."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from thresher.budget import format_count
from thresher.planning.laws.law import Floats
from thresher.planning.laws.layout import to_natural
from thresher.planning.laws.problem import Problem, degrees_of_freedom, robust_deviation
from thresher.planning.laws.profile import quantiles
from thresher.planning.laws.result import Laws
from thresher.planning.laws.solve import Solution
from thresher.planning.runs.record import Run, is_loss, mix_weights
from thresher.tables import decimal, error_text, gap_text, number, passes_text, percent

_AT_BOUND = 1e-4
"""Share of the range between its bounds within which a coordinate counts as sitting at one."""
_WIDE = 5.0
"""A half-life whose interval spans more than this factor is reported as loosely known: half of what the prior
alone spans, in logs (`limits.py`)."""
_MOST_SLIPS = 3
"""Runs off the fit that may each have been measured wrongly; more of them say something about the law."""
_SURE = 0.8
_IDLE_B = -1e-3
_OUTLIER_NOISES = 4.0
_SMALLEST_NOISE = 1e-3
_ENOUGH_POOLS = 3
_STRUCTURE_ERRORS = 3.0
_REMEDIES = {
    ("A", -1): "check that errors are fractions of 1, or hold A",
    ("A", 1): "the pools' curves hardly spread; hold A or n0, or add shorter runs",
    ("n0", -1): "the curves meet far below the shortest run; add shorter runs or hold n0",
    ("n0", 1): "the curves cross inside the runs; add longer runs or hold n0",
    ("d", -1): "the runs show no floor; longer runs would, until then long budgets look too good",
    ("d", 1): "the longest runs have levelled off; hold d, or add a pool that goes lower",
    ("gamma", -1): "the half-life in passes does not depend on pool size here; add seeds",
    ("gamma", 1): "the runs at two sizes disagree; add seeds",
}


def shared_status(problem: Problem, solution: Solution, fixed: Sequence[str]) -> list[str]:
    """Sentences about the shared parameters and the solver."""
    layout = problem.layout
    natural_X = to_natural(layout, solution.coordinates_X)
    value = {name: float(natural_X[place]) for place, name in enumerate(layout.shared)}
    sentences = [
        f"{name} was held at {number(value[name])} by the caller, it has no interval." for name in fixed
    ]
    if layout.own:
        sentences.append(
            f"Each pool has its own {' and '.join(layout.own)}, kept near a shared one by a weak prior; that "
            f"they average by weight in a mix is an assumption, test it with check runs on mixes."
        )
    one_curve = len(problem.pools) == 1 and layout.worth == "b" and "A" in value
    if one_curve and not {"n0", "A"} & set(fixed):
        sentences.append(
            f"The meeting point is not identified by one pool: n0 was held at {format_count(value['n0'])}; "
            f"add runs on a second pool to share it."
        )
    if problem.law.has_half_life and not problem.gamma_shows and "gamma" not in fixed:
        sentences.append(
            "gamma was held at 1 (half-lives grow in proportion to pool size): no pool was repeated at two "
            "subsample sizes; run one pool on a quarter of its samples to measure it."
        )
    if "mixing" in value and problem.assumed_X[layout.place("mixing")] and len(problem.pools) > 1:
        sentences.append(
            "How pools add up was assumed (mixing between 0 and 1): no run to fit is on a mix; give a run "
            "on all pools together the role fit."
        )
    for place, name in enumerate(layout.shared):
        side = _side(problem, solution, place)
        if side and (name, side) in _REMEDIES:
            bound = "lower" if side < 0 else "upper"
            sentences.append(
                f"{name} is at its {bound} bound {number(value[name])}: {_REMEDIES[name, side]}."
            )
    if not solution.converged:
        sentences.append("The solver stopped before it converged; add runs, or hold n0, A or d.")
    if degrees_of_freedom(problem, solution.coordinates_X) < 1:
        sentences.append("The parameters use up all runs, so the noise is hardly known; add runs or seeds.")
    return sentences


def choice_status(laws: Laws, *, automatic: bool, most_repeated: bool = False) -> list[str]:
    """Sentences about the choice of the law; empty where the caller named it.

    `most_repeated` says that the runs which repeat most were held out in place of the longest.
    """
    if not automatic:
        return []
    scores = {score.law: score for score in laws.comparison}
    best = scores[laws.best.law]
    if best.heldout_mae is None:
        return [
            f"The {best.law} law was taken untested: laws are told apart by runs of three lengths on each "
            f"pool; add longer runs."
        ]
    shares = ", ".join(
        f"{fit.law} {percent(weight, 0)}" for fit, weight in zip(laws.fits, laws.weights, strict=True)
    )
    off = gap_text(best.heldout_mae, is_loss(laws.metric))
    fitted, held = (
        ("runs that repeat less", "that repeat most") if most_repeated else ("shorter runs", "longest")
    )
    return [
        f"Fitted to the {fitted}, the {best.law} law predicted the {best.heldout_runs} {held} within "
        f"{off} on average; shares in the predictions: {shares}."
    ]


def pool_status(problem: Problem, solution: Solution, draws_SX: Floats, index: int) -> list[str]:
    """Sentences about the worth and the half-life of one pool."""
    pool, passes = problem.pools[index], float(problem.most_passes_P[index])
    sentences = []
    layout = problem.layout
    at_worth, at_tau = layout.worths.start + index, layout.half_lives.start + index
    if int((problem.design.weights[:, index] > 0).sum()) == 1:
        sentences.append(f"{layout.worth} of {pool} rests on one run; add a run of another length.")
    sentences += _worth_status(problem, solution, draws_SX, pool, at_worth)
    for name, block in layout.owned.items():
        side = _side(problem, solution, block.start + index)
        if side:
            bound = "lower" if side < 0 else "upper"
            value = to_natural(layout, solution.coordinates_X)[block.start + index]
            sentences.append(
                f"{name} of {pool} is at its {bound} bound {number(value)}; share {name}, or add runs."
            )
    if not problem.law.has_half_life:
        return sentences
    tau = math.exp(solution.coordinates_X[at_tau])
    longer = max(3, math.ceil(3 * passes), math.ceil(2 * min(tau, passes)))
    if not problem.free_X[at_tau]:
        sentences.append(
            f"The half-life of {pool} is not identified: its runs make at most {passes_text(passes)} passes "
            f"over it (assumed {passes_text(tau)} passes, between {passes_text(tau / 4)} and "
            f"{passes_text(tau * 4)}); train it for at least {longer} passes."
        )
        return sentences
    side = _side(problem, solution, at_tau)
    if side > 0:
        sentences.append(
            f"The half-life of {pool} is at its upper bound {passes_text(tau)}: no wear shows in "
            f"{passes_text(passes)} passes; train it for at least {longer} passes."
        )
    elif side < 0:
        sentences.append(
            f"The half-life of {pool} is at its lower bound {passes_text(tau)}: a second pass teaches "
            f"nothing; add runs of one and of two passes."
        )
    elif len(draws_SX):
        low, high = quantiles(np.exp(draws_SX[:, at_tau]))
        if high > _WIDE * low:
            sentences.append(
                f"The half-life of {pool} is not identified well, {passes_text(low)} to {passes_text(high)} "
                f"passes; train it for at least {longer} passes, or add seeds."
            )
    return sentences


def _worth_status(problem: Problem, solution: Solution, draws_SX: Floats, pool: str, place: int) -> list[str]:
    side = _side(problem, solution, place)
    teaches_nothing = f"{pool} teaches nothing in these runs; train it longer."
    if problem.layout.worth == "quality":
        return [f"Its quality is at its lower bound: {teaches_nothing}"] if side < 0 else []
    if len(draws_SX) and quantiles(draws_SX[:, place])[0] > 0:
        return [
            f"b of {pool} is above 0: the error rises with fresh pairs of it; look at them, or leave it out."
        ]
    if solution.coordinates_X[place] > _IDLE_B:
        return [f"b is {number(float(solution.coordinates_X[place]))}: {teaches_nothing}"]
    if side < 0:
        return [f"b of {pool} is at its bound {decimal(problem.limits.lower_X[place])}; check its errors."]
    return []


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
    if len({pool for run in runs for pool in mix_weights(run)}) == 1:
        sentences.append(
            "All runs are on one pool, so a plan has nothing to choose between; add runs on a second pool."
        )
    if len({run.recipe for run in runs}) > 1:
        sentences.append("Some runs name no recipe; the fit takes them to be of the same one, label them.")
    return sentences


def outlier_warnings(problem: Problem, solution: Solution, runs: Sequence[Run]) -> list[str]:
    """Sentences about runs far off the fit, which the robust loss counts less."""
    freedom = degrees_of_freedom(problem, solution.coordinates_X)
    limit = _OUTLIER_NOISES * max(robust_deviation(solution.residual_R, freedom), _SMALLEST_NOISE)
    off_R = np.abs(np.expm1(-solution.residual_R / problem.scale_R))
    far = np.flatnonzero(np.abs(solution.residual_R) > limit)
    if far.size > _MOST_SLIPS:
        worst = ", ".join(
            _described(runs[row], row) for row in far[np.argsort(-off_R[far])][:_MOST_SLIPS].tolist()
        )
        return [
            f"{far.size} of {len(runs)} runs lie {percent(off_R[far].min(), 1)} to "
            f"{percent(off_R[far].max(), 1)} off the fit, too many to be slips of measuring: no law here "
            f"follows them ({worst}), so trust predictions near them less."
        ]
    return [
        f"Run {_described(runs[row], row)} lies {percent(off_R[row], 1)} off the fit; measure it again."
        for row in far.tolist()
    ]


def _described(run: Run, row: int) -> str:
    error = error_text(run.error, is_loss(run.metric))
    return f"{run.run or row + 1} ({run.samples_seen} samples seen, error {error})"


def structure_warnings(problem: Problem, solution: Solution) -> list[str]:
    """A sentence where the shortest or the longest runs of all pools lie off the fit to the same side."""
    sentences = []
    rows_of_pools = [np.flatnonzero(weights_R > 0) for weights_R in problem.design.weights.T]
    for which, pick in (("shortest", np.argmin), ("longest", np.argmax)):
        ends = {int(rows[pick(problem.design.samples_seen[rows])]) for rows in rows_of_pools if rows.size > 2}
        off = -(solution.residual_R / problem.scale_R)[sorted(ends)]
        if off.size < _ENOUGH_POOLS:
            continue
        error_of_mean = max(float(off.std(ddof=1)), _SMALLEST_NOISE) / math.sqrt(off.size)
        if abs(off.mean()) > _STRUCTURE_ERRORS * error_of_mean:
            side = "above" if off.mean() > 0 else "below"
            remedy = "runs that end inside the warm-up do not follow the law, leave them out"
            if which == "longest":
                remedy = "the law does not bend as the runs do, trust it less beyond them"
            sentences.append(
                f"The {which} runs lie {percent(abs(off.mean()))} {side} the fit in {off.size} pools: "
                f"{remedy}."
            )
    return sentences


def order_warnings(problem: Problem, solution: Solution, draws_SX: Floats) -> list[str]:
    """Sentences for neighbours in score order of which the lower-scored one teaches more."""
    layout, sentences = problem.layout, []
    sign = 1.0 if layout.worth == "quality" else -1.0
    coordinates_SX = draws_SX if len(draws_SX) else solution.coordinates_X[None]
    value_SP = sign * coordinates_SX[:, layout.worths]
    fitted_P = sign * solution.coordinates_X[layout.worths]
    shown_P = to_natural(layout, solution.coordinates_X)[layout.worths]
    for index, (better, worse) in enumerate(pairwise(problem.pools)):
        share = float((value_SP[:, index + 1] > value_SP[:, index]).mean())
        if fitted_P[index + 1] > fitted_P[index] and share >= _SURE:
            sentences.append(
                f"Order of score is not order of utility: {worse} ({layout.worth} "
                f"{number(shown_P[index + 1])}) teaches more than {better} ({layout.worth} "
                f"{number(shown_P[index])}), which scores higher; look at the pairs of {better}."
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
