"""The parts of a plan: the choice at each budget, where it changes, what it costs, all of it in words."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from thresher.budget import format_count
from thresher.data.files.record_file import named
from thresher.tables import chance_text, error_text, gap_text, passes_text

SURE = 0.9
"""A winner with a smaller chance than this is not called the best."""
TOLERANCE = 0.001
"""Errors closer than this, .1 points, count as equal."""
LOSS_TOLERANCE = 0.005
"""The same for a loss."""
_MOST_SEEDS = 20
_BEYOND = 1.1
"""Budgets and passes up to this factor above those of the runs count as within them."""
_MOST_NAMED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One mix at one budget.

    Attributes:
        weights: Sampling weight of each of its pools; sums to 1.
        predicted_error: Mean over the draws of the laws.
        low: 5% quantile of the prediction over the draws.
        high: 95% quantile.
        chance_best: Share of the draws in which it is the best; of the chosen one, in which no other is
            better by more than the plan's tolerance. The chances of all candidates sum to at most 1.
        expected_regret: Mean over the draws of its error minus that of the draw's best candidate.
        repeats: Passes over each of its pools.
        num_unique: Samples in its pools.
        weighted: Whether its weights are free ones; a subset is drawn uniformly over its samples.
    """

    name: str
    pools: tuple[str, ...]
    weights: Mapping[str, float]
    predicted_error: float
    low: float
    high: float
    chance_best: float
    expected_regret: float
    repeats: Mapping[str, float]
    num_unique: int
    weighted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """What free weights would add to the best subset at one budget.

    Attributes:
        candidate: The best weights that were found.
        gain: Mean over the draws of the best subset's error minus theirs.
        low: 5% quantile of the gain.
        high: 95% quantile.
    """

    candidate: Candidate
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlan:
    """The candidates at one budget, the chosen one first, then by predicted error, and what to make of them.

    Attributes:
        decision: Sentences: what is best, or what it cannot be told from and which runs would tell.
        verdict: "best" where `decision` calls the chosen one the best, "close" where others may be better but
            acting on it costs no more than the tolerance on average, "nothing" where the runs hold nothing to
            decide on, else "unclear".
        rival: The candidate from which it is most worth telling apart.
        as_good: Candidates that are within the tolerance of the chosen one in nearly all draws.
        weighting: What free weights would add; None where there is one pool.
    """

    samples_seen: int
    best: str
    verdict: str = "unclear"
    decision: str
    rival: str | None = None
    as_good: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...]
    weighting: Weighting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """At `samples_seen` the best subset changes.

    Attributes:
        before: Best below.
        after: Best above.
        samples_seen: Where the two mean predictions are equal.
        low: 5% quantile over the draws; None where it lies below every budget that was looked at.
        high: 95% quantile; None where it lies above them.
        chance: Share of the draws in which the second overtakes the first at all, within ten times the
            budgets that were looked at.
    """

    before: str = field(metadata=named("from"))
    after: str = field(metadata=named("to"))
    samples_seen: float
    low: float | None
    high: float | None
    chance: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """The best mix at one budget of the grid, with the mean and the 5-95% band of its error."""

    samples_seen: int
    best: str
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One mix kept at every budget.

    Attributes:
        regrets: Mean error beyond that of the frontier, at each of its budgets.
        mean_regret: Their mean; the budgets are spaced by equal factors.
        worst_regret: The largest of them.
    """

    name: str
    weights: Mapping[str, float]
    regrets: tuple[float, ...]
    mean_regret: float
    worst_regret: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What scoring and probing are at one budget.

    Attributes:
        share: Their FLOPs over those of the budget.
        saved_samples: Samples seen beyond the budget that training on everything needs for the plan's error,
            by the mean predictions; None where it never gets there.
        chance: Share of the draws in which that is more than scoring and probing cost.
    """

    samples_seen: int
    share: float
    saved_samples: float | None
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Payback:
    """Scoring and probing, charged to the budgets.

    Attributes:
        scoring_flops: None where it is not known.
        probing_flops: None where it is not known.
        flops_per_sample: Training FLOPs of one sample seen.
        samples: Samples seen that the same FLOPs would have trained on.
        since: Budget from which they have paid back, by the mean predictions; None where they never do.
        low: 5% quantile over the draws; None below the budgets that were looked at.
        high: 95% quantile; None above them, or never.
        sentence: All this for people.
    """

    scoring_flops: float | None
    probing_flops: float | None
    flops_per_sample: float
    samples: float
    budgets: tuple[Charge, ...]
    since: float | None
    low: float | None
    high: float | None
    sentence: str


def winner(budget: BudgetPlan) -> Candidate:
    """The candidate that a budget's plan chose."""
    return find_candidate(budget, budget.best) or budget.candidates[0]


def find_candidate(budget: BudgetPlan, name: str) -> Candidate | None:
    """The candidate of that name, the free weights included; spaces around `+` may be left out."""
    close = {candidate.name.replace(" + ", "+"): candidate for candidate in all_candidates(budget)}
    return close.get(name.replace(" + ", "+"))


def all_candidates(budget: BudgetPlan) -> tuple[Candidate, ...]:
    """The candidates of a budget, the free weights included."""
    return budget.candidates if budget.weighting is None else (*budget.candidates, budget.weighting.candidate)


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


def nothing_sentence(reason: str, best: Candidate, samples_seen: int, *, loss: bool) -> str:
    """That the runs hold nothing to decide on, why, and what to do."""
    return (
        f"Nothing to decide at {format_count(samples_seen)} samples seen: {reason} Until then {best.name} is "
        f"as good a choice as any, {_predicted(best, loss)}."
    )


def only_sentence(best: Candidate, samples_seen: int, *, loss: bool) -> str:
    """That there is nothing to choose from."""
    return (
        f"Nothing to decide at {format_count(samples_seen)} samples seen: {best.name} is the only candidate, "
        f"{_predicted(best, loss)}."
    )


def beyond_sentence(times_longest: float, *, pool: str, passes: float, most_passes: float) -> str:
    """How far a budget lies beyond the runs, in length and in passes over a pool; empty where it does not."""
    beyond = []
    if times_longest > _BEYOND:
        beyond.append(f"{passes_text(times_longest)} times the longest run")
    if passes > _BEYOND * max(most_passes, 1.0):
        most = "at most one was" if most_passes <= 1.0 else f"at most {passes_text(most_passes)} were"
        beyond.append(f"{passes_text(passes)} passes over {pool} where {most} run")
    return f"Beyond the runs: {', and '.join(beyond)}." if beyond else ""


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
