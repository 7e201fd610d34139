import numpy as np
import pytest

from tests.planning.plans.drawn import drawn_laws, predictor
from thresher.planning.plans.mixes import all_mixes, uniform_weights
from thresher.planning.plans.prediction import mean_errors
from thresher.planning.plans.search import search_subsets


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_the_best_subset_of_ten_pools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    laws = drawn_laws(-rng.uniform(0.03, 0.2, 10), rng.uniform(1, 9, 10))
    size_P = rng.choice([2e6, 12.8e6, 60e6], 10)
    source = predictor(laws, size_P)
    for budget in (32e6, 640e6):

        def value(weights_NP: np.ndarray, budget: float = budget) -> np.ndarray:
            return mean_errors(source, budget, weights_NP)

        every = value(all_mixes(laws.pool_names, dict(zip(laws.pool_names, size_P, strict=True))).weights_CP)
        found = search_subsets(value, size_P, np.full(10, 0.1), kept=8)
        errors = value(uniform_weights(found, size_P))
        assert errors[0] == pytest.approx(every.min(), abs=5e-4)
        assert (np.diff(errors) >= 0).all()


def test_a_subset_is_evaluated_once() -> None:
    asked: list[bytes] = []

    def value(weights_NP: np.ndarray) -> np.ndarray:
        asked.extend(row.tobytes() for row in weights_NP > 0)
        return (weights_NP**2).sum(-1)

    found = search_subsets(value, np.ones(6), np.full(6, 1 / 6), kept=3)
    assert len(asked) == len(set(asked))
    assert found[0].all(), "equal weights have the smallest sum of squares"
