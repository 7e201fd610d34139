"""The plan for a reader: one card a budget, the crossovers, and how trained candidates turned out."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from thresher.budget import format_count
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import (
    BudgetPlan,
    Candidate,
    Crossover,
    all_candidates,
    find_candidate,
    winner,
)
from thresher.planning.runs.record import Run, mix_weights
from thresher.report.wording import Scale, mix_text, times_text
from thresher.tables import about, chance_text

SAME_BUDGET = 0.02  # measured budgets are whole batches, so they miss the planned one by a little
SAME_WEIGHT = 0.01
CARD_ROWS = 12
USUAL_CHANCE = 0.95  # of a crossover to take place at all; a smaller one is said


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A candidate at one budget, ready to print."""

    name: str
    error: str
    interval: str
    chance: str
    repeats: str
    regret: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table of candidates."""
        return (self.name, self.error, self.interval, self.chance, self.regret, self.repeats)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A candidate that was really trained at a budget; errors in metric units, `se` over seeds."""

    name: str
    weights: dict[str, float]
    samples_seen: int
    measured: float
    se: float
    num_seeds: int
    predicted: float | None
    low: float | None
    high: float | None


def budgets(plan: Plan, scale: Scale) -> list[dict[str, Any]]:
    """One card for each budget of the plan, in its order."""
    return [_budget(budget, scale) for budget in plan.budgets if budget.candidates]


def _budget(budget: BudgetPlan, scale: Scale) -> dict[str, Any]:
    best = winner(budget)
    rival = None if budget.rival is None else find_candidate(budget, budget.rival)
    return {
        "samples": format_count(budget.samples_seen),
        "best": _row(best, scale),
        "best_percent": round(100 * best.chance_best),
        "repeats": [(pool, times_text(times)) for pool, times in best.repeats.items()],
        "runner_up": None if rival is None else _row(rival, scale),
        "decision": budget.decision,
        "rows": [_row(candidate, scale) for candidate in budget.candidates[:CARD_ROWS]],
        "num_candidates": len(budget.candidates),
    }


def _row(candidate: Candidate, scale: Scale) -> Row:
    return Row(
        name=candidate.name,
        error=scale.text(candidate.predicted_error),
        interval=scale.interval(candidate.low, candidate.high),
        chance=chance_text(candidate.chance_best),
        repeats=", ".join(f"{pool}: {times_text(times)}" for pool, times in candidate.repeats.items()),
        regret=scale.gap(candidate.expected_regret),
    )


def summary(plan: Plan) -> list[str]:
    """The plan in sentences: the winner at each budget, then where it changes."""
    said = []
    nothing = [format_count(budget.samples_seen) for budget in plan.budgets if budget.verdict == "nothing"]
    if nothing:
        said.append(f"Nothing to decide at {_listed(nothing)} samples seen: the runs hold no signal.")
    for (best, verdict), group in itertools.groupby(plan.budgets, key=lambda b: (b.best, b.verdict)):
        budgets = list(group)
        if verdict == "nothing":
            continue
        where = _listed([format_count(budget.samples_seen) for budget in budgets])
        chance = chance_text(min(winner(budget).chance_best for budget in budgets))
        doubt = {
            "best": "",
            "close": "; others may be better, but too little to matter",
            "unclear": f", but its chance of being the best is only {chance}",
        }[verdict]
        said.append(f"{best} is predicted best at {where} samples seen{doubt}.")
    return said + [crossover_text(crossover) for crossover in plan.crossovers]


def _listed(counts: Sequence[str]) -> str:
    return " and ".join([", ".join(counts[:-1]), counts[-1]]) if len(counts) > 1 else counts[0]


def crossover_text(crossover: Crossover) -> str:
    """One crossover as a sentence; its interval is open where it leaves the budgets that were looked at."""
    low = None if crossover.low is None else about(crossover.low)
    high = None if crossover.high is None else about(crossover.high)
    interval = "no interval, the draws do not agree"
    if low and high:
        interval = f"interval {low} to {high}"
    elif low or high:
        interval = f"interval above {low}" if low else f"interval below {high}"
    if crossover.chance < USUAL_CHANCE:
        interval += f", in {chance_text(crossover.chance)} of the draws"
    where = about(crossover.samples_seen)
    return f"{crossover.after} overtakes {crossover.before} at about {where} samples seen ({interval})."


def same_mix(left: Mapping[str, float], right: Mapping[str, float]) -> bool:
    """Whether two mixes hold the same pools at the same weights, up to rounding."""
    return left.keys() == right.keys() and all(abs(left[k] - right[k]) <= SAME_WEIGHT for k in left)


def trained(runs: Iterable[Run], plan: Plan | None) -> list[Trained]:
    """The `verify` runs, averaged over seeds, by budget and then by measured error."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        if run.role == "verify":
            mix = tuple(sorted((name, round(weight, 4)) for name, weight in mix_weights(run).items()))
            groups.setdefault((run.samples_seen, mix), []).append(run)
    found = [_average(members, plan) for members in groups.values()]
    return sorted(found, key=lambda t: (t.samples_seen, t.measured, t.name))


def _average(members: list[Run], plan: Plan | None) -> Trained:
    errors = np.array([run.error for run in members])
    weights, samples_seen = mix_weights(members[0]), members[0].samples_seen
    candidate = _candidate(plan, weights, samples_seen)
    return Trained(
        name=mix_text(weights) if candidate is None else candidate.name,
        weights=weights,
        samples_seen=samples_seen,
        measured=float(errors.mean()),
        se=float(errors.std(ddof=1) / math.sqrt(len(errors))) if len(errors) > 1 else math.nan,
        num_seeds=len(errors),
        predicted=None if candidate is None else candidate.predicted_error,
        low=None if candidate is None else candidate.low,
        high=None if candidate is None else candidate.high,
    )


def _candidate(plan: Plan | None, weights: dict[str, float], samples_seen: int) -> Candidate | None:
    for budget in () if plan is None else plan.budgets:
        if abs(budget.samples_seen - samples_seen) <= SAME_BUDGET * samples_seen:
            for candidate in all_candidates(budget):
                if same_mix(candidate.weights, weights):
                    return candidate
    return None


def order_sentences(tried: list[Trained], scale: Scale) -> list[str]:
    """For each budget with at least two trained candidates: whether the predicted order held."""
    said = []
    for samples_seen in sorted({t.samples_seen for t in tried}):
        at = [t for t in tried if t.samples_seen == samples_seen and t.predicted is not None]
        if len(at) > 1:
            said.append(_order_sentence(at, scale))
    missed = [abs(t.measured - t.predicted) for t in tried if t.predicted is not None]
    if missed:
        said.append(
            f"Mean absolute error of these {len(missed)} predictions: {scale.gap(float(np.mean(missed)))}."
        )
    return said


def _order_sentence(at: list[Trained], scale: Scale) -> str:
    by_prediction = sorted(at, key=lambda t: (t.predicted, t.name))
    chosen, best = by_prediction[0], at[0]
    start = f"At {format_count(best.samples_seen)} samples seen"
    if best is not chosen:
        return (
            f"{start} the order did not hold: {chosen.name} was predicted best, but {best.name} came out "
            f"{_lead(best, chosen, scale)}."
        )
    text = f"{start} the order held: {chosen.name}, predicted best, came out {_lead(best, at[1], scale)}"
    if len(at) > 2:
        kept = [t.name for t in by_prediction] == [t.name for t in at]
        text += ", and the others stand in the predicted order too" if kept else "; the others changed places"
    return text + "."


def _lead(winner: Trained, other: Trained, scale: Scale) -> str:
    text = f"{scale.gap(other.measured - winner.measured)} better than {other.name}"
    noise = math.hypot(winner.se, other.se)
    if math.isfinite(noise):
        text += f" (two standard errors of the difference: {scale.gap(2 * noise)})"
    return text
