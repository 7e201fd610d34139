import math

import pytest

from tests.report.fake_workdir import FIT, NAMES, POOL_SAMPLES, prefix_weights
from thresher.crossovers import Crossover
from thresher.plan import make_plan
from thresher.report.verdict import budgets, crossover_text, order_sentences, summary, trained
from thresher.report.wording import Scale
from thresher.runs import Run

SCALE = Scale(metric="zeroshot_error", percent=True)
PLAN = make_plan(FIT, [8_192, 131_072], dict(zip(NAMES, POOL_SAMPLES, strict=True)))
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
        f"At 8.192k samples seen the order held: {ONE}, predicted best, came out 3.0 points"
    )
    assert "two standard errors of the difference: 2.8 points" in held[0]
    turned = order_sentences(trained(_runs({1: [0.45], 2: [0.41]}), PLAN), SCALE)
    start, _, rest = turned[0].partition(": ")
    assert start == "At 8.192k samples seen the order did not hold"
    assert rest == f"{ONE} was predicted best, but {TWO} came out 4.0 points better than {ONE}."


def test_a_wrong_order_behind_the_winner_is_said() -> None:
    said = order_sentences(trained(_runs({1: [0.30], 3: [0.40], 2: [0.50]}), PLAN), SCALE)
    assert said[0].endswith("; the others changed places.")
    kept = order_sentences(trained(_runs({1: [0.30], 2: [0.40], 3: [0.50]}), PLAN), SCALE)
    assert kept[0].endswith("and the others stand in the predicted order too.")


def test_the_error_of_the_predictions_is_their_mean_distance() -> None:
    predicted = {c.name: c.predicted_error for c in PLAN.budgets[0].candidates}
    runs = _runs({1: [predicted[ONE] + 0.01], 2: [predicted[TWO] - 0.03]})
    said = order_sentences(trained(runs, PLAN), SCALE)
    assert said[-1] == "Mean absolute error of these 2 predictions: 2.0 points."


def test_the_summary_names_each_winner_once() -> None:
    assert summary(PLAN)[:2] == [
        f"{ONE} is predicted best at 8.192k samples seen.",
        f"{TWO} is predicted best at 131.1k samples seen.",
    ]
    assert summary(PLAN)[2].startswith(f"{TWO} overtakes {ONE} at about")


def test_a_winner_that_is_not_sure_is_not_called_so() -> None:
    plan = make_plan(FIT, [32_768], dict(zip(NAMES, POOL_SAMPLES, strict=True)))
    chance = round(100 * plan.budgets[0].candidates[0].chance_best)
    assert chance < 80
    said = (
        f"{TWO} is predicted best at 32.77k samples seen, but its chance of being the best is only {chance}%."
    )
    assert summary(plan)[0] == said


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


def test_a_card_shows_the_likeliest_rival_as_runner_up() -> None:
    card = budgets(PLAN, SCALE)[0]
    others = PLAN.budgets[0].candidates[1:]
    assert card.runner_up is not None
    assert card.runner_up.name == max(others, key=lambda c: c.chance_best).name
    assert card.repeats == [(ONE, "3.2 times")]
    assert card.rows[0] == card.best
