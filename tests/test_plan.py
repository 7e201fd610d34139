import itertools
import json
import time

import numpy as np
import pytest

from tests.laws.planted import PUBLISHED, parameters, planted_runs
from thresher.errors import InputError
from thresher.laws.fit import fit
from thresher.laws.result import predict_mix
from thresher.plan import make_plan, summary
from thresher.plan_store import load_plan, save_plan

BUDGETS = (32_000_000, 64_000_000, 128_000_000, 640_000_000)
LONG = (20_000_000, 40_000_000, 80_000_000, 160_000_000, 320_000_000)


@pytest.fixture(scope="module")
def published():
    """The authors' law, from runs without noise."""
    return fit(planted_runs(PUBLISHED, lengths=LONG), num_draws=20)


@pytest.fixture(scope="module")
def doubtful():
    return fit(planted_runs(PUBLISHED, lengths=LONG, noise=0.01, seed=5), num_draws=100)


def test_the_published_law_gives_the_published_winners(published):
    plan = make_plan(published, BUDGETS)
    assert [budget.best for budget in plan.budgets] == ["p0", "p0", "p0 + p1", "p0 + p1"]
    accuracy = [100 * (1 - budget.candidates[0].predicted_error) for budget in plan.budgets]
    np.testing.assert_allclose(accuracy, [17.04, 22.72, 27.71, 35.64], atol=0.02)


def test_every_subset_is_a_candidate_with_its_own_prediction(published):
    sizes = {"p0": 5_000_000, "p1": 20_000_000, "p2": 12_800_000, "p3": 1_000_000}
    (budget,) = make_plan(published, [64_000_000], sizes).budgets
    subsets = {c for size in range(1, 5) for c in itertools.combinations(sizes, size)}
    assert {candidate.pools for candidate in budget.candidates} == subsets
    for candidate in budget.candidates:
        whole = sum(sizes[pool] for pool in candidate.pools)
        assert candidate.num_unique == whole
        assert candidate.weights == pytest.approx({pool: sizes[pool] / whole for pool in candidate.pools})
        assert candidate.repeats == pytest.approx(dict.fromkeys(candidate.pools, 64_000_000 / whole))
        assert candidate.predicted_error == pytest.approx(
            float(predict_mix(published, candidate.weights, sizes, 64_000_000)), rel=1e-12
        )


def test_candidates_come_best_first_and_chances_sum_to_one(doubtful):
    for budget in make_plan(doubtful, BUDGETS).budgets:
        errors = [candidate.predicted_error for candidate in budget.candidates]
        assert errors == sorted(errors)
        assert budget.best == budget.candidates[0].name
        assert sum(candidate.chance_best for candidate in budget.candidates) == pytest.approx(1.0)
        assert all(candidate.low <= candidate.high for candidate in budget.candidates)
        assert all(candidate.expected_regret >= 0 for candidate in budget.candidates)


def test_a_candidate_that_always_wins_has_no_regret(published):
    best = make_plan(published, BUDGETS).budgets[0].candidates[0]
    assert best.chance_best == 1.0
    assert best.expected_regret == 0.0


def test_a_sure_winner_is_called_the_best_and_a_doubtful_one_is_not(published, doubtful):
    sure = make_plan(published, BUDGETS).budgets[0]
    assert sure.decision.startswith("p0 is best at 32M samples seen (chance 100%), predicted error 83.0%")
    unsure = [
        budget for budget in make_plan(doubtful, BUDGETS).budgets if budget.candidates[0].chance_best < 0.8
    ]
    assert unsure
    for budget in unsure:
        rival = max(budget.candidates[1:], key=lambda candidate: candidate.chance_best)
        assert budget.decision.startswith(f"Cannot tell {budget.best} from {rival.name} at ")
        assert "costs" in budget.decision


def test_the_crossover_is_where_the_two_predictions_meet(published):
    plan = make_plan(published, BUDGETS)
    sizes = dict(plan.pools)
    first = plan.crossovers[0]
    assert (first.before, first.after) == ("p0", "p0 + p1")
    assert 64e6 < first.samples_seen < 128e6
    gap = [
        float(predict_mix(published, weights, sizes, first.samples_seen))
        for weights in ({"p0": 1.0}, {"p0": 0.5, "p1": 0.5})
    ]
    assert gap[0] == pytest.approx(gap[1], abs=1e-10)
    assert first.low == pytest.approx(first.samples_seen, rel=0.02)
    assert first.high == pytest.approx(first.samples_seen, rel=0.02)


def test_noise_widens_the_crossover(doubtful):
    crossings = make_plan(doubtful, BUDGETS).crossovers
    assert crossings
    for crossing in crossings:
        low = 0.0 if crossing.low is None else crossing.low
        high = np.inf if crossing.high is None else crossing.high
        assert low <= crossing.samples_seen <= high
        assert high > 1.05 * low


def test_no_crossover_where_one_pool_always_wins():
    truth = parameters(b=(-0.3, -0.01), tau=(30.0, 1.0))
    assert make_plan(fit(planted_runs(truth), num_draws=3), [20_000_000]).crossovers == ()


def test_larger_pools_wear_later(published):
    small = make_plan(published, [640_000_000]).budgets[0]
    large = make_plan(published, [640_000_000], dict.fromkeys(("p0", "p1", "p2", "p3"), 128_000_000)).budgets[
        0
    ]
    assert small.best == "p0 + p1"
    assert large.best == "p0"


def test_sizes_are_read_from_the_pools(published, tmp_path):
    pools = [{"name": f"p{number}", "rank": number, "num_samples": 10**7} for number in range(4)]
    record = {"schema": "thresher.pools", "version": 1, "pools": [*pools, {"name": "p4", "num_samples": 5}]}
    (tmp_path / "pools.json").write_text(json.dumps(record))
    plan = make_plan(published, BUDGETS, tmp_path)
    assert plan.pools == dict.fromkeys(("p0", "p1", "p2", "p3"), 10**7)
    assert plan.status == ("Pool p4 has no law and takes no part; probe it and fit again.",)
    assert plan == make_plan(published, BUDGETS, tmp_path / "pools.json")


def test_empty_pools_take_no_part(published):
    sizes = {"p0": 0, "p1": 10**7, "p2": 10**7, "p3": 0}
    plan = make_plan(published, [10**8], sizes)
    assert {candidate.name for candidate in plan.budgets[0].candidates} == {"p1", "p2", "p1 + p2"}
    assert plan.status == ("Pool p0 is empty and takes no part.", "Pool p3 is empty and takes no part.")


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
def test_a_plan_that_cannot_be_made_is_refused(published, budgets, sizes, message):
    with pytest.raises(InputError, match=message):
        make_plan(published, budgets, sizes)


def test_long_lists_keep_the_mixes_that_people_ask_for(published):
    (budget,) = make_plan(published, [640_000_000], kept=1).budgets
    names = [candidate.name for candidate in budget.candidates]
    assert {"p0", "p1", "p2", "p3", "p0 + p1", "p0 + p1 + p2", "p0 + p1 + p2 + p3"} <= set(names)
    assert "p1 + p3" not in names


def test_budgets_are_sorted_and_listed_once(published):
    plan = make_plan(published, [64_000_000, 32_000_000, 64_000_000])
    assert [budget.samples_seen for budget in plan.budgets] == [32_000_000, 64_000_000]


def test_a_plan_without_draws_rests_on_the_fitted_values():
    fitted = fit(planted_runs(PUBLISHED, lengths=LONG), num_draws=0)
    best = make_plan(fitted, [64_000_000]).budgets[0].candidates[0]
    assert (best.low, best.high, best.chance_best) == (best.predicted_error, best.predicted_error, 1.0)


def test_a_plan_survives_its_file_byte_for_byte(doubtful, tmp_path):
    plan = make_plan(doubtful, BUDGETS)
    save_plan(tmp_path / "one.json", plan)
    assert load_plan(tmp_path / "one.json") == plan
    save_plan(tmp_path / "two.json", load_plan(tmp_path / "one.json"))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    record = json.loads((tmp_path / "one.json").read_text())
    assert (record["schema"], record["version"]) == ("thresher.plan", 1)
    assert set(record["crossovers"][0]) == {"from", "to", "samples_seen", "low", "high"}
    assert record["pools"][0] == {"name": "p0", "num_samples": 12_800_000}
    with pytest.raises(InputError, match="make it with `thresher plan`"):
        load_plan(tmp_path / "none.json")


def test_the_summary_has_a_row_for_each_budget(published):
    rows = summary(make_plan(published, BUDGETS))
    assert [row["budget"] for row in rows] == ["32M", "64M", "128M", "640M"]
    assert rows[0]["error"] == "83.0%"
    assert rows[2]["passes"] == "5"


def test_twelve_pools_are_planned_in_seconds_and_thirteen_refused():
    b = -0.2 * 0.8 ** np.arange(12)
    fitted = fit(planted_runs(parameters(b=b, tau=np.full(12, 4.0)), noise=0.003), num_draws=20)
    start = time.process_time()
    (budget,) = make_plan(fitted, [128_000_000]).budgets
    assert time.process_time() - start < 10
    assert len(budget.candidates) >= 64
    more = fit(planted_runs(parameters(b=[*b, -0.01], tau=np.full(13, 4.0))), num_draws=0)
    with pytest.raises(InputError, match="13 pools have too many subsets"):
        make_plan(more, [128_000_000])
