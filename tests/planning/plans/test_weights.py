import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.planning.plans.drawn import drawn_laws, predictor
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.mixes import all_mixes
from thresher.planning.plans.prediction import mean_errors
from thresher.planning.plans.result import winner
from thresher.planning.plans.search import best_weights, descend, project, starts

SIZES = {"p0": 3_000_000, "p1": 12_800_000, "p2": 50_000_000}


@given(arrays.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-5, 5)))
def test_projections_lie_on_the_simplex_and_stay_there(points) -> None:
    projected = project(points)
    assert (projected >= 0).all()
    np.testing.assert_allclose(projected.sum(-1), 1.0, atol=1e-9)
    np.testing.assert_allclose(project(projected), projected, atol=1e-9)


def test_the_descent_finds_the_lowest_point_of_a_bowl_from_everywhere() -> None:
    target_P = np.array([0.5, 0.2, 0.3, 0.0])
    curve_P = np.array([1.0, 20.0, 3.0, 5.0])

    def bowl(_, weights_NP):
        return (curve_P * (weights_NP - target_P) ** 2).sum(-1)

    found_BP, error_B = descend(bowl, np.concatenate([np.eye(4), np.full((1, 4), 0.25)]), tolerance=1e-9)
    np.testing.assert_allclose(found_BP, np.tile(target_P, (5, 1)), atol=5e-3)
    assert (error_B < 1e-4).all()


def test_the_descent_leaves_a_kink_in_the_direction_that_helps() -> None:
    def kinked(_, weights_NP):
        return np.abs(weights_NP[:, 0] - 0.3) + 2 * np.abs(weights_NP[:, 1] - 0.6) + 0.1 * weights_NP[:, 2]

    found_BP, _ = descend(kinked, np.array([[0.4, 0.6, 0.0], [0.0, 0.6, 0.4], [0.3, 0.7, 0.0]]))
    np.testing.assert_allclose(found_BP, np.tile([0.3, 0.6, 0.1], (3, 1)), atol=2e-3)


@pytest.mark.parametrize(
    "law", ["utility", "harmful", "effective-data", "data-constrained", "bounded", "saturating"]
)
def test_no_weights_of_a_fine_grid_are_better(law) -> None:
    worth = (1.6, 0.9, 0.5) if law == "saturating" else (-0.16, -0.125, -0.07)
    laws = drawn_laws(worth, (6.0, 8.0, 4.0), law=law, spread=0.04, num_draws=40)
    source = predictor(laws, list(SIZES.values()))
    subsets = all_mixes(laws.pool_names, SIZES)
    first, second = np.meshgrid(np.linspace(0, 1, 51), np.linspace(0, 1, 51))
    inside = first + second <= 1 + 1e-9
    grid_NP = np.stack([first, second, np.maximum(1 - first - second, 0.0)], axis=-1)[inside]
    for budget in (16_000_000, 128_000_000, 640_000_000):
        best = int(mean_errors(source, budget, subsets.weights_CP).argmin())
        (found_P,) = best_weights(source, [budget], starts(subsets, [best], range(3)), range(3))
        assert found_P.sum() == pytest.approx(1.0)
        found = float(mean_errors(source, budget, found_P[None])[0])
        assert found <= mean_errors(source, budget, grid_NP).min() + 1e-5


def test_free_weights_are_told_beside_the_best_subset() -> None:
    laws = drawn_laws(spread=0.03)
    (budget,) = make_plan(laws, [640_000_000]).budgets
    free = budget.weighting
    assert not winner(budget).weighted
    assert free.candidate.weighted
    assert free.candidate.predicted_error == pytest.approx(winner(budget).predicted_error - free.gain)
    assert 0 < free.gain < 0.05
    assert free.low < free.gain < free.high
    assert sum(free.candidate.weights.values()) == pytest.approx(1.0)
    assert free.candidate.name.startswith(f"{free.candidate.weights['p0']:.3g} x p0 + ")
    assert free.candidate.repeats["p0"] == pytest.approx(
        640_000_000 * free.candidate.weights["p0"] / 12_800_000
    )


def test_continuous_weights_are_chosen_when_asked_for() -> None:
    laws = drawn_laws(spread=0.03)
    (subsets,) = make_plan(laws, [640_000_000]).budgets
    plan = make_plan(laws, [640_000_000], weights="continuous")
    (budget,) = plan.budgets
    assert budget.best == subsets.weighting.candidate.name
    assert winner(budget).weighted
    assert winner(budget).predicted_error < winner(subsets).predicted_error
    assert winner(subsets).name in {candidate.name for candidate in budget.candidates}
    at_budget = next(point for point in plan.frontier if point.samples_seen == 640_000_000)
    assert (at_budget.best, at_budget.error) == (budget.best, pytest.approx(winner(budget).predicted_error))


def test_both_takes_free_weights_only_where_they_add_more_than_the_tolerance() -> None:
    laws = drawn_laws(spread=0.03)
    gain = make_plan(laws, [640_000_000]).budgets[0].weighting.gain
    for tolerance, weighted in ((0.9 * gain, True), (1.1 * gain, False)):
        (budget,) = make_plan(laws, [640_000_000], weights="both", tolerance=tolerance).budgets
        assert winner(budget).weighted is weighted


def test_where_one_pool_wins_no_weights_are_told() -> None:
    (budget,) = make_plan(drawn_laws((-0.3, -0.01), (30.0, 1.0)), [10_000_000]).budgets
    assert budget.weighting is None
