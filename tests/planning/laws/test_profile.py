"""Intervals by profile likelihood."""

from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_runs
from thresher.errors import InputError
from thresher.planning.laws.descent import descend
from thresher.planning.laws.fit import fit
from thresher.planning.laws.problem import build_problem, measured
from thresher.planning.laws.profile import profile
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.solve import solve

TRUTH = parameters(b=(-0.16, -0.125, -0.10, -0.085), tau=(6.7, 8.5, 5.3, 2.3))
POOLS = ("p0", "p1", "p2", "p3")


def noisy_runs(seed=0, noise=0.003):
    return planted_runs(TRUTH, noise=noise, seed=seed)


def test_the_ends_are_where_the_cost_has_risen_as_much_as_student_says():
    problem, solution = solve(build_problem(LAWS["utility"], noisy_runs(), POOLS, {}))
    low_X, high_X = profile(problem, solution)
    free = np.flatnonzero(problem.free_X)
    assert (low_X[free] < solution.coordinates_X[free]).all()
    assert (high_X[free] > solution.coordinates_X[free]).all()
    place = problem.layout.worths.start
    costs = []
    for end in (solution.coordinates_X[place], low_X[place], high_X[place]):
        start = solution.coordinates_X[None].copy()
        start[0, place] = end
        pinned = np.zeros(start.shape, bool)
        pinned[0, place] = True
        costs.append(
            descend(
                problem,
                start,
                solution.huber_scale,
                tolerance=1e-9,
                max_steps=200,
                data=measured(problem),
                pinned_BX=pinned,
            ).cost_B[0]
        )
    rises = (np.array(costs[1:]) - costs[0]) * (solution.huber_scale / problem.noise) ** 2
    assert rises[0] == pytest.approx(rises[1], rel=0.05)
    assert 2.7 < rises[0] < 4.0  # the square of Student's 95% quantile: 2.71 for many degrees of freedom


def test_they_hold_the_planted_values_where_the_runs_tell_them():
    runs = [run for seed in range(3) for run in planted_runs(TRUTH, noise=0.002, seed=seed)]
    runs = [replace(run, seed=number) for number, run in enumerate(runs)]
    best = fit(runs, law="utility", num_draws=0, intervals="profile").best
    held = [
        low < value < high
        for pool, b, tau in zip(best.pools, TRUTH.worth_P, TRUTH.tau_P, strict=True)
        for (low, high), value in ((pool.intervals["b"], b), (pool.intervals["tau"], tau))
    ]
    assert sum(held) >= 7
    assert all(high < 2 * low for low, high in (pool.intervals["tau"] for pool in best.pools))


def test_what_the_runs_do_not_tell_ends_at_a_bound():
    truth = parameters(b=(-0.2, -0.1), tau=(1e6, 1e6))
    runs = planted_runs(truth, noise=0.003, lengths=(6_000_000, 8_000_000, 13_000_000, 14_000_000))
    problem, solution = solve(build_problem(LAWS["utility"], runs, POOLS[:2], {}))
    low_X, high_X = profile(problem, solution)
    upper = problem.limits.upper_X[problem.layout.place("d")]
    assert low_X[problem.layout.place("d")] == 0.0
    assert high_X[problem.layout.place("d")] <= upper


def test_a_held_parameter_has_no_interval_and_an_unknown_kind_is_named():
    laws = fit(noisy_runs(), law="utility", fixed={"d": 0.1}, num_draws=0, intervals="profile")
    assert "d" not in laws.best.intervals
    assert "A" in laws.best.intervals
    with pytest.raises(InputError, match="no 'jackknife' intervals; choose bootstrap or profile"):
        fit(noisy_runs(), intervals="jackknife")
