from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import BudgetPlan, Candidate
from thresher.train.probe.stage import verification_trials


def budget(samples_seen: int, **weights: float) -> BudgetPlan:
    name = " + ".join(weights)
    candidate = Candidate(
        name=name,
        pools=tuple(weights),
        weights=weights,
        predicted_error=0.5,
        low=0.4,
        high=0.6,
        chance_best=1.0,
        expected_regret=0.0,
        repeats=dict.fromkeys(weights, 1.0),
        num_unique=100,
    )
    return BudgetPlan(samples_seen=samples_seen, best=name, candidates=(candidate,), decision="")


def plan(*budgets: BudgetPlan) -> Plan:
    return Plan(
        law="utility", metric="zeroshot_error", budgets=budgets, crossovers=(), pools={"a": 50, "b": 50}
    )


def test_both_winners_are_trained_on_whole_pools_and_measured_at_both_ends() -> None:
    trials = verification_trials(
        plan(budget(64, a=1.0), budget(128, b=1.0), budget(256, a=0.5, b=0.5)), (0, 1)
    )
    assert [(dict(trial.weights), trial.seed) for trial in trials] == [
        ({"a": 1.0}, 0),
        ({"a": 1.0}, 1),
        ({"a": 0.5, "b": 0.5}, 0),
        ({"a": 0.5, "b": 0.5}, 1),
    ]
    assert {(trial.role, trial.fraction, trial.points) for trial in trials} == {("verify", 1.0, (64, 256))}


def test_one_winner_at_both_ends_is_trained_once() -> None:
    assert len(verification_trials(plan(budget(64, a=1.0), budget(256, a=1.0)), (0,))) == 1


def test_the_order_of_the_budgets_does_not_matter() -> None:
    budgets = (budget(256, a=0.5, b=0.5), budget(64, a=1.0))
    assert verification_trials(plan(*budgets), (0,)) == verification_trials(plan(*budgets[::-1]), (0,))
