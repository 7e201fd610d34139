import itertools

import numpy as np
import pytest

from tests.planning.plans.drawn import drawn_laws
from tests.planning.predicting import mix_error
from thresher.planning.plans import frontier
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


def test_crossovers_stand_where_the_frontier_changes_and_both_mixes_are_equal() -> None:
    known = make_plan(drawn_laws(), BUDGETS)
    ends = [known.frontier[0].best, *(crossover.after for crossover in known.crossovers)]
    changes = [point.best for point in known.frontier]
    assert ends == [name for name, _ in itertools.groupby(changes)]
    assert [crossover.before for crossover in known.crossovers] == ends[:-1]
    names = {candidate.name: candidate for budget in known.budgets for candidate in budget.candidates}
    for crossover in known.crossovers:
        before, after = (
            float(mix_error(drawn_laws(), names[name].weights, known.pools, crossover.samples_seen))
            for name in (crossover.before, crossover.after)
        )
        assert before == pytest.approx(after, abs=1e-9)


def test_the_crossings_of_draws_are_sought_ten_times_beyond_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []
    errors = frontier.errors

    def look(predictor: object, samples_seen: object, weights: object) -> object:
        looked.extend(np.ravel(samples_seen))
        return errors(predictor, samples_seen, weights)

    monkeypatch.setattr(frontier, "errors", look)
    plan = make_plan(drawn_laws(), [64_000_000])
    assert plan.crossovers
    assert (min(looked), max(looked)) == pytest.approx((32e6 / 10, 128e6 * 10))


def test_free_weights_stand_on_the_frontier_where_they_are_chosen() -> None:
    free, subsets = (
        make_plan(drawn_laws(), [640_000_000], weights=kind) for kind in ("continuous", "subsets")
    )
    points, fixed = ({point.samples_seen: point for point in plan.frontier} for plan in (free, subsets))
    assert points[640_000_000].error == pytest.approx(winner(free.budgets[0]).predicted_error, rel=1e-12)
    assert all(points[seen].error <= fixed[seen].error for seen in points)
    assert points[640_000_000].error < fixed[640_000_000].error - 1e-6
