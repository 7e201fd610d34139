"""The plan in sentences and in rows of a table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thresher.budget import format_count
from thresher.planning.plans.result import Candidate, Weighting
from thresher.tables import chance_text, error_text, gap_text

_MOST_SEEDS = 20
_MOST_NAMED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two mixes that cannot be told apart.

    Attributes:
        gap: Root mean square over the draws of the difference of their errors.
        noise: Standard deviation of the error of one run.
        loss: Whether the error is a loss.
    """

    samples_seen: int
    best: Candidate
    rival: Candidate
    gap: float
    noise: float
    loss: bool


Tiebreaker = Callable[[Comparison], str]
"""A sentence that names the run that would tell two mixes apart."""


def train_both(contest: Comparison) -> str:
    """The plainest run that tells: both mixes at the budget, with the seeds that the noise calls for."""
    seeds = _seeds(contest)
    times = "" if seeds == 1 else f", {seeds} seeds each,"
    return (
        f"To tell, train {contest.best.name} and {contest.rival.name}{times} to "
        f"{format_count(contest.samples_seen)} samples seen, or to the largest share of it that you can pay, "
        "on that share of the pools."
    )


def _seeds(contest: Comparison) -> int:
    """Runs of each after which the standard error of the difference is half of the gap."""
    if not (contest.gap > 0 and math.isfinite(contest.noise)):
        return 1
    return min(_MOST_SEEDS, max(1, math.ceil(8 * (contest.noise / contest.gap) ** 2)))


def best_sentence(
    best: Candidate, samples_seen: int, *, tolerance: float, loss: bool, as_good: Sequence[str]
) -> str:
    """That the chosen mix is the best one, and which others are as good."""
    within = gap_text(tolerance, loss)
    said = (
        f"{best.name} is best at {format_count(samples_seen)} samples seen (chance "
        f"{chance_text(best.chance_best)} that no other is better by more than {within}), "
        f"{_predicted(best, loss)}."
    )
    if not as_good:
        return said
    names = ", ".join(as_good[:_MOST_NAMED])
    more = len(as_good) - _MOST_NAMED
    return f"{said} As good, to within {within}: {names}{f' and {more} more' if more > 0 else ''}."


def close_sentence(best: Candidate, samples_seen: int, *, tolerance: float, loss: bool) -> str:
    """That others may be better, but too little to matter."""
    return (
        f"{best.name} is as good as any at {format_count(samples_seen)} samples seen: another may be better, "
        f"but acting on it costs {gap_text(best.expected_regret, loss)} of error on average (chance "
        f"{chance_text(best.chance_best)} that no other is better by more than {gap_text(tolerance, loss)}), "
        f"{_predicted(best, loss)}."
    )


def only_sentence(best: Candidate, samples_seen: int, *, loss: bool) -> str:
    """That there is nothing to choose from."""
    return (
        f"{best.name} is the only candidate at {format_count(samples_seen)} samples seen, "
        f"{_predicted(best, loss)}."
    )


def doubt_sentence(contest: Comparison, telling: Tiebreaker) -> str:
    """That two mixes cannot be told apart, what acting on the first one costs, and which run would tell."""
    best, rival = contest.best, contest.rival
    return (
        f"Cannot tell {best.name} from {rival.name} at {format_count(contest.samples_seen)} samples seen "
        f"(chance to be best {chance_text(best.chance_best)} against {chance_text(rival.chance_best)}); "
        f"acting on {best.name}, {_predicted(best, contest.loss)}, costs "
        f"{gap_text(best.expected_regret, contest.loss)} of error on average. {telling(contest)}"
    )


def weighting_sentence(weighting: Weighting, *, loss: bool) -> str:
    """What free weights would add to the best subset."""
    ends = (gap_text(end, loss, unit=False) for end in (weighting.low, weighting.high))
    return (
        f"Weights {weighting.candidate.name} would add {gap_text(weighting.gain, loss)} "
        f"({' to '.join(ends)}) to the best subset."
    )


def _predicted(candidate: Candidate, loss: bool) -> str:
    low, high = error_text(candidate.low, loss), error_text(candidate.high, loss)
    return f"predicted error {error_text(candidate.predicted_error, loss)}, {low} to {high}"
