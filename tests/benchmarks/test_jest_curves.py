import math

import pytest
from benchmarks.jest_curves import Curve, reach, value_at


def curve(values, *, steps=(100, 200, 400), train=1.0, score=0.0):
    """A method whose seeds measured `values` at `steps`; FLOPs are in units a step."""
    flops = tuple({"train": train * s, "score": score * s, "select": 0.0, "reference": 0.0} for s in steps)
    return Curve(
        method="joint .8",
        lr=1e-3,
        seeds=tuple(range(len(values))),
        steps=steps,
        values=tuple(tuple(row) for row in values),
        also={},
        flops=flops,
        clean=(1.0,) * len(steps),
    )


def test_a_curve_reaches_a_value_on_a_straight_line_over_log_steps():
    found = reach(curve([[0.1, 0.3, 0.4], [0.3, 0.3, 0.4]]), 0.25)
    assert found is not None
    assert found.steps == pytest.approx(100 * math.sqrt(2))
    assert found.measured == 200
    assert found.flops["train"] == pytest.approx(found.steps)


def test_a_value_below_the_first_length_is_reached_there_and_not_before():
    found = reach(curve([[0.3, 0.4, 0.5]]), 0.2)
    assert found is not None
    assert (found.steps, found.measured) == (100, 100)


def test_a_curve_that_stays_below_a_value_never_reaches_it():
    assert reach(curve([[0.1, 0.2, 0.15]]), 0.21) is None


def test_the_first_length_counts_where_a_curve_comes_down_again():
    found = reach(curve([[0.1, 0.3, 0.2]]), 0.3)
    assert found is not None
    assert found.measured == 200


def test_within_a_budget_the_best_finished_run_counts():
    falling = curve([[0.1, 0.3, 0.2]], train=2.0, score=1.0)
    assert value_at(falling, 3.0 * 400) == pytest.approx(0.3)


def test_a_budget_below_the_shortest_run_buys_nothing():
    assert value_at(curve([[0.1, 0.3, 0.4]]), 99.0) is None


def test_what_the_reference_cost_comes_off_the_budget():
    rising = curve([[0.1, 0.3, 0.4]])
    assert value_at(rising, 200.0) == pytest.approx(0.3)
    assert value_at(rising, 200.0, extra=100.0) == pytest.approx(0.1)
