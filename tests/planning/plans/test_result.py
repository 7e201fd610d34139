from tests.planning.plans.drawn import drawn_laws
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import summary

BUDGETS = (32_000_000, 64_000_000, 128_000_000, 640_000_000)


def test_a_sure_winner_is_called_the_best() -> None:
    sure = make_plan(drawn_laws(), BUDGETS).budgets[0]
    assert sure.verdict == "best"
    assert sure.decision == (
        "p0 is best at 32M samples seen (chance >99% that no other is better by more than 0.1 points), "
        "predicted error 83.0%, 83.0% to 83.0%."
    )


def test_a_doubtful_one_is_told_with_its_rival_its_cost_and_the_runs_that_tell() -> None:
    (budget,) = make_plan(drawn_laws(spread=0.15, seed=1), [400_000_000]).budgets
    assert budget.verdict == "unclear"
    best = budget.candidates[0]
    start = f"Cannot tell {best.name} from {budget.rival} at 400M samples seen (chance to be best "
    assert budget.decision.startswith(start)
    cost = f"costs {100 * best.expected_regret:.2g} points of error on average. "
    assert f"{cost}The run that would tell most for its cost: p" in budget.decision
    assert budget.decision.endswith("points less regret.")


def test_without_draws_enough_to_weigh_probes_both_mixes_are_named() -> None:
    (budget,) = make_plan(drawn_laws(spread=0.05, num_draws=15), [80_000_000]).budgets
    assert budget.verdict == "unclear"
    assert "on average. To tell, train " in budget.decision


def test_mixes_that_are_as_good_are_named_and_make_no_doubt() -> None:
    # p1 is a second part of the same pool: with or without it, nothing repeats
    laws = drawn_laws((-0.16, -0.16, -0.02), (9.0, 9.0, 2.0))
    (budget,) = make_plan(laws, [8_000_000]).budgets
    assert budget.verdict == "best"
    assert set(budget.as_good) | {budget.best} == {"p0", "p1", "p0 + p1"}
    assert "As good, to within 0.1 points: " in budget.decision


def test_a_winner_that_others_beat_by_too_little_to_matter_is_as_good_as_any() -> None:
    laws = drawn_laws((-0.16, -0.16), (9.0, 9.0), spread=0.02, seed=1)
    (budget,) = make_plan(laws, [8_000_000], tolerance=0.003).budgets
    assert budget.verdict == "close"
    assert budget.decision.startswith(
        f"{budget.best} is as good as any at 8M samples seen: another may be better, but acting on it costs "
    )


def test_passes_over_pools_of_unequal_weight_are_a_range() -> None:
    plan = make_plan(drawn_laws(), [640_000_000], weights="continuous")
    low, _, high = summary(plan)[0][5].partition("-")
    assert 0 < float(low) < float(high)
