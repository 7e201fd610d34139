import numpy as np
import pytest

from tests.planning.plans.drawn import drawn_laws
from tests.planning.predicting import mix_error
from thresher.planning.plans.frontier import grid_around
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.result import winner

LAWS = drawn_laws(spread=0.04)
BUDGETS = (32_000_000, 128_000_000, 640_000_000)
PLAN = make_plan(LAWS, BUDGETS)


def test_the_grid_reaches_beyond_the_budgets_and_holds_them() -> None:
    grid = grid_around(BUDGETS)
    assert (grid[0], grid[-1]) == (16_000_000, 1_280_000_000)
    assert set(BUDGETS) <= set(grid)
    assert grid == sorted(set(grid))
    assert np.max(np.diff(np.log2(grid))) < 0.3
    assert grid_around([3])[0] >= 1


def test_the_frontier_meets_the_plan_at_its_budgets() -> None:
    points = {point.samples_seen: point for point in PLAN.frontier}
    for budget in PLAN.budgets:
        best = winner(budget)
        point = points[budget.samples_seen]
        assert point.best == best.name
        assert (point.error, point.low, point.high) == pytest.approx(
            (best.predicted_error, best.low, best.high)
        )


def test_more_samples_never_hurt_the_best_mix() -> None:
    errors = [point.error for point in PLAN.frontier]
    assert errors == sorted(errors, reverse=True)
    assert all(point.low < point.error < point.high for point in PLAN.frontier)


def test_fixed_policies_lose_what_the_frontier_gains() -> None:
    names = [policy.name for policy in PLAN.policies]
    assert {"p0", "p0 + p1", "p0 + p1 + p2 + p3", *(budget.best for budget in PLAN.budgets)} <= set(names)
    for policy in PLAN.policies:
        assert len(policy.regrets) == len(PLAN.frontier)
        assert min(policy.regrets) >= 0
        assert policy.worst_regret == max(policy.regrets)
        for point, regret in zip(PLAN.frontier, policy.regrets, strict=True):
            error = float(mix_error(LAWS, policy.weights, PLAN.pools, point.samples_seen))
            assert error - point.error == pytest.approx(regret, abs=1e-9)
    assert [policy.mean_regret for policy in PLAN.policies] == sorted(p.mean_regret for p in PLAN.policies)
