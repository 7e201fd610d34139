import itertools
import json
from typing import Any

import numpy as np
import pytest

from tests.planning.plans.drawn import POOL_SIZE, both_laws, drawn_laws
from tests.planning.predicting import mix_error
from thresher.errors import InputError
from thresher.planning.laws.fit import fit
from thresher.planning.laws.predict import predict_draws
from thresher.planning.plans import prediction
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import summary
from thresher.planning.plans.result import Comparison, winner
from thresher.planning.runs.record import Run
from thresher.tables import passes_text

BUDGETS = (32_000_000, 64_000_000, 128_000_000, 640_000_000)
PUBLISHED = drawn_laws()
DOUBTFUL = drawn_laws(spread=0.05)


def test_the_published_law_gives_the_published_winners() -> None:
    plan = make_plan(PUBLISHED, BUDGETS)
    assert [budget.best for budget in plan.budgets] == ["p0", "p0", "p0 + p1", "p0 + p1"]
    accuracy = [100 * (1 - winner(budget).predicted_error) for budget in plan.budgets]
    np.testing.assert_allclose(accuracy, [17.04, 22.72, 27.71, 35.64], atol=0.01)


def test_every_subset_is_a_candidate_with_its_own_prediction() -> None:
    sizes = {"p0": 5_000_000, "p1": 20_000_000, "p2": 12_800_000, "p3": 1_000_000}
    (budget,) = make_plan(DOUBTFUL, [64_000_000], sizes).budgets
    subsets = {c for size in range(1, 5) for c in itertools.combinations(sizes, size)}
    assert {candidate.pools for candidate in budget.candidates} == subsets
    for candidate in budget.candidates:
        whole = sum(sizes[pool] for pool in candidate.pools)
        assert candidate.num_unique == whole
        assert candidate.weights == pytest.approx({pool: sizes[pool] / whole for pool in candidate.pools})
        assert candidate.repeats == pytest.approx(dict.fromkeys(candidate.pools, 64_000_000 / whole))
        assert candidate.predicted_error == pytest.approx(
            float(mix_error(DOUBTFUL, candidate.weights, sizes, 64_000_000)), rel=1e-12
        )


def test_the_lowest_mean_over_the_draws_is_chosen_not_the_lowest_at_the_fitted_values() -> None:
    # p0's half-life is either long or very short: at the middle value it looks better than it is on average
    sure, unsure = 0.0, 1.2
    laws = drawn_laws((-0.16, -0.15), (6.0, 6.0), spread=0.001)
    fit = laws.best
    draws_SX = fit.draws_SX.copy()
    place = fit.draw_names.index("tau:p0")
    draws_SX[:, place] = 6.0 * np.exp(unsure * np.where(np.arange(len(draws_SX)) % 2, 1.0, -1.0) + sure)
    object.__setattr__(fit, "draws_SX", draws_SX)
    (budget,) = make_plan(laws, [128_000_000]).budgets
    size_P = [POOL_SIZE, POOL_SIZE]
    middle = drawn_laws((-0.16, -0.15), (6.0, 6.0))
    at_middle = [
        float(predict_draws(middle, 128_000_000, weights, size_P)[0]) for weights in ([1, 0], [0, 1])
    ]
    means = {c.name: c.predicted_error for c in budget.candidates}
    assert at_middle[0] < at_middle[1]
    assert means["p1"] < means["p0"]
    assert budget.best == min(means, key=lambda name: means[name])
    regrets = {c.name: c.expected_regret for c in budget.candidates}
    assert regrets[budget.best] == min(regrets.values())


def test_candidates_come_best_first_with_chances_and_regrets() -> None:
    for budget in make_plan(DOUBTFUL, BUDGETS).budgets:
        errors = [candidate.predicted_error for candidate in budget.candidates]
        assert errors == sorted(errors)
        assert budget.best == budget.candidates[0].name
        assert all(0 <= candidate.chance_best <= 1 for candidate in budget.candidates)
        assert all(
            candidate.low <= candidate.predicted_error <= candidate.high for candidate in budget.candidates
        )
        assert all(
            candidate.expected_regret >= budget.candidates[0].expected_regret
            for candidate in budget.candidates
        )


def test_a_candidate_that_always_wins_has_no_regret() -> None:
    best = make_plan(PUBLISHED, BUDGETS).budgets[0].candidates[0]
    assert (best.chance_best, best.expected_regret) == (1.0, 0.0)


def test_doubt_about_the_law_is_doubt_about_the_winner() -> None:
    forgiving = drawn_laws((-0.16, -0.11), (90.0, 90.0))
    harsh = drawn_laws((-0.16, -0.11), (1.0, 1.0))
    winners = [make_plan(laws, [64_000_000]).budgets[0] for laws in (forgiving, harsh)]
    assert [(budget.best, budget.verdict) for budget in winners] == [("p0", "best"), ("p0 + p1", "best")]
    (both,) = make_plan(both_laws(forgiving, harsh), [64_000_000]).budgets
    assert both.verdict == "unclear"
    assert {both.best, both.rival} == {"p0", "p0 + p1"}
    assert [both.candidates[0].chance_best, both.candidates[1].chance_best] == [0.5, 0.5]


def test_the_runs_that_would_tell_are_named_by_whoever_knows_better() -> None:
    seen: list[Comparison] = []

    def telling(contest: Comparison) -> str:
        seen.append(contest)
        return "Probe p0 for 12 epochs."

    plan = make_plan(DOUBTFUL, [80_000_000], telling=telling)
    (budget,) = plan.budgets
    assert budget.verdict == "unclear"
    assert budget.decision.endswith("Probe p0 for 12 epochs.")
    assert (seen[0].best.name, seen[0].rival.name) == (budget.best, budget.rival)
    assert seen[0].noise == 0.003


def test_larger_pools_wear_later() -> None:
    small = make_plan(PUBLISHED, [640_000_000]).budgets[0]
    large = make_plan(PUBLISHED, [640_000_000], dict.fromkeys(("p0", "p1", "p2", "p3"), 128_000_000)).budgets[
        0
    ]
    assert (small.best, large.best) == ("p0 + p1", "p0")


def test_sizes_are_read_from_the_pools(tmp_path) -> None:
    pools = [{"name": f"p{number}", "rank": number, "num_samples": 10**7} for number in range(4)]
    record = {"schema": "thresher.pools", "version": 1, "pools": [*pools, {"name": "p4", "num_samples": 5}]}
    (tmp_path / "pools.json").write_text(json.dumps(record))
    plan = make_plan(PUBLISHED, BUDGETS, tmp_path)
    assert plan.pools == dict.fromkeys(("p0", "p1", "p2", "p3"), 10**7)
    assert plan.status == ("Pool p4 has no law and takes no part; probe it and fit again.",)
    assert plan == make_plan(PUBLISHED, BUDGETS, tmp_path / "pools.json")


def test_empty_pools_take_no_part() -> None:
    sizes = {"p0": 0, "p1": 10**7, "p2": 10**7, "p3": 0}
    plan = make_plan(PUBLISHED, [10**8], sizes)
    assert {candidate.name for candidate in plan.budgets[0].candidates} == {"p1", "p2", "p1 + p2"}
    assert plan.status == ("Pool p0 is empty and takes no part.", "Pool p3 is empty and takes no part.")
    assert set(plan.budgets[0].weighting.candidate.weights) <= {"p1", "p2"}


def test_one_pool_is_the_only_candidate() -> None:
    plan = make_plan(drawn_laws((-0.16,), (6.0,), spread=0.05), [10**8])
    (budget,) = plan.budgets
    said = "Nothing to decide at 100M samples seen: p0 is the only candidate, predicted error "
    assert budget.verdict == "nothing"
    assert budget.decision.startswith(said)
    assert (budget.weighting, budget.rival, plan.crossovers) == (None, None, ())


@pytest.mark.parametrize(
    ("budgets", "sizes", "message"),
    [
        ([], None, "a plan needs a budget"),
        ([0], None, "0 samples seen trains nothing"),
        ([100], {"p0": 5}, "the laws hold pool 'p1', the pools are p0"),
        ([100], dict.fromkeys(("p0", "p1", "p2", "p3"), 0), "every pool is empty"),
        ([100], "nowhere/pools.json", "cannot read nowhere/pools.json"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(budgets, sizes, message) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(PUBLISHED, budgets, sizes)


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(InputError, match="weights is 'some'; choose one of subsets, continuous, both"):
        make_plan(PUBLISHED, [100], weights="some")


def test_budgets_are_sorted_and_listed_once() -> None:
    plan = make_plan(PUBLISHED, [64_000_000, 32_000_000, 64_000_000])
    assert [budget.samples_seen for budget in plan.budgets] == [32_000_000, 64_000_000]


def test_winners_are_sought_from_half_the_smallest_budget_to_twice_the_largest() -> None:
    assert make_plan(PUBLISHED, [64_000_000, 32_000_000]).looked_at == (16e6, 128e6)


def test_a_single_sample_is_a_budget() -> None:
    (budget,) = make_plan(PUBLISHED, [1]).budgets
    assert budget.samples_seen == 1


def test_long_lists_keep_the_mixes_that_people_ask_for() -> None:
    (budget,) = make_plan(PUBLISHED, [640_000_000], kept=1).budgets
    names = {candidate.name for candidate in budget.candidates}
    assert {"p0", "p1", "p2", "p3", "p0 + p1", "p0 + p1 + p2", "p0 + p1 + p2 + p3"} <= names
    assert "p1 + p3" not in names


def test_the_summary_has_a_row_for_each_budget() -> None:
    rows = summary(make_plan(PUBLISHED, BUDGETS))
    assert [row[0] for row in rows] == ["32M", "64M", "128M", "640M"]
    assert rows[0][2] == "83.0%"
    assert rows[2][5] == "5"


def test_the_same_laws_give_the_same_plan() -> None:
    first, second = (make_plan(DOUBTFUL, BUDGETS[:2], weights="both") for _ in range(2))
    assert first == second


def test_a_loss_is_planned_in_its_own_unit() -> None:
    plan = make_plan(drawn_laws(metric="val_loss", spread=0.05, A=3.0, d=1.5), [80_000_000])
    assert plan.tolerance == 0.005
    assert "%" not in plan.budgets[0].decision.partition("predicted error ")[2].partition(",")[0]


def test_eight_pools_and_twenty_budgets_take_few_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of a core with 200 draws: not all weights of all pools at all budgets."""
    predicted = []

    def count(*given: Any, **named: Any) -> Any:
        found = predict_draws(*given, **named)
        predicted.append(found.size)
        return found

    monkeypatch.setattr(prediction, "predict_draws", count)
    worth, tau = -0.16 * 0.85 ** np.arange(8), np.linspace(7, 3, 8)
    laws = drawn_laws(worth, tau, spread=0.03, num_draws=40)
    plan = make_plan(laws, [int(seen) for seen in np.geomspace(16e6, 1.28e9, 20)])
    assert 0 < sum(predicted) < 1.5e6
    assert len(predicted) < 1000
    assert len(plan.budgets) == 20
    assert any(budget.weighting is not None for budget in plan.budgets)


def test_the_subsets_of_twelve_pools_are_all_compared() -> None:
    worth, tau = -0.2 * 0.8 ** np.arange(12), np.full(12, 4.0)
    laws = drawn_laws(worth, tau, spread=0.03, num_draws=5)
    plan = make_plan(laws, [128_000_000], kept=4095)
    assert len(plan.budgets[0].candidates) == 4095
    assert plan.status == ()


def test_the_subsets_of_more_pools_are_searched_and_the_gap_is_stated() -> None:
    worth, tau = -0.2 * 0.9 ** np.arange(15), np.full(15, 4.0)
    plan = make_plan(drawn_laws(worth, tau, spread=0.03, num_draws=10), [32_000_000, 640_000_000])
    assert "15 pools have 32,767 subsets; a greedy search found" in plan.status[0]
    assert "are better by at most" in plan.status[0]
    gaps = [0.0 if budget.weighting is None else budget.weighting.gain for budget in plan.budgets]
    assert max(gaps) < 0.01
    names = {candidate.name for candidate in plan.budgets[0].candidates}
    assert {"p0", "p14", " + ".join(f"p{number}" for number in range(15))} <= names


def test_a_decision_says_how_far_it_lies_beyond_the_runs() -> None:
    runs = [
        Run(pool=pool, unique_samples=10**6, samples_seen=seen, error=error, final=True)
        for pool, errors in {"a": (0.8, 0.7, 0.62), "b": (0.9, 0.85, 0.8)}.items()
        for seen, error in zip((10**6, 2 * 10**6, 4 * 10**6), errors, strict=True)
    ]
    within, beyond = make_plan(fit(runs, num_draws=40), [4 * 10**6, 4 * 10**7]).budgets
    assert "Beyond the runs" not in within.decision
    passes = passes_text(max(winner(beyond).repeats.values()))
    assert beyond.decision.endswith(
        f"Beyond the runs: 10 times the longest run, and {passes} passes over a where at most 4 were run."
    )
