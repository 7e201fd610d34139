"""Which probe run to pay for next, and when no further run is worth it.

The doubt that is left in the laws is held by their draws: S parameter vectors that the runs allow, of every
law with a share in the predictions, with what mixes may stray from all laws. A run is worth what it is
expected to save (`reduction.py`): its fall of regret is divided by its cost, and it pays while that fall
exceeds what its cost would gain if it were added to the real run instead. Runs that are to be made together
are chosen one after the other, each beside those before it, so that they do not all tell the same.

Axes: S draws, B budgets, C candidate mixes, K candidate runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thresher.budget import format_count
from thresher.errors import InputError
from thresher.planning.laws.law import Floats
from thresher.planning.laws.predict import predict_draws
from thresher.planning.laws.result import Laws
from thresher.planning.plans.mixes import MOST_POOLS, Mixes, all_mixes
from thresher.planning.plans.reduction import expected_reduction
from thresher.planning.plans.result import Comparison, Tiebreaker, train_both
from thresher.tables import gap_text, passes_text, percent

SHARES = (1.0, 0.25, 1 / 16)
"""Subsamples of the pools that candidate runs draw from."""
LENGTHS = (1 / 64, 1 / 32, 1 / 16, 1 / 8)
"""Lengths of candidate runs, as shares of the largest budget."""
_LEAST_NOISE = 1e-3
_LEAST_FALL = 1e-5
_SLOPE = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRun:
    """A run that could be made.

    Attributes:
        weights: Pool -> sampling weight; sums to 1.
        num_unique: Pool -> unique samples that the run draws from.
        samples_seen: Its length.
        flops: What it costs; samples seen where the cost of a sample is not known.
    """

    weights: Mapping[str, float]
    num_unique: Mapping[str, int]
    samples_seen: int
    flops: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What a candidate run is expected to do.

    Attributes:
        variance_fall: Mean over the budgets of the relative fall of the variance of the difference between
            the best mix and its rivals, 0 to 1.
        regret_fall: Mean over the budgets of the expected fall of regret, units of the error.
        cost_share: Its cost as a share of the largest budget.
        worth: Whether the fall of regret exceeds what the same cost would gain at the end of the real runs.
        about: The run in words.
    """

    candidate: CandidateRun
    variance_fall: float
    regret_fall: float
    cost_share: float
    worth: bool
    about: str


def suggest(
    laws: Laws,
    candidates: Sequence[CandidateRun],
    budgets: Sequence[int],
    *,
    sizes: Mapping[str, int] | None = None,
    flops_per_sample: float = 1.0,
    together: int = 1,
) -> list[Suggestion]:
    """Candidate runs, the one with the largest expected fall of regret per cost first.

    Where no run lowers regret noticeably they are ordered by the fall of variance per cost.

    Args:
        laws: Fitted, with draws.
        candidates: From `candidate_runs`, or any others on pools of the laws.
        budgets: Samples seen of the runs to plan for.
        sizes: Samples in each pool; those of the runs where absent.
        flops_per_sample: What a sample of the real runs costs, in the unit of `CandidateRun.flops`.
        together: So many runs are to be made before the laws are fitted again: each of the first
            `together` is the best beside those before it, and its falls are those that it adds to them.

    Raises:
        InputError: without candidates or budgets, for laws without draws, or for a pool without a law.
    """
    if not candidates or not budgets:
        raise InputError("to suggest a run takes candidate runs and budgets; give at least one of each")
    known = laws.sizes if sizes is None else dict(sizes)
    mixes = all_mixes(laws.pool_names, known)
    target_BSC = np.stack(
        [predict_draws(laws, float(budget), mixes.weights_CP, mixes.size_P) for budget in budgets]
    )
    if target_BSC.shape[1] < _LEAST_DRAWS:
        raise InputError(
            f"the laws hold {target_BSC.shape[1]} draws, too few to see what a run would tell; fit with "
            f"--bootstrap 200"
        )
    weights_KP, unique_KP, seen_K = _arrays(laws, candidates)
    run_SK = predict_draws(laws, seen_K, weights_KP, unique_KP)
    noise = max(laws.noise, _LEAST_NOISE)
    most_gain = float(_gain_of_samples(laws, mixes, budgets).max())
    shares = [candidate.flops / (max(budgets) * flops_per_sample) for candidate in candidates]

    def beside(made: Sequence[int], places: Sequence[int]) -> list[Suggestion]:
        """What each of the runs at `places` adds to those at `made`, the best for its cost first."""
        before = expected_reduction(target_BSC, run_SK[:, list(made)], noise)
        found = []
        for place in places:
            falls = expected_reduction(target_BSC, run_SK[:, [*made, place]], noise)
            regret_fall = falls[1] - before[1]
            found.append(
                Suggestion(
                    candidate=candidates[place],
                    variance_fall=falls[0] - before[0],
                    regret_fall=regret_fall,
                    cost_share=shares[place],
                    worth=regret_fall > max(_LEAST_FALL, shares[place] * most_gain),
                    about=describe(candidates[place]),
                )
            )
        some = any(suggestion.regret_fall > _LEAST_FALL for suggestion in found)
        return sorted(
            found, key=lambda one: -(one.regret_fall if some else one.variance_fall) / one.cost_share
        )

    first: list[Suggestion] = []
    made: list[int] = []
    places = list(range(len(candidates)))
    while len(first) < together - 1 and len(places) > 1:
        first.append(beside(made, places)[0])
        made.append(next(place for place in places if candidates[place] is first[-1].candidate))
        places.remove(made[-1])
    return [*first, *beside(made, places)]


_LEAST_DRAWS = 20


def candidate_runs(
    laws: Laws,
    budgets: Sequence[int],
    *,
    sizes: Mapping[str, int] | None = None,
    flops_per_sample: float = 1.0,
    shares: Sequence[float] = SHARES,
    lengths: Sequence[float] = LENGTHS,
    longest: int | None = None,
) -> list[CandidateRun]:
    """Runs on every pool alone and on all of them together, at every share of the pool and every length.

    Args:
        laws: Fitted.
        budgets: Samples seen of the runs to plan for.
        sizes: Samples in each pool; those of the runs where absent.
        flops_per_sample: FLOPs for one sample; 1 counts costs in samples.
        shares: Subsamples to draw from.
        lengths: Shares of the largest budget.
        longest: Samples seen that no candidate exceeds.
    """
    known = laws.sizes if sizes is None else dict(sizes)
    pools = [name for name in laws.pool_names if known.get(name, 0) > 0]
    groups = [(name,) for name in pools] + ([tuple(pools)] if len(pools) > 1 else [])
    found = []
    for group in groups:
        total = sum(known[name] for name in group)
        for share in shares:
            for length in lengths:
                seen = round(max(budgets) * length)
                if seen < 1 or (longest is not None and seen > longest):
                    continue
                found.append(
                    CandidateRun(
                        weights={name: known[name] / total for name in group},
                        num_unique={name: max(1, round(known[name] * share)) for name in group},
                        samples_seen=seen,
                        flops=seen * flops_per_sample,
                    )
                )
    return found


def describe(candidate: CandidateRun) -> str:
    """A run in words, for people.

    >>> describe(CandidateRun(weights={"a": 1.0}, num_unique={"a": 4000}, samples_seen=32000, flops=1.0))
    'a, 4k pairs of it, 32k samples seen (8 passes)'
    """
    unique = sum(candidate.num_unique.values())
    passes = candidate.samples_seen / unique
    pools = " + ".join(candidate.weights)
    return (
        f"{pools}, {format_count(unique)} pairs of it, {format_count(candidate.samples_seen)} samples seen "
        f"({passes_text(passes)} passes)"
    )


def verdict(suggestions: Sequence[Suggestion], *, loss: bool) -> str:
    """One sentence: the run to make next, or that none is worth it."""
    best = suggestions[0]
    fall = gap_text(best.regret_fall, loss)
    cost = f"{percent(best.cost_share)} of the largest budget"
    if best.worth:
        return (
            f"The next run to make is {best.about}: it costs {cost} and lowers the expected regret by {fall}."
        )
    return (
        f"No further run is worth it: the best one, {best.about}, costs {cost} and would lower the expected "
        f"regret by {fall}, less than the same compute at the end of the real run."
    )


def tiebreaker(laws: Laws, sizes: Mapping[str, int]) -> Tiebreaker:
    """For a plan: the run that would tell two mixes apart, or that none is worth its cost."""
    many = sum(size > 0 for size in sizes.values()) > MOST_POOLS

    def tell(contest: Comparison) -> str:
        budgets = [contest.samples_seen]
        candidates = candidate_runs(laws, budgets, sizes=sizes)
        if many or sum(len(fit.draws_SX) for fit in laws.fits) < _LEAST_DRAWS or not candidates:
            return train_both(contest)
        best = suggest(laws, candidates, budgets, sizes=sizes)[0]
        if best.regret_fall <= _LEAST_FALL:
            return train_both(contest)
        fall = gap_text(best.regret_fall, contest.loss)
        said = f"{best.about}: {percent(best.cost_share)} of this budget for {fall} less regret"
        if best.worth:
            return f"The run that would tell most for its cost: {said}."
        return f"No probe is worth its cost here; the best one is {said}."

    return tell


def _arrays(laws: Laws, candidates: Sequence[CandidateRun]) -> tuple[Floats, Floats, Floats]:
    """Weights [K, P], unique samples [K, P] and samples seen [K] of the candidate runs."""
    names = laws.pool_names
    for candidate in candidates:
        for pool in candidate.weights:
            if pool not in names:
                raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(names)}")
    weights_KP = np.array([[run.weights.get(name, 0.0) for name in names] for run in candidates])
    unique_KP = np.array([[float(run.num_unique.get(name, 1)) for name in names] for run in candidates])
    seen_K = np.array([run.samples_seen for run in candidates], float)
    return weights_KP / weights_KP.sum(1, keepdims=True), unique_KP, seen_K


def _gain_of_samples(laws: Laws, mixes: Mixes, budgets: Sequence[int]) -> Floats:
    """How much the error of the best mix falls for each relative lengthening of the real run, per budget."""
    gains = []
    for budget in budgets:
        now_C = predict_draws(laws, float(budget), mixes.weights_CP, mixes.size_P).mean(0)
        longer_C = predict_draws(laws, budget * _SLOPE, mixes.weights_CP, mixes.size_P).mean(0)
        gains.append(max(0.0, float(now_C.min() - longer_C.min())) / (_SLOPE - 1.0))
    return np.array(gains)
