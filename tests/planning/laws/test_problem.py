"""What the residuals of a joint fit say of the noise, before and after parameters are paid for."""

from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_runs
from thresher.planning.laws.problem import (
    USUAL_NOISE,
    build_problem,
    degrees_of_freedom,
    log_noise,
    residuals,
    robust_deviation,
)
from thresher.planning.laws.registry import LAWS

TRUTH = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
LENGTHS = (8_000_000, 32_000_000, 64_000_000, 128_000_000, 256_000_000)


def problem_of(lengths=LENGTHS):
    """Two pools, seven free parameters: A, n0, d, and b and a half-life of each."""
    runs = planted_runs(TRUTH, lengths=lengths)
    return build_problem(LAWS["utility"], runs, ("p0", "p1"), {})


def planted_coordinates(problem):
    natural_X = np.concatenate(
        [[TRUTH.shared[name] for name in problem.layout.shared], TRUTH.worth_P, TRUTH.tau_P]
    )
    return np.where(problem.layout.logs, np.log(np.where(problem.layout.logs, natural_X, 1.0)), natural_X)


def test_priors_pull_only_once_the_noise_is_known():
    problem = problem_of()
    place_X = planted_coordinates(problem) + 0.01
    assert not residuals(problem, place_X[None]).priors.any()
    assert not problem.prior_slope_FX.any()
    assert residuals(replace(problem, noise=0.01), place_X[None]).priors.any()


def test_runs_without_priors_pay_for_every_parameter():
    problem = problem_of()
    assert degrees_of_freedom(problem, planted_coordinates(problem)) == pytest.approx(10 - 7, abs=1e-4)
    held = replace(problem, free_X=np.zeros_like(problem.free_X))
    assert degrees_of_freedom(held, planted_coordinates(held)) == 10


def test_a_usual_noise_fills_up_what_fewer_than_three_runs_beyond_the_parameters_measure():
    whole = problem_of()
    three_left = replace(whole, log_error_R=whole.log_error_R + 0.02)
    place_X = planted_coordinates(whole)
    squares = (residuals(three_left, place_X[None]).runs ** 2).sum()
    assert log_noise(three_left, place_X) == pytest.approx(np.sqrt(squares / 3), rel=1e-3)
    one_left = problem_of(LENGTHS[:4])
    assert log_noise(one_left, place_X) == pytest.approx(USUAL_NOISE * np.sqrt(2 / 3), rel=1e-3)
    none_left = build_problem(LAWS["utility"], planted_runs(TRUTH, lengths=LENGTHS[:4])[:7], ("p0", "p1"), {})
    assert log_noise(none_left, place_X) == pytest.approx(USUAL_NOISE, rel=1e-3)


def test_the_robust_deviation_is_that_of_a_normal_residual_and_pays_for_parameters():
    residual_R = np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, 50.0])
    assert robust_deviation(residual_R, 8.0) == pytest.approx(0.14826)
    assert robust_deviation(residual_R, 2.0) == pytest.approx(2 * 0.14826)
    assert robust_deviation(residual_R, 0.5) == pytest.approx(np.sqrt(8) * 0.14826)  # never less than one
