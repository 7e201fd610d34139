from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from tests.planning.laws.planted import LENGTHS, parameters, planted_run
from thresher.planning.laws.descent import descend, huber_cost
from thresher.planning.laws.problem import batch_of, build_problem, predictions, residuals
from thresher.planning.laws.registry import LAWS

POOLS = ("p0", "p1", "p2")
TRUTH = parameters(b=(-0.2, -0.15, -0.09), tau=(3.0, 7.0, 2.0))
SCALE = 0.01


def table(noise=0.003, seed=0):
    rng = np.random.default_rng(seed)
    runs = []
    for place in range(len(POOLS)):
        for length in LENGTHS:
            run = planted_run(TRUTH, np.eye(3)[place], length)
            runs.append(replace(run, error=run.error + noise * rng.standard_normal()))
    return runs


def problem_of(runs, **fixed):
    return replace(build_problem(LAWS["utility"], runs, POOLS, fixed), noise=0.003)


def test_it_ends_where_another_solver_does():
    problem = problem_of(table())
    found = descend(problem, problem.start_X[None], SCALE, tolerance=1e-12, max_steps=300)
    free = problem.free

    def all_of(free_F):
        at_X = problem.start_X.copy()
        at_X[free] = free_F
        return residuals(problem, at_X[None])

    def rest(free_F):
        here = all_of(free_F)
        size_R = np.abs(here.runs[0]) / SCALE  # Huber's loss as a sum of squares
        lowered_R = np.sqrt(np.where(size_R <= 1, size_R**2, 2 * size_R - 1))
        return np.concatenate([lowered_R, here.priors[0] / SCALE])

    bounds = problem.limits.lower_X[free], problem.limits.upper_X[free]
    other = least_squares(rest, found.coordinates_BX[0, free] + 1e-3, bounds=bounds, xtol=1e-14, ftol=1e-14)
    assert found.converged_B.all()
    assert found.cost_B[0] == pytest.approx(2 * other.cost, rel=1e-6)


def test_every_fit_of_a_batch_ends_where_it_does_alone():
    problem = problem_of(table())
    rng = np.random.default_rng(1)
    data = batch_of(
        problem,
        problem.log_error_R + 0.005 * rng.standard_normal((6, problem.log_error_R.size)),
        np.ones((6, problem.log_error_R.size)),
        np.repeat(problem.limits.prior_mean_X[None], 6, axis=0),
    )
    start_BX = np.repeat(problem.start_X[None], 6, axis=0)
    together = descend(problem, start_BX, SCALE, tolerance=1e-10, max_steps=200, data=data)
    for place in range(6):
        only = type(data)(*(values[place : place + 1] for values in data))
        alone = descend(problem, start_BX[:1], SCALE, tolerance=1e-10, max_steps=200, data=only)
        assert alone.cost_B[0] == pytest.approx(together.cost_B[place], rel=1e-7)
        np.testing.assert_allclose(alone.coordinates_BX[0], together.coordinates_BX[place], atol=1e-4)


def test_the_cost_is_that_of_the_residuals_where_it_stands():
    problem = problem_of(table(seed=3))
    found = descend(problem, problem.start_X[None], SCALE, tolerance=1e-8, max_steps=100)
    here = residuals(problem, found.coordinates_BX)
    expected = huber_cost(here.runs, SCALE) + ((here.priors / SCALE) ** 2).sum(-1)
    np.testing.assert_allclose(found.residual_BR, here.runs, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.cost_B, expected, rtol=1e-12)


def test_no_step_leaves_the_bounds_or_moves_what_is_held():
    problem = problem_of(table(noise=0.05, seed=4), d=0.02)
    rng = np.random.default_rng(2)
    lower_X, upper_X = problem.limits.lower_X, problem.limits.upper_X
    start_BX = lower_X + rng.uniform(-0.2, 1.2, (20, lower_X.size)) * (upper_X - lower_X)
    start_BX[:, ~problem.free_X] = problem.start_X[~problem.free_X]
    pinned_BX = np.zeros(start_BX.shape, bool)
    pinned_BX[:, problem.layout.worths.start] = True
    for max_steps in (1, 2, 40):
        found = descend(
            problem, start_BX, SCALE, tolerance=1e-9, max_steps=max_steps, pinned_BX=pinned_BX
        ).coordinates_BX
        free = problem.free
        assert (found[:, free] >= lower_X[free]).all()
        assert (found[:, free] <= upper_X[free]).all()
        np.testing.assert_array_equal(found[:, ~problem.free_X], start_BX[:, ~problem.free_X])
        first = problem.layout.worths.start
        np.testing.assert_array_equal(
            found[:, first], np.clip(start_BX[:, first], lower_X[first], upper_X[first])
        )


def test_more_steps_never_cost_more():
    problem = problem_of(table(seed=5))
    costs = [
        descend(problem, problem.start_X[None], SCALE, tolerance=0.0, max_steps=steps).cost_B[0]
        for steps in (0, 1, 3, 10, 30)
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_with_nothing_free_it_stays_and_says_that_it_has_converged():
    problem = problem_of(table())
    held = replace(problem, free_X=np.zeros_like(problem.free_X))
    found = descend(held, problem.start_X[None], SCALE, tolerance=1e-9, max_steps=50)
    assert found.converged_B.all()
    np.testing.assert_array_equal(found.coordinates_BX[0], problem.start_X)
    np.testing.assert_allclose(
        found.residual_BR[0],
        (np.log(predictions(held, problem.start_X[None])[0][0]) - held.log_error_R) * held.scale_R,
    )
