import numpy as np
import pytest

from tests.planning.plans.drawn import drawn_laws, predictor
from thresher.planning.plans.mixes import all_mixes
from thresher.planning.plans.one_budget import choose
from thresher.planning.plans.prediction import errors as errors_of_draws

RNG_SEED = 3


def errors(*columns: list[float]) -> np.ndarray:
    return np.array(columns, float).T


def test_the_lowest_mean_is_chosen_and_has_the_lowest_regret() -> None:
    error_SC = np.random.default_rng(RNG_SEED).normal(0.5, 0.02, (50, 6))
    choice = choose(error_SC, tolerance=0.001)
    assert choice.best == error_SC.mean(0).argmin()
    assert choice.regret_C[choice.best] == choice.regret_C.min()
    assert choice.order_C == list(np.argsort(error_SC.mean(0)))


def test_chances_are_shares_of_the_draws_and_what_is_within_the_tolerance_goes_to_the_chosen_one() -> None:
    error_SC = errors([0.50, 0.50, 0.50, 0.50], [0.4995, 0.4995, 0.52, 0.49])
    choice = choose(error_SC, tolerance=0.001)
    np.testing.assert_allclose(choice.chance_C, [0.75, 0.25])
    np.testing.assert_allclose(choose(error_SC, tolerance=0.0).chance_C, [0.25, 0.75])


def test_twins_do_not_make_a_winner_doubtful() -> None:
    quality_S = np.random.default_rng(RNG_SEED).normal(0.5, 0.02, 100)
    twin_S = quality_S + np.random.default_rng(1).normal(0, 0.0003, 100)
    choice = choose(np.stack([quality_S, twin_S, quality_S + 0.05], axis=1), tolerance=0.001)
    assert choice.verdict == "best"
    assert choice.as_good == [1 - choice.best]


def test_only_what_is_within_the_tolerance_in_nine_of_ten_draws_is_called_as_good() -> None:
    best = np.full(10, 0.5)
    nearly_always, mostly = (np.where(np.arange(10) < draws, 0.5005, 0.51) for draws in (9, 8))
    choice = choose(np.stack([best, mostly, nearly_always], axis=1), tolerance=0.001)
    assert (choice.best, choice.as_good) == (0, [2])


@pytest.mark.parametrize(("spread", "verdict"), [(0.0008, "close"), (0.004, "unclear")])
def test_a_winner_that_others_beat_by_little_is_close_and_one_that_they_beat_by_much_unclear(
    spread: float, verdict: str
) -> None:
    rng = np.random.default_rng(RNG_SEED)
    choice = choose(0.5 + rng.normal(0, spread, (200, 4)), tolerance=0.001)
    assert choice.chance_C[choice.best] < 0.9
    assert (choice.regret_C[choice.best] <= 0.001) == (verdict == "close")
    assert choice.verdict == verdict


@pytest.mark.parametrize("first", range(4))
def test_an_unclear_choice_names_the_rival_that_would_save_most(first: int) -> None:
    # 1 is often a little better, 2 seldom but much, whichever draw comes first
    often, seldom = np.tile([0.495, 0.505], 50), np.where(np.arange(100) % 5 == 0, 0.40, 0.56)
    error_SC = np.stack([np.full(100, 0.5), often, seldom], axis=1)
    choice = choose(np.roll(error_SC, first, axis=0), tolerance=0.001)
    assert (choice.best, choice.verdict, choice.rival) == (0, "unclear", 2)


def test_another_candidate_can_be_chosen() -> None:
    choice = choose(errors([0.5, 0.5], [0.4, 0.4]), tolerance=0.001, best=0)
    assert (choice.best, choice.order_C, choice.rival) == (0, [0, 1], 1)
    assert choice.regret_C[0] == pytest.approx(0.1)


def test_a_single_candidate_has_no_rival() -> None:
    choice = choose(errors([0.5, 0.6]), tolerance=0.001)
    assert (choice.rival, choice.as_good, choice.verdict) == (None, [], "nothing")


def test_what_is_called_the_best_is_so_in_nine_of_ten_worlds_that_the_draws_describe() -> None:
    right: list[bool] = []
    regrets: list[float] = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        laws = drawn_laws(-rng.uniform(0.05, 0.2, 4), rng.uniform(2, 9, 4), spread=0.05, seed=seed)
        mixes = all_mixes(laws.pool_names, dict.fromkeys(laws.pool_names, 12_800_000))
        error_SC = errors_of_draws(predictor(laws), 10 ** rng.uniform(7, 9), mixes.weights_CP)
        for truth in range(40):
            choice = choose(np.delete(error_SC, truth, axis=0), tolerance=0.001)
            beyond = error_SC[truth, choice.best] - error_SC[truth].min()
            regrets.append(beyond - choice.regret_C[choice.best])
            if choice.verdict == "best":
                right.append(beyond <= 0.001)
    assert len(right) > 200
    assert np.mean(right) >= 0.9
    assert np.mean(regrets) == pytest.approx(0.0, abs=5e-4)
