"""The search for the best mix: free weights by descent on the simplex, subsets by growing and changing them.

Free weights are found for many problems at once, each a budget with a start. In laws that add up pools in
the exponent, the log of the error above the irreducible one is a sum of functions of one weight each, convex
where repeats only lose worth, and a descent that moves mass between pools ends at the optimum; elsewhere it
may end at a local one, which is what several starts are for. Errors have a kink where a pass ends with the
budget, so a weight has one slope upwards and another downwards, and steps are compared by their errors.

A plan compares all subsets of up to 12 pools. Of more pools, subsets are grown pool by pool, in the order
that helps most and in the order of the best free weights; the best one is then changed by one pool, or by
one pool for another, as long as that helps.

Axes: S draws, B problems or budgets, A problems not yet finished, C candidates, N subsets, P pools, K trial
steps.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Floats
from thresher.planning.plans.mixes import MOST_POOLS, Mixes, all_mixes, rounded, subset_mixes, uniform_weights
from thresher.planning.plans.prediction import Predictor, mean_errors, with_few_draws

MeanErrors = Callable[[NDArray[np.intp], Floats], Floats]
"""(problem of each mix [N], weights [N, P]) to errors [N]."""

_STEP = 1e-4
_HALVINGS = 12

_SEARCH_ROUNDS = 40
_POLISH_ROUNDS = 12
_POLISH_DRAWS = 72
_NEGLIGIBLE_WEIGHT = 0.005
_NEGLIGIBLE_ERROR = 2e-5


def descend(
    mean_errors: MeanErrors, starts_BP: Floats, *, rounds: int = 60, tolerance: float = 1e-6
) -> tuple[Floats, Floats]:
    """Weights [B, P] and their errors [B], never above those of the starts.

    Args:
        mean_errors: What is minimised; pools that may not be drawn are left out of it.
        starts_BP: On the simplex.
        rounds: Most steps a problem takes.
        tolerance: A problem is finished when a step gains less.
    """
    weights_BP = np.array(starts_BP, float)
    error_B = mean_errors(np.arange(len(weights_BP)), weights_BP)
    active = np.arange(len(weights_BP)) if weights_BP.shape[1] > 1 else np.arange(0)
    for _ in range(rounds):
        if not active.size:
            break
        now_AP = weights_BP[active]
        up_AP, down_AP = _slopes(mean_errors, active, now_AP, error_B[active])
        trial_AKP = _trials(now_AP, up_AP, down_AP)
        trial_AK = _evaluate(mean_errors, active, trial_AKP)
        best_A = trial_AK.argmin(1)
        rows = np.arange(active.size)
        gain_A = error_B[active] - trial_AK[rows, best_A]
        better = gain_A > 0
        weights_BP[active[better]] = trial_AKP[rows, best_A][better]
        error_B[active[better]] -= gain_A[better]
        active = active[gain_A > tolerance]
    return weights_BP, error_B


def _evaluate(mean_errors: MeanErrors, problems: NDArray[np.intp], weights_AKP: Floats) -> Floats:
    count, trials, pools = weights_AKP.shape
    flat = mean_errors(np.repeat(problems, trials), weights_AKP.reshape(-1, pools))
    return flat.reshape(count, trials)


def _slopes(
    mean_errors: MeanErrors, problems: NDArray[np.intp], now_AP: Floats, error_A: Floats
) -> tuple[Floats, Floats]:
    """Slope of the error in each weight alone, upwards and downwards (upwards at 0)."""
    one_PP = np.eye(now_AP.shape[1])
    step_AP = np.minimum(_STEP, now_AP)
    up_APP = now_AP[:, None, :] + _STEP * one_PP
    down_APP = now_AP[:, None, :] - step_AP[:, :, None] * one_PP
    both = _evaluate(mean_errors, problems, np.concatenate([up_APP, down_APP], axis=1)) - error_A[:, None]
    up_AP, fall_AP = np.split(both, 2, axis=1)
    up_AP = up_AP / _STEP
    return up_AP, np.where(step_AP > 0, -fall_AP / np.where(step_AP > 0, step_AP, 1.0), up_AP)


def _trials(now_AP: Floats, up_AP: Floats, down_AP: Floats) -> Floats:
    """Steps of many lengths: along the projected gradient, and of mass from the worst pool to the best."""
    rows = np.arange(len(now_AP))
    halves_K = 0.5 ** np.arange(_HALVINGS)
    slope_AP = (up_AP + down_AP) / 2
    spread_A = np.ptp(slope_AP, axis=1)
    scaled_AP = slope_AP / np.where(spread_A > 0, spread_A, 1.0)[:, None]
    along_AKP = project(now_AP[:, None, :] - halves_K[:, None] * scaled_AP[:, None, :])
    worst_A = np.where(now_AP > 0, down_AP, -np.inf).argmax(1)
    moved_AKP = np.repeat(now_AP[:, None, :], _HALVINGS, axis=1)
    mass_AK = now_AP[rows, worst_A][:, None] * halves_K
    moved_AKP[rows, :, worst_A] -= mass_AK
    moved_AKP[rows, :, up_AP.argmin(1)] += mass_AK
    return np.concatenate([along_AKP, np.maximum(moved_AKP, 0.0)], axis=1)


def project(points: Floats) -> Floats:
    """Nearest points of the simplex; the last axis holds the weights.

    >>> project(np.array([0.8, 0.8, -1.0])).tolist()
    [0.5, 0.5, 0.0]
    """
    falling = -np.sort(-points, axis=-1)
    excess = np.cumsum(falling, axis=-1) - 1.0
    counts = np.arange(1, points.shape[-1] + 1)
    kept = (falling - excess / counts > 0).sum(-1, keepdims=True)
    level = np.take_along_axis(excess, kept - 1, axis=-1) / kept
    return np.asarray(np.maximum(points - level, 0.0))


def best_weights(
    predictor: Predictor, budgets: Sequence[float], starts_BTP: Floats, filled: Sequence[int]
) -> Floats:
    """The weights that minimise the mean error at each budget, in whole thousandths, [B, P].

    Found from several starts by a few draws and then improved by more of them. Weights that can be left out
    at no cost are 0.
    """
    seen_B = np.asarray(budgets, float)
    few, count = with_few_draws(predictor), starts_BTP.shape[1]

    def lowest(source: Predictor, seen_N: Floats, starts_NQ: Floats, rounds: int) -> tuple[Floats, Floats]:
        def value(problem_N: NDArray[np.intp], weights_NQ: Floats) -> Floats:
            return mean_errors(source, seen_N[problem_N], _spread(weights_NQ, filled, predictor.size_P.size))

        return descend(value, starts_NQ, rounds=rounds)

    found_NQ, error_N = lowest(
        few, np.repeat(seen_B, count), starts_BTP[..., filled].reshape(-1, len(filled)), _SEARCH_ROUNDS
    )
    best_B = error_N.reshape(-1, count).argmin(1)
    start_BQ = found_NQ.reshape(-1, count, len(filled))[np.arange(seen_B.size), best_B]
    polished_BQ, _ = lowest(with_few_draws(predictor, _POLISH_DRAWS), seen_B, start_BQ, _POLISH_ROUNDS)
    polished_BP = _spread(polished_BQ, filled, predictor.size_P.size)
    return np.array([_tidy(predictor, seen, row) for seen, row in zip(seen_B, polished_BP, strict=True)])


def starts(mixes: Mixes, best: Sequence[int], filled: Sequence[int]) -> Floats:
    """Where to begin at each budget, [B, T, P]: its best subset, everything, and equal weights."""
    member_P = np.isin(np.arange(len(mixes.pools)), filled)
    everything_P = uniform_weights(member_P[None], mixes.size_P)[0]
    equal_P = member_P / member_P.sum()
    return np.array([[mixes.weights_CP[place], everything_P, equal_P] for place in best])


def _spread(weights_NQ: Floats, pools: Sequence[int], num_pools: int) -> Floats:
    """Weights of the filled pools among all pools."""
    weights_NP = np.zeros((len(weights_NQ), num_pools))
    weights_NP[:, pools] = weights_NQ
    return weights_NP


def _tidy(predictor: Predictor, samples_seen: float, weights_P: Floats) -> Floats:
    """Rounded, and without small weights where that costs nothing."""
    large_P = np.where(weights_P < _NEGLIGIBLE_WEIGHT, 0.0, weights_P)
    both_2P = np.array([rounded(weights_P), rounded(large_P / large_P.sum())])
    all_error, large_error = mean_errors(predictor, samples_seen, both_2P)
    return np.asarray(both_2P[int(large_error <= all_error + _NEGLIGIBLE_ERROR)])


Members = NDArray[np.bool_]
_MOST_CHANGES = 30

_SEARCHED_BUDGETS = 9
_KEPT_A_BUDGET = 64


def search_subsets(
    mean_errors: Callable[[Floats], Floats], size_P: Floats, weights_P: Floats, *, kept: int
) -> Members:
    """The best subsets that were met, [N, P], best first; at most `kept`.

    Args:
        mean_errors: Weights [N, P] to errors [N].
        size_P: Samples in each pool.
        weights_P: The best free weights: pools are tried in the order of how densely these draw on them.
        kept: How many to return.
    """
    met: dict[bytes, float] = {}

    def visit(member_NP: Members) -> Floats:
        known = [row.tobytes() for row in member_NP]
        fresh = {key: place for place, key in enumerate(known) if key not in met}
        if fresh:
            values = mean_errors(uniform_weights(member_NP[list(fresh.values())], size_P))
            met.update(zip(fresh, values.tolist(), strict=True))
        return np.array([met[key] for key in known])

    order_P = np.argsort(-weights_P / size_P, kind="stable")
    by_density_PP = np.zeros((len(size_P), len(size_P)), bool)
    for count in range(len(size_P)):
        by_density_PP[count:, order_P[count]] = True
    visit(np.concatenate([by_density_PP, np.tril(np.ones_like(by_density_PP))]))
    _grow(visit, len(size_P))
    start = np.frombuffer(min(met, key=lambda key: met[key]), bool)
    _improve(visit, start)
    best = sorted(met, key=lambda key: met[key])[:kept]
    return np.array([np.frombuffer(key, bool) for key in best])


def _grow(visit: Callable[[Members], Floats], pools: int) -> None:
    """Add the pool that helps most, until all are in."""
    member_P = np.zeros(pools, bool)
    for _ in range(pools):
        grown = member_P | np.eye(pools, dtype=bool)[~member_P]
        member_P = grown[visit(grown).argmin()]


def _improve(visit: Callable[[Members], Floats], member_P: Members) -> None:
    """Put in, take out or exchange a pool as long as that helps."""
    value = visit(member_P[None])[0]
    for _ in range(_MOST_CHANGES):
        changed = _neighbours(member_P)
        value_N = visit(changed)
        if value_N.min() >= value:
            return
        value, member_P = value_N.min(), changed[value_N.argmin()]


def _neighbours(member_P: Members) -> Members:
    one = np.eye(member_P.size, dtype=bool)
    flipped = member_P ^ one
    swapped = [
        member_P ^ one[i] ^ one[j] for i in np.flatnonzero(member_P) for j in np.flatnonzero(~member_P)
    ]
    found = np.array([*flipped, *swapped])
    return np.asarray(found[found.any(1)])


def candidate_mixes(
    predictor: Predictor, sizes: Mapping[str, int], filled: Sequence[int], budgets: Sequence[int]
) -> Mixes:
    """The subsets to compare; `filled` are the places of the pools that have samples."""
    pools = predictor.laws.pool_names
    if len(filled) <= MOST_POOLS:
        return all_mixes(pools, sizes)
    members = _search(with_few_draws(predictor), filled, budgets)
    member_CP = np.zeros((len(members), len(pools)), bool)
    member_CP[:, filled] = members
    return subset_mixes(pools, sizes, member_CP)


def _search(few: Predictor, filled: Sequence[int], budgets: Sequence[int]) -> Members:
    """Subsets of the filled pools that are good at a budget or between two, and the nested ones."""
    between = np.geomspace(min(budgets) / 2, max(budgets) * 2, _SEARCHED_BUDGETS)
    seen_B = [float(samples_seen) for samples_seen in np.unique([*between, *budgets])]
    nested = np.tril(np.ones((len(filled), len(filled)), bool))
    found = [nested, np.eye(len(filled), dtype=bool)]
    everything = np.zeros((1, len(few.size_P)), bool)
    everything[:, filled] = True
    sizes = {few.laws.pool_names[place]: int(few.size_P[place]) for place in filled}
    whole = subset_mixes(few.laws.pool_names, sizes, everything)
    free_BP = best_weights(few, seen_B, starts(whole, [0] * len(seen_B), filled), filled)
    for samples_seen, free_P in zip(seen_B, free_BP, strict=True):

        def value(weights_NQ: Floats, samples_seen: float = samples_seen) -> Floats:
            return mean_errors(few, samples_seen, _spread(weights_NQ, filled, few.size_P.size))

        found.append(search_subsets(value, few.size_P[filled], free_P[filled], kept=_KEPT_A_BUDGET))
    return np.unique(np.concatenate(found), axis=0)
