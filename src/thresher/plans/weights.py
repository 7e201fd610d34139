"""Free weights: the best ones at each budget, and what they add to the best subset.

Axes: S draws, B budgets, T starts, C candidates, P pools.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thresher.laws.law import Floats
from thresher.plans.mixes import Mixes, rounded, uniform_weights
from thresher.plans.predict import Predictor, mean_errors, with_few_draws
from thresher.plans.simplex import descend

_SEARCH_ROUNDS = 40
_POLISH_ROUNDS = 12
_NEGLIGIBLE_WEIGHT = 0.005
_NEGLIGIBLE_ERROR = 2e-5


def best_weights(
    predictor: Predictor, budgets: Sequence[float], starts_BTP: Floats, filled: Sequence[int]
) -> Floats:
    """The weights that minimise the mean error at each budget, in whole thousandths, [B, P].

    Found from several starts by a few draws and then improved by all of them. Weights that can be left out at
    no cost are 0.
    """
    pools = np.asarray(filled)
    seen_B = np.asarray(budgets, float)
    few, count = with_few_draws(predictor), starts_BTP.shape[1]

    def lowest(source: Predictor, seen_N: Floats, starts_NQ: Floats, rounds: int) -> tuple[Floats, Floats]:
        def value(problem_N: NDArray[np.intp], weights_NQ: Floats) -> Floats:
            return mean_errors(source, seen_N[problem_N], _spread(weights_NQ, pools, predictor.size_P.size))

        return descend(value, starts_NQ, rounds=rounds)

    found_NQ, error_N = lowest(
        few, np.repeat(seen_B, count), starts_BTP[..., pools].reshape(-1, pools.size), _SEARCH_ROUNDS
    )
    best_B = error_N.reshape(-1, count).argmin(1)
    start_BQ = found_NQ.reshape(-1, count, pools.size)[np.arange(seen_B.size), best_B]
    polished_BQ, _ = lowest(predictor, seen_B, start_BQ, _POLISH_ROUNDS)
    polished_BP = _spread(polished_BQ, pools, predictor.size_P.size)
    return np.array([_tidy(predictor, seen, row) for seen, row in zip(seen_B, polished_BP, strict=True)])


def starts(mixes: Mixes, best: Sequence[int], filled: Sequence[int]) -> Floats:
    """Where to begin at each budget, [B, T, P]: its best subset, everything, and equal weights."""
    member_P = np.isin(np.arange(len(mixes.pools)), filled)
    everything_P = uniform_weights(member_P[None], mixes.size_P)[0]
    equal_P = member_P / member_P.sum()
    return np.array([[mixes.weights_CP[place], everything_P, equal_P] for place in best])


def _spread(weights_NQ: Floats, pools: NDArray[np.intp], num_pools: int) -> Floats:
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
