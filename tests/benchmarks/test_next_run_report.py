import math

import numpy as np
import pytest
from benchmarks.next_run_report import cost_to_reach, curves, report

from benchmarks import next_run_report

STOPS = {"short first": (0.2,), "tool": (0.1, 0.3), "random": (0.3,)}


def record(number, tool=((0.1, 0.4), (0.25, 0.1)), law="utility"):
    """A world whose suggested runs reach .1 points at a quarter of the 4-length grid's cost."""
    return {
        "world": number,
        "law": law,
        "even": {"2 lengths": (0.6, 0.1), "4 lengths": (1.0, 0.1)},
        "short first": [(0.2, 0.3), (1.0, 0.1)],
        "tool": list(tool),
        "random": [(0.1, 0.4), (0.28, 0.4)],
        "stopped": 0.25,
    }


def test_a_level_is_reached_at_the_first_cost_of_a_falling_curve():
    costs = np.array([0.1, 0.2, 0.4])
    assert cost_to_reach(costs, np.array([0.5, 0.2, 0.1]), 0.2) == 0.2
    assert cost_to_reach(costs, np.array([0.1, 0.3, 0.2]), 0.2) == pytest.approx(
        0.1
    )  # all are .2 made to fall
    assert math.isinf(cost_to_reach(costs, np.array([0.5, 0.2, 0.1]), 0.05))


def test_costs_are_means_of_what_was_paid():
    found = curves([record(0), record(1, tool=((0.12, 0.4), (0.29, 0.0)))], STOPS)
    cost_C, regret_WC = found["tool"]
    np.testing.assert_allclose(
        cost_C, [0.11, 0.11, 0.27]
    )  # where the start costs more than a stop it is the start
    np.testing.assert_allclose(regret_WC, [[0.4, 0.4, 0.1], [0.4, 0.4, 0.0]])
    np.testing.assert_allclose(found["even"][0], [0.6, 1.0])


def test_the_ratio_of_costs_is_said_for_every_grid(monkeypatch):
    monkeypatch.setattr(next_run_report, "SAMPLES", 20)
    text = "\n".join(report([record(number) for number in range(6)], STOPS))
    assert "tool / this grid (2 lengths): 0.42 (0.42 to 0.42), at most half" in text
    assert "tool / this grid (4 lengths): 0.25 (0.25 to 0.25), at most half" in text
    assert "tool / random: only the tool reaches it" in text
    assert "no further run is worth its cost in 6 of 6 worlds, on average at cost 0.25, regret 0.100" in text
