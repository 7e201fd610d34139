import itertools

import numpy as np
import pytest

from tests.planning.plans.drawn import drawn_laws
from tests.planning.predicting import mix_error
from thresher.planning.plans.make_plan import make_plan

BUDGETS = (32_000_000, 64_000_000, 128_000_000, 640_000_000)


def test_the_crossover_is_where_the_two_predictions_meet() -> None:
    laws = drawn_laws()
    plan = make_plan(laws, BUDGETS)
    first = plan.crossovers[0]
    assert (first.before, first.after) == ("p0", "p0 + p1")
    assert 64e6 < first.samples_seen < 128e6
    gap = [
        float(mix_error(laws, weights, plan.pools, first.samples_seen))
        for weights in ({"p0": 1.0}, {"p0": 0.5, "p1": 0.5})
    ]
    assert gap[0] == pytest.approx(gap[1], abs=1e-9)
    assert (first.low, first.high) == pytest.approx((first.samples_seen,) * 2, rel=0.02)
    assert first.chance == 1.0


def test_each_side_of_a_crossover_has_its_winner() -> None:
    laws = drawn_laws(spread=0.03)
    crossovers = make_plan(laws, BUDGETS).crossovers
    assert len(crossovers) >= 2
    for crossover in crossovers:
        below, above = round(crossover.samples_seen * 0.999), round(crossover.samples_seen * 1.001)
        assert make_plan(laws, [below]).budgets[0].best == crossover.before
        assert make_plan(laws, [above]).budgets[0].best == crossover.after
    budgets = [crossover.samples_seen for crossover in crossovers]
    assert budgets == sorted(budgets)
    assert all(left.after == right.before for left, right in itertools.pairwise(crossovers))


def test_doubt_widens_the_crossover() -> None:
    for crossover in make_plan(drawn_laws(spread=0.05), BUDGETS).crossovers:
        low = 0.0 if crossover.low is None else crossover.low
        high = np.inf if crossover.high is None else crossover.high
        assert low <= crossover.samples_seen <= high
        assert high > 1.05 * low
        assert 0 < crossover.chance <= 1


def test_a_winner_may_come_back() -> None:
    # p1 is fresh for longer and overtakes p0, but it harms once it is repeated too often
    laws = drawn_laws((-0.20, -0.17), (1.0, 0.6), law="harmful", harm=0.1)
    plan = make_plan(laws, [10_000_000, 2_000_000_000], {"p0": 40_000_000, "p1": 2_000_000})
    assert plan.crossovers
    winners = [plan.crossovers[0].before, *(crossover.after for crossover in plan.crossovers)]
    at_ends = [point.best for point in (plan.frontier[0], plan.frontier[-1])]
    assert (winners[0], winners[-1]) == tuple(at_ends)


def test_no_crossover_where_one_pool_always_wins() -> None:
    plan = make_plan(drawn_laws((-0.3, -0.01), (30.0, 1.0)), [20_000_000])
    assert plan.crossovers == ()
    assert plan.looked_at == (10_000_000, 40_000_000)
