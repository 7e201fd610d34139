"""A run on few of many pools is worked out on those alone; nothing else may change by that."""

import numpy as np
import pytest

from tests.planning.laws.planted import parameters
from thresher.planning.laws.law import design, error, error_with_jacobian, log_excess_error_of
from thresher.planning.laws.layout import layout_of, to_natural, to_parameters
from thresher.planning.laws.registry import LAWS

SIZES = np.array([500.0, 800.0, 300.0, 2000.0])
SEEN = np.array([400.0, 2000.0, 9_000.0, 700.0, 30_000.0])
ONE_POOL = np.eye(4)[[0, 1, 2, 3, 1]]
AT_MOST_TWO = np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0.2, 0, 0, 0.8], [0, 1, 0, 0]])


def batch(name):
    """Three draws of a law as the solver holds them: [3, 1, X], and what they are about."""
    own = {"b": (-0.3, -0.1, -0.02, -0.2)}
    if LAWS[name].worth == "quality":
        own = {"quality": (1.0, 0.6, 0.07, 1.3), "b": -0.25}
    truth = parameters(name, tau=(3.0, 6.0, 1.2, 2.0), n0=300.0, num_unique=SIZES, **own)
    layout = layout_of(LAWS[name], tuple("abcd"), sized=False)
    natural_X = np.concatenate([[truth.shared[key] for key in layout.shared], truth.worth_P, truth.tau_P])
    coordinates_X = np.where(layout.logs, np.log(np.where(layout.logs, natural_X, 1.0)), natural_X)
    moved_BX = coordinates_X + 0.01 * np.random.default_rng(0).standard_normal((3, layout.size))
    return to_parameters(layout, to_natural(layout, moved_BX)[:, None], SIZES, None)


def widened(of):
    """The same design under another leading axis, which no work is saved for."""
    return design(of.samples_seen, of.weights[None], of.num_unique, replacement=of.replacement is not None)


@pytest.mark.parametrize("name", sorted(LAWS))
@pytest.mark.parametrize("weights", [ONE_POOL, AT_MOST_TWO], ids=["one pool", "at most two"])
@pytest.mark.parametrize("replacement", [False, True])
def test_leaving_out_pools_without_weight_changes_nothing(name, weights, replacement):
    of = design(SEEN, weights, SIZES, replacement=replacement)
    assert of.compact is not None
    assert of.compact.design.weights.shape[1] == int((weights > 0).sum(1).max())
    assert widened(of).compact is None
    value, slopes = error_with_jacobian(LAWS[name], batch(name), of)
    whole, all_slopes = error_with_jacobian(LAWS[name], batch(name), widened(of))
    np.testing.assert_allclose(value, whole, rtol=1e-12)
    np.testing.assert_allclose(slopes, all_slopes, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(error(LAWS[name], batch(name), of), whole, rtol=1e-12)
    fall = log_excess_error_of(LAWS[name], batch(name), of)
    np.testing.assert_allclose(
        fall.by_worth, log_excess_error_of(LAWS[name], batch(name), widened(of)).by_worth, atol=1e-12
    )


def test_a_run_on_all_pools_keeps_all_columns():
    assert design(SEEN, np.full((5, 4), 0.25), SIZES).compact is None


def test_one_mix_at_many_lengths_is_worked_out_whole():
    lengths = np.geomspace(100.0, 1e5, 7)
    of = design(lengths, [[0.0, 1.0, 0.0, 0.0]], SIZES)
    assert of.compact is None
    one_by_one = [
        error(LAWS["utility"], batch("utility"), design([seen], [[0.0, 1.0, 0.0, 0.0]], SIZES))[:, 0]
        for seen in lengths
    ]
    np.testing.assert_allclose(error(LAWS["utility"], batch("utility"), of).T, one_by_one, rtol=1e-12)


def test_draws_that_differ_from_run_to_run_are_worked_out_whole():
    own = parameters(
        "utility", tau=(3.0, 6.0, 1.2, 2.0), n0=300.0, num_unique=SIZES, b=(-0.3, -0.1, -0.02, -0.2)
    )
    per_run = type(own)(
        shared=own.shared,
        worth_P=own.worth_P * np.linspace(0.5, 1.5, 5)[:, None],
        tau_P=own.tau_P,
        num_unique_P=SIZES,
    )
    of = design(SEEN, ONE_POOL, SIZES)
    one_by_one = [
        float(
            error(
                LAWS["utility"],
                type(own)(
                    shared=own.shared, worth_P=per_run.worth_P[run], tau_P=own.tau_P, num_unique_P=SIZES
                ),
                design(SEEN[run], ONE_POOL[run], SIZES),
            )
        )
        for run in range(5)
    ]
    np.testing.assert_allclose(error(LAWS["utility"], per_run, of), one_by_one, rtol=1e-12)
