import numpy as np
import pytest
from benchmarks.rivals import nearest, straight_line
from benchmarks.scalebench_constrained import (
    data_constrained,
    designed,
    left_out,
    r_squared,
)


def made_settings(number=60):
    rng = np.random.default_rng(0)
    params, unique = rng.uniform(16, 22.5, number).round(), rng.uniform(18, 23, number)
    return np.column_stack([params, unique + rng.uniform(0, 3, number), unique])


def test_rules_leave_out_the_largest_and_the_most_repeated():
    settings = made_settings()
    held, passes = left_out(settings), settings[:, 1] - settings[:, 2]
    assert set(held["large"][0]) == set(np.flatnonzero(settings[:, 0] == 22))
    assert passes[held["repeated"][0]].min() > np.delete(passes, held["repeated"][0]).max()
    assert set(held["large"][0]) < set(held["target"][0])
    assert sorted(np.concatenate(held["fifths"])) == list(range(60))


def test_a_design_buys_what_tells_about_the_targets_and_can_be_paid():
    target = np.log([[1e8, 2e9, 1e9]])
    candidates = np.log([[9e7, 2e9, 1e9], [9e6, 2e10, 1e8], [5e8, 3e8, 3e8]])
    assert designed(candidates, target, np.array([1.0, 1.0, 1.0]), 1.0).tolist() == [0]
    assert 0 not in designed(candidates, target, np.array([3.0, 1.0, 1.0]), 2.0)


def test_r_squared_is_one_for_what_was_measured_and_at_least_minus_one():
    measured = np.array([1.0, 2.0, 4.0])
    assert r_squared(measured, measured) == 1
    assert r_squared(measured, measured + 100) == -1


def test_rivals_recover_what_they_assume():
    settings = made_settings()
    line = np.exp(settings @ [-0.1, -0.05, -0.02] + 4)
    np.testing.assert_allclose(straight_line(settings[:40], line[:40], settings[40:]), line[40:], rtol=1e-4)
    np.testing.assert_array_equal(nearest(settings, line, settings), line)
    params, seen, unique = np.exp(settings).T
    worth = unique * (1 + 15 * -np.expm1(-(seen / unique - 1) / 15))
    loss = 1.7 + (params / 1e8) ** -0.35 + 1.2 * (worth / 1e9) ** -0.3
    found = data_constrained(settings[:40], loss[:40], settings[40:])
    assert found == pytest.approx(loss[40:], rel=0.05)
