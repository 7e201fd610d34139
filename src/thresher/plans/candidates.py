"""The mixes that a plan compares: all subsets of up to 12 pools, the best ones that a search finds of more.

Axes: B budgets, C candidates, P pools.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from thresher.laws.law import Floats
from thresher.plans.greedy import Members, search_subsets
from thresher.plans.mixes import MOST_POOLS, Mixes, all_mixes, subset_mixes
from thresher.plans.predict import Predictor, mean_errors, with_few_draws
from thresher.plans.weights import best_weights, starts

_SEARCHED_BUDGETS = 9
_KEPT_A_BUDGET = 64


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
