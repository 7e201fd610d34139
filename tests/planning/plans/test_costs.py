import numpy as np
import pytest

from tests.planning.plans.drawn import drawn_laws
from tests.planning.predicting import mix_error
from thresher.errors import InputError
from thresher.planning.laws.predict import predict_draws
from thresher.planning.plans.costs import Costs, costs_of_runs
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.result import winner
from thresher.planning.runs.record import Run

BUDGETS = (32_000_000, 128_000_000, 640_000_000)
LAWS = drawn_laws(spread=0.03)


def run(flops: float | None, **fields: object) -> Run:
    return Run(pool="p0", unique_samples=100, error=0.5, flops=flops, **{"samples_seen": 1000, **fields})


def test_a_run_with_several_points_is_charged_once() -> None:
    points = [run(1e9 * seen, run="a", seed=0, samples_seen=seen) for seen in (1000, 2000, 4000)]
    costs = costs_of_runs([*points, run(1e12, run="b", seed=0)])
    assert costs.probing_flops == pytest.approx(4e12 + 1e12)
    assert costs.flops_per_sample == pytest.approx(1e9)


def test_rows_without_a_name_are_runs_of_their_own_and_final_trainings_are_no_probes() -> None:
    costs = costs_of_runs([run(1e12), run(1e12, seed=1), run(None), run(5e12, role="verify")])
    assert costs.probing_flops == 2e12


def test_runs_that_do_not_tell_their_flops_tell_no_costs() -> None:
    assert costs_of_runs([run(None)]) == Costs()
    assert make_plan(LAWS, BUDGETS, spent=Costs()).payback is None
    assert make_plan(LAWS, BUDGETS, spent=Costs(probing_flops=1e15)).payback is None


def test_costs_are_shares_of_the_budgets() -> None:
    spent = Costs(scoring_flops=1e16, probing_flops=3e16, flops_per_sample=1e10)
    paid = make_plan(LAWS, BUDGETS, spent=spent).payback
    assert paid.samples == pytest.approx(4_000_000)
    assert [charge.share for charge in paid.budgets] == pytest.approx([1 / 8, 1 / 32, 1 / 160])
    assert paid.sentence.startswith(
        "Scoring (1e+16 FLOPs) and probing (3e+16 FLOPs) cost as much as 4M samples seen, 12% of 32M, "
        "0.62% of 640M; against training on everything that has paid back "
    )


@pytest.mark.parametrize("known", ["scoring_flops", "probing_flops"])
def test_what_is_not_known_is_not_charged(known: str) -> None:
    paid = make_plan(
        drawn_laws((-0.1,), (5.0,)), [100], spent=Costs(**{known: 8.0}, flops_per_sample=2.0)
    ).payback
    assert paid.samples == 4.0
    assert paid.budgets[0].share == 0.04


def test_the_sentence_of_a_single_budget_names_its_share_once() -> None:
    spent = Costs(scoring_flops=1e16, probing_flops=3e16, flops_per_sample=1e10)
    sentence = make_plan(LAWS, BUDGETS[:1], spent=spent).payback.sentence
    assert sentence.count("12% of 32M") == 1


def test_they_have_paid_back_where_everything_needs_that_many_samples_more() -> None:
    plan = make_plan(LAWS, BUDGETS, spent=Costs(probing_flops=2e18, flops_per_sample=1e10))
    paid = plan.payback
    everything = dict.fromkeys(plan.pools, 0.25)
    assert 16e6 < paid.since < 1.28e9
    for budget, charge in zip(plan.budgets, paid.budgets, strict=True):
        later = charge.samples_seen + charge.saved_samples
        reached = float(mix_error(LAWS, everything, plan.pools, later))
        assert reached == pytest.approx(winner(budget).predicted_error, abs=1e-3)
        assert (charge.saved_samples >= paid.samples) == (charge.samples_seen >= paid.since)
        assert 0 <= charge.chance <= 1
    assert paid.low is None or paid.low <= paid.since
    assert paid.high is None or paid.high >= paid.since
    assert "scoring is not known and not counted" in paid.sentence


@pytest.mark.parametrize("samples", [30_000_000, 100_000_000])
def test_the_chance_of_payback_is_the_share_of_draws_in_which_everything_would_need_more(
    samples: int,
) -> None:
    plan = make_plan(LAWS, BUDGETS, spent=Costs(probing_flops=samples * 1e10, flops_per_sample=1e10))
    names = LAWS.pool_names
    sizes = [float(plan.pools[name]) for name in names]
    for budget, charge in zip(plan.budgets, plan.payback.budgets, strict=True):
        chosen = [winner(budget).weights.get(name, 0.0) for name in names]
        plan_S = predict_draws(LAWS, budget.samples_seen, chosen, sizes)
        everything_S = predict_draws(LAWS, budget.samples_seen + samples, np.full(4, 0.25), sizes)
        # the curve of everything is followed from point to point
        assert charge.chance == pytest.approx((everything_S >= plan_S).mean(), abs=0.02)
    assert any(0 < charge.chance < 1 for charge in plan.payback.budgets)


def test_what_never_pays_back_says_so() -> None:
    equal = drawn_laws((-0.1, -0.1), (20.0, 20.0))
    paid = make_plan(equal, BUDGETS, spent=Costs(probing_flops=1e17, flops_per_sample=1e10)).payback
    assert (paid.since, paid.high) == (None, None)
    assert [charge.chance for charge in paid.budgets] == [0.0, 0.0, 0.0]
    assert paid.sentence.endswith("up to 1.28B training on everything is as good for less.")


def test_what_everything_never_reaches_has_no_end() -> None:
    junk = drawn_laws((-0.2, -0.0001), (20.0, 20.0))
    sizes = {"p0": 100_000_000, "p1": 10_000_000_000}
    paid = make_plan(junk, BUDGETS, sizes, spent=Costs(probing_flops=1e10, flops_per_sample=1e10)).payback
    assert [charge.saved_samples for charge in paid.budgets] == [None, None, None]
    assert [charge.chance for charge in paid.budgets] == [1.0, 1.0, 1.0]
    assert paid.sentence.endswith("has paid back at 16M already.")


def test_costs_are_numbers() -> None:
    with pytest.raises(InputError, match="probing_flops is nan"):
        Costs(probing_flops=np.nan)
    with pytest.raises(InputError, match="scoring_flops is -1"):
        Costs(scoring_flops=-1)
