"""Searching subsets where there are too many of them to compare all.

Subsets are grown pool by pool, in the order that helps most and in the order of the best free weights; the
best one is then changed by one pool, or by one pool for another, as long as that helps. Axes: N subsets, P
pools.

The mixes that a plan compares: all subsets of up to 12 pools, the best ones that a search finds of more.

Axes: B budgets, C candidates, P pools.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Floats
from thresher.planning.plans.mixes import MOST_POOLS, Mixes, all_mixes, subset_mixes, uniform_weights
from thresher.planning.plans.predict import Predictor, mean_errors, with_few_draws
from thresher.planning.plans.simplex import best_weights, starts

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
    whole = subset_mixes(few.laws.pool_names, _sizes(few, filled), everything)
    free_BP = best_weights(few, seen_B, starts(whole, [0] * len(seen_B), filled), filled)
    for samples_seen, free_P in zip(seen_B, free_BP, strict=True):

        def value(weights_NQ: Floats, samples_seen: float = samples_seen) -> Floats:
            weights_NP = np.zeros((len(weights_NQ), len(few.size_P)))
            weights_NP[:, filled] = weights_NQ
            return mean_errors(few, samples_seen, weights_NP)

        found.append(search_subsets(value, few.size_P[filled], free_P[filled], kept=_KEPT_A_BUDGET))
    return np.unique(np.concatenate(found), axis=0)


def _sizes(predictor: Predictor, filled: Sequence[int]) -> dict[str, int]:
    return {predictor.laws.pool_names[place]: int(predictor.size_P[place]) for place in filled}
