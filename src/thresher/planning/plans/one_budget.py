"""The plan for one budget: what is chosen, how sure that is, and what it cannot be told from.

Axes: S draws, C candidates, P pools.
"""

from dataclasses import dataclass

import numpy as np

from thresher.planning.laws.law import Floats
from thresher.planning.laws.signal import nothing_in
from thresher.planning.plans.mixes import Mixes, is_simple, mix_name, mix_weights, with_weights
from thresher.planning.plans.prediction import Predictor, error_interval, errors
from thresher.planning.plans.result import (
    SURE,
    BudgetPlan,
    Candidate,
    Comparison,
    Tiebreaker,
    Weighting,
    best_sentence,
    beyond_sentence,
    close_sentence,
    doubt_sentence,
    nothing_sentence,
    only_sentence,
)
from thresher.planning.runs.record import run_passes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """Places of candidates, and numbers of all of them.

    Attributes:
        best: The chosen one.
        order_C: All candidates, the chosen one first, then by mean error.
        chance_C: Share of the draws in which it is the best; where the chosen one is within the tolerance of
            the best, it is the chosen one. They sum to 1.
        regret_C: Mean over the draws of the error beyond that of the draw's best candidate.
        verdict: "best", "close", "unclear" or "nothing", as in `BudgetPlan`.
        rival: The candidate for which a sure answer to "which of the two" would save most; None where there
            is no other.
        as_good: Candidates within the tolerance of the chosen one in nearly all draws, best first.
    """

    best: int
    order_C: list[int]
    chance_C: Floats
    regret_C: Floats
    verdict: str
    rival: int | None
    as_good: list[int]


def choose(error_SC: Floats, *, tolerance: float, best: int | None = None, nothing: bool = False) -> Choice:
    """The candidate with the lowest mean error, which is that with the lowest expected regret.

    Args:
        error_SC: Errors in the draws.
        tolerance: Errors closer than this count as equal.
        best: Choose this one instead.
        nothing: Whether the runs hold nothing to decide on.
    """
    mean_C = error_SC.mean(0)
    order = [int(place) for place in np.argsort(mean_C, kind="stable")]
    if best is None:
        best = order[0]
    order = [best, *(place for place in order if place != best)]
    beyond_SC = error_SC - error_SC.min(1, keepdims=True)
    winner_S = np.where(beyond_SC[:, best] <= tolerance, best, beyond_SC.argmin(1))
    chance_C = np.bincount(winner_S, minlength=mean_C.size) / len(error_SC)
    behind_SC = error_SC[:, [best]] - error_SC
    near_C = (np.abs(behind_SC) <= tolerance).mean(0)
    lost_C = np.maximum(behind_SC, 0.0).mean(0)
    regret_C = beyond_SC.mean(0)
    others = order[1:]
    verdict = _verdict(float(chance_C[best]), float(regret_C[best]), tolerance)
    return Choice(
        best=best,
        order_C=order,
        chance_C=chance_C,
        regret_C=regret_C,
        verdict="nothing" if nothing or not others else verdict,
        rival=max(others, key=lambda place: float(lost_C[place]), default=None),
        as_good=[place for place in others if near_C[place] >= SURE],
    )


def _verdict(chance: float, regret: float, tolerance: float) -> str:
    if chance >= SURE:
        return "best"
    return "close" if regret <= tolerance else "unclear"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanInputs:
    """What the plans of all budgets share.

    Attributes:
        mixes: The subsets.
        filled: Places of the pools that have samples.
        weights: One of `WEIGHTS`: "subsets", "continuous" or "both".
        tolerance: Errors closer than this count as equal.
        loss: Whether errors are losses.
        kept: Candidates to list.
        telling: Names the run that would tell two mixes apart.
    """

    predictor: Predictor
    mixes: Mixes
    filled: list[int]
    weights: str
    tolerance: float
    loss: bool
    kept: int
    telling: Tiebreaker


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Field:
    """The candidates that compete at one budget, with their numbers."""

    mixes: Mixes
    samples_seen: int
    error_SC: Floats
    choice: Choice


def plan_budget(setting: PlanInputs, samples_seen: int, free_P: Floats | None) -> BudgetPlan:
    """The plan for one budget; `free_P` are the best free weights, where there is more than one pool."""
    mixes = setting.mixes if free_P is None else with_weights(setting.mixes, free_P[None])
    error_SC = errors(setting.predictor, samples_seen, mixes.weights_CP)
    weighting = None if free_P is None else _weighting(setting, mixes, samples_seen, error_SC)
    best = None
    if weighting is not None and chooses_weights(setting, weighting.gain):
        best = len(mixes.weights_CP) - 1
    else:
        mixes, error_SC = setting.mixes, error_SC[:, : len(setting.mixes.weights_CP)]
    nothing = nothing_in(setting.predictor.laws.signal)
    choice = choose(error_SC, tolerance=setting.tolerance, best=best, nothing=nothing is not None)
    field = _Field(mixes=mixes, samples_seen=samples_seen, error_SC=error_SC, choice=choice)
    listed = [
        place
        for number, place in enumerate(choice.order_C)
        if number < setting.kept
        or place == choice.rival
        or is_simple(mixes.weights_CP[place], setting.filled)
    ]
    candidates = _candidates(field, listed)
    return BudgetPlan(
        samples_seen=samples_seen,
        best=candidates[0].name,
        candidates=tuple(candidates),
        decision=_decision(setting, field, candidates),
        verdict=choice.verdict,
        rival=None if choice.rival is None else mix_name(mixes, choice.rival),
        as_good=tuple(mix_name(mixes, place) for place in choice.as_good),
        weighting=weighting,
    )


def chooses_weights(setting: PlanInputs, gain: float) -> bool:
    """Whether free weights with this mean gain over the best subset are what the plan proposes."""
    return setting.weights == "continuous" or (setting.weights == "both" and gain > setting.tolerance)


def _weighting(setting: PlanInputs, mixes: Mixes, samples_seen: int, error_SC: Floats) -> Weighting | None:
    """What free weights, the last of the mixes, add to the best of the others; None where that is nothing."""
    subset_S = error_SC[:, int(error_SC[:, :-1].mean(0).argmin())]
    gain_S = subset_S - error_SC[:, -1]
    if not gain_S.mean() > 0:
        return None
    choice = choose(error_SC, tolerance=setting.tolerance)
    field = _Field(mixes=mixes, samples_seen=samples_seen, error_SC=error_SC, choice=choice)
    low, high = error_interval(gain_S[:, None])
    return Weighting(
        candidate=_candidates(field, [len(mixes.weights_CP) - 1])[0],
        gain=float(gain_S.mean()),
        low=float(low[0]),
        high=float(high[0]),
    )


def _candidates(field: _Field, places: list[int]) -> list[Candidate]:
    mixes, samples_seen = field.mixes, field.samples_seen
    low_N, high_N = error_interval(field.error_SC[:, places])
    found = []
    for place, low, high in zip(places, low_N, high_N, strict=True):
        weights = mix_weights(mixes, place)
        sizes = dict(zip(mixes.pools, mixes.size_P, strict=True))
        found.append(
            Candidate(
                name=mix_name(mixes, place),
                pools=tuple(weights),
                weights=weights,
                predicted_error=float(field.error_SC[:, place].mean()),
                low=float(low),
                high=float(high),
                chance_best=float(field.choice.chance_C[place]),
                expected_regret=float(field.choice.regret_C[place]),
                repeats={
                    pool: float(samples_seen * weight / sizes[pool]) for pool, weight in weights.items()
                },
                num_unique=int(sum(sizes[pool] for pool in weights)),
                weighted=bool(mixes.weighted_C[place]),
            )
        )
    return found


def _decision(setting: PlanInputs, field: _Field, candidates: list[Candidate]) -> str:
    said = _verdict_sentence(setting, field, candidates)
    best, points = candidates[0], setting.predictor.laws.points
    if not points:
        return said
    most = {pool: max(run_passes(point.run).get(pool, 0.0) for point in points) for pool in best.repeats}
    worst = max(best.repeats, key=lambda pool: best.repeats[pool] / max(most[pool], 1.0))
    beyond = beyond_sentence(
        field.samples_seen / max(point.run.samples_seen for point in points),
        pool=worst,
        passes=best.repeats[worst],
        most_passes=most[worst],
    )
    return f"{said} {beyond}" if beyond else said


def _verdict_sentence(setting: PlanInputs, field: _Field, candidates: list[Candidate]) -> str:
    best, choice = candidates[0], field.choice
    nothing = nothing_in(setting.predictor.laws.signal)
    if nothing is not None:
        return nothing_sentence(nothing, best, field.samples_seen, loss=setting.loss)
    if choice.rival is None:
        return only_sentence(best, field.samples_seen, loss=setting.loss)
    if choice.verdict == "best":
        return best_sentence(
            best,
            field.samples_seen,
            tolerance=setting.tolerance,
            loss=setting.loss,
            as_good=[mix_name(field.mixes, place) for place in choice.as_good],
        )
    if choice.verdict == "close":
        return close_sentence(best, field.samples_seen, tolerance=setting.tolerance, loss=setting.loss)
    rival = mix_name(field.mixes, choice.rival)
    difference_S = field.error_SC[:, choice.best] - field.error_SC[:, choice.rival]
    contest = Comparison(
        samples_seen=field.samples_seen,
        best=best,
        rival=next(candidate for candidate in candidates if candidate.name == rival),
        gap=float(np.sqrt((difference_S**2).mean())),
        noise=setting.predictor.laws.noise,
        loss=setting.loss,
    )
    return doubt_sentence(contest, setting.telling)
