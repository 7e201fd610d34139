"""The plan for one budget: every candidate's numbers, the choice and the sentences about it.

Axes: S draws, C candidates, P pools.
"""

from dataclasses import dataclass

import numpy as np

from thresher.laws.law import Floats
from thresher.plans.choice import Choice, choose
from thresher.plans.mixes import Mixes, is_simple, mix_name, mix_pools, mix_weights, with_weights
from thresher.plans.predict import Predictor, band, errors
from thresher.plans.result import BudgetPlan, Candidate, Weighting
from thresher.plans.wording import (
    Contest,
    Telling,
    best_sentence,
    close_sentence,
    doubt_sentence,
    only_sentence,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
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
    telling: Telling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Field:
    """The candidates that compete at one budget, with their numbers."""

    mixes: Mixes
    samples_seen: int
    error_SC: Floats
    choice: Choice


def plan_budget(setting: Setting, samples_seen: int, free_P: Floats | None) -> BudgetPlan:
    """The plan for one budget; `free_P` are the best free weights, where there is more than one pool."""
    mixes = setting.mixes if free_P is None else with_weights(setting.mixes, free_P[None])
    error_SC = errors(setting.predictor, samples_seen, mixes.weights_CP)
    weighting = None if free_P is None else _weighting(setting, mixes, samples_seen, error_SC)
    best = None
    if weighting is not None and chooses_weights(setting, weighting.gain):
        best = len(mixes.weights_CP) - 1
    else:
        mixes, error_SC = setting.mixes, error_SC[:, : len(setting.mixes.weights_CP)]
    choice = choose(error_SC, tolerance=setting.tolerance, best=best)
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


def chooses_weights(setting: Setting, gain: float) -> bool:
    """Whether free weights with this mean gain over the best subset are what the plan proposes."""
    return setting.weights == "continuous" or (setting.weights == "both" and gain > setting.tolerance)


def _weighting(setting: Setting, mixes: Mixes, samples_seen: int, error_SC: Floats) -> Weighting | None:
    """What free weights, the last of the mixes, add to the best of the others; None where that is nothing."""
    subset_S = error_SC[:, int(error_SC[:, :-1].mean(0).argmin())]
    gain_S = subset_S - error_SC[:, -1]
    if not gain_S.mean() > 0:
        return None
    choice = choose(error_SC, tolerance=setting.tolerance)
    field = _Field(mixes=mixes, samples_seen=samples_seen, error_SC=error_SC, choice=choice)
    low, high = band(gain_S[:, None])
    return Weighting(
        candidate=_candidates(field, [len(mixes.weights_CP) - 1])[0],
        gain=float(gain_S.mean()),
        low=float(low[0]),
        high=float(high[0]),
    )


def _candidates(field: _Field, places: list[int]) -> list[Candidate]:
    mixes, samples_seen = field.mixes, field.samples_seen
    low_N, high_N = band(field.error_SC[:, places])
    found = []
    for place, low, high in zip(places, low_N, high_N, strict=True):
        weights = mix_weights(mixes, place)
        sizes = dict(zip(mixes.pools, mixes.size_P, strict=True))
        found.append(
            Candidate(
                name=mix_name(mixes, place),
                pools=mix_pools(mixes, place),
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


def _decision(setting: Setting, field: _Field, candidates: list[Candidate]) -> str:
    best, choice = candidates[0], field.choice
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
    contest = Contest(
        samples_seen=field.samples_seen,
        best=best,
        rival=next(candidate for candidate in candidates if candidate.name == rival),
        gap=float(np.sqrt((difference_S**2).mean())),
        noise=setting.predictor.laws.noise,
        loss=setting.loss,
    )
    return doubt_sentence(contest, setting.telling)
