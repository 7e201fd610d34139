import dataclasses
import math

import pytest

from tests.report.planted import NAMES, POOL_SAMPLES, planted_plan, prefix_weights
from thresher.planning.plans.result import BudgetPlan, Crossover
from thresher.planning.runs.record import Run
from thresher.report.verdict import budgets, crossover_text, order_sentences, summary, trained
from thresher.report.wording import Scale

SCALE = Scale(metric="zeroshot_error", percent=True)
PLAN = planted_plan()
ONE, TWO = NAMES[0], f"{NAMES[0]} + {NAMES[1]}"


def _runs(errors: dict[int, list[float]], samples_seen: int = 8_192) -> list[Run]:
    """Verify runs: number of pools -> error of each seed."""
    return [
        Run(
            weights=prefix_weights(num),
            unique_samples=sum(POOL_SAMPLES[:num]),
            samples_seen=samples_seen,
            error=error,
            seed=seed,
            role="verify",
        )
        for num, values in errors.items()
        for seed, error in enumerate(values)
    ]


def test_trained_candidates_meet_their_predictions_and_are_averaged_over_seeds() -> None:
    found = trained(_runs({1: [0.40, 0.42], 2: [0.44]}), PLAN)
    assert [t.name for t in found] == [ONE, TWO]
    predictions = {c.name: c.predicted_error for c in PLAN.budgets[0].candidates}
    assert [t.predicted for t in found] == [predictions[ONE], predictions[TWO]]
    assert found[0].measured == pytest.approx(0.41)
    assert found[0].se == pytest.approx(0.01)
    assert math.isnan(found[1].se)


def test_fit_and_check_runs_are_no_verification() -> None:
    runs = [
        Run(pool=ONE, unique_samples=10, samples_seen=8_192, error=0.5, role=role)
        for role in ("fit", "check")
    ]
    assert trained(runs, PLAN) == []


def test_a_budget_of_whole_batches_still_meets_its_prediction() -> None:
    near, far = trained(_runs({1: [0.4]}, 8_256), PLAN), trained(_runs({1: [0.4]}, 9_000), PLAN)
    assert near[0].predicted is not None
    assert far[0].predicted is None
    assert order_sentences(far, SCALE) == []


def test_the_order_is_said_to_hold_only_where_it_held() -> None:
    held = order_sentences(trained(_runs({1: [0.38, 0.40], 2: [0.41, 0.43]}), PLAN), SCALE)
    assert held[0].startswith(
        f"At 8.192k samples seen the order held: {ONE}, predicted best, came out 3 points"
    )
    assert "two standard errors of the difference: 2.8 points" in held[0]
    turned = order_sentences(trained(_runs({1: [0.45], 2: [0.41]}), PLAN), SCALE)
    start, _, rest = turned[0].partition(": ")
    assert start == "At 8.192k samples seen the order did not hold"
    assert rest == f"{ONE} was predicted best, but {TWO} came out 4 points better than {ONE}."


def test_a_wrong_order_behind_the_winner_is_said() -> None:
    said = order_sentences(trained(_runs({1: [0.30], 3: [0.40], 2: [0.50]}), PLAN), SCALE)
    assert said[0].endswith("; the others changed places.")
    kept = order_sentences(trained(_runs({1: [0.30], 2: [0.40], 3: [0.50]}), PLAN), SCALE)
    assert kept[0].endswith("and the others stand in the predicted order too.")


def test_the_error_of_the_predictions_is_their_mean_distance() -> None:
    predicted = {c.name: c.predicted_error for c in PLAN.budgets[0].candidates}
    runs = _runs({1: [predicted[ONE] + 0.01], 2: [predicted[TWO] - 0.03]})
    said = order_sentences(trained(runs, PLAN), SCALE)
    assert said[-1] == "Mean absolute error of these 2 predictions: 2 points."


def _with_verdict(verdict: str, chance: float) -> BudgetPlan:
    budget = PLAN.budgets[1]
    best = dataclasses.replace(budget.candidates[0], chance_best=chance)
    return dataclasses.replace(budget, verdict=verdict, candidates=(best, *budget.candidates[1:]))


def test_the_summary_names_each_winner_with_its_doubt() -> None:
    first, _, last = PLAN.budgets
    assert first.verdict == "best"
    last = dataclasses.replace(last, verdict="best")
    plan = dataclasses.replace(PLAN, budgets=(first, _with_verdict("unclear", 0.6), last))
    said = summary(plan)
    assert said[:3] == [
        f"{ONE} is predicted best at 8.192k samples seen.",
        f"{TWO} is predicted best at 32.77k samples seen, but its chance of being the best is only 60%.",
        f"{TWO} is predicted best at 131.1k samples seen.",
    ]
    assert said[3].startswith(f"{TWO} overtakes {ONE} at about")


def test_where_the_runs_hold_no_signal_no_winner_is_named() -> None:
    budgets = tuple(dataclasses.replace(budget, verdict="nothing") for budget in PLAN.budgets)
    assert summary(dataclasses.replace(PLAN, budgets=budgets, crossovers=())) == [
        "Nothing to decide at 8.192k, 32.77k and 131.1k samples seen: the runs hold no signal."
    ]


def test_budgets_with_one_winner_share_a_sentence() -> None:
    both = dataclasses.replace(PLAN, budgets=(PLAN.budgets[0], PLAN.budgets[0]), crossovers=())
    assert summary(both) == [f"{ONE} is predicted best at 8.192k and 8.192k samples seen."]


def test_a_winner_that_others_hardly_beat_is_said_to_be_good_enough() -> None:
    said = summary(dataclasses.replace(PLAN, budgets=(_with_verdict("close", 0.6),)))[0]
    assert said == (
        f"{TWO} is predicted best at 32.77k samples seen; others may be better, but too little to matter."
    )


def test_a_crossover_that_many_draws_lack_says_so() -> None:
    crossover = Crossover(before="a", after="b", samples_seen=6e7, low=4e7, high=None, chance=0.7)
    assert crossover_text(crossover) == (
        "b overtakes a at about 60M samples seen (interval above 40M, in 70% of the draws)."
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (4e7, 9e7, "(interval 40M to 90M)."),
        (None, 9e7, "(interval below 90M)."),
        (4e7, None, "(interval above 40M)."),
        (None, None, "(no interval, the draws do not agree)."),
    ],
)
def test_open_ends_of_a_crossover_are_said(low: float | None, high: float | None, words: str) -> None:
    crossover = Crossover(before="a", after="b", samples_seen=6.123e7, low=low, high=high)
    assert crossover_text(crossover) == f"b overtakes a at about 61M samples seen {words}"


def test_a_card_shows_the_plans_rival_as_runner_up() -> None:
    card, doubtful = budgets(PLAN, SCALE)[:2]
    assert card["runner_up"] is not None
    assert card["runner_up"].name == PLAN.budgets[0].rival
    assert card["repeats"] == [(ONE, "3.2 times")]
    assert card["rows"][0] == card["best"]
    assert doubtful["runner_up"] is not None
    assert doubtful["runner_up"].name == ONE


def test_a_trained_mix_of_free_weights_meets_its_prediction() -> None:
    weighting = PLAN.budgets[-1].weighting
    assert weighting is not None
    sizes = dict(zip(NAMES, POOL_SAMPLES, strict=True))
    run = Run(
        weights=weighting.candidate.weights,
        unique_samples={pool: sizes[pool] for pool in weighting.candidate.weights},
        samples_seen=131_072,
        error=0.3,
        role="verify",
    )
    (found,) = trained([run], PLAN)
    assert found.name == weighting.candidate.name
    assert found.predicted == weighting.candidate.predicted_error
