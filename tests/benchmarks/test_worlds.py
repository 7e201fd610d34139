import dataclasses
import itertools
import math

import numpy as np
import pytest
from benchmarks.worlds import make_world, true_error

from benchmarks import worlds

FEW = range(24)
FROZEN = {
    0: [0.429671396396, 0.384685477624, 0.3521691017, 0.333095844745],
    1: [0.466076432497, 0.42853254486, 0.400888544677, 0.382808400468],
    3: [0.491403013201, 0.460461743388, 0.455241391127, 0.464967286566],
    199: [0.365649252607, 0.341181461107, 0.328714941031, 0.317356126496],
}
"""World -> lowest error at each of its budgets."""
BY_LAW = {"utility": 0, "saturating": 1, "harmful": 3}


def changed(world, **values):
    return dataclasses.replace(world, **values)


def test_the_frozen_worlds_are_the_ones_that_were_frozen():
    assert worlds.VERSION == 1
    for number, errors in FROZEN.items():
        world = make_world(number)
        found = [worlds.truth(world, budget).error for budget in world.budgets]
        np.testing.assert_allclose(found, errors, rtol=1e-9)


def test_a_world_and_its_probes_are_the_same_each_time():
    first, second = make_world(7), make_world(7)
    np.testing.assert_array_equal(first.sizes_P, second.sizes_P)
    assert worlds.probe_runs(first) == worlds.probe_runs(second)
    assert worlds.probe_runs(first) != worlds.probe_runs(first, "whole")


def test_half_of_the_worlds_follow_utility_and_a_quarter_each_of_the_other_laws():
    laws = [make_world(number).law for number in range(20)]
    assert [laws.count(law) for law in BY_LAW] == [10, 5, 5]


@pytest.mark.parametrize("number", FEW)
def test_every_number_of_a_world_lies_in_its_range(number):
    world = make_world(number)
    assert 3 <= len(world.sizes_P) <= 6
    assert world.sizes_P.max() <= 10 * world.sizes_P.min()
    assert np.all((world.b_P <= -0.05) & (world.b_P >= -0.35))
    assert np.all((world.tau_P >= 1.5) & (world.tau_P <= 10))
    assert 4 <= world.budgets[-1] / world.largest_probe <= 16
    errors = [
        float(true_error(world, row, budget)) for row in worlds.subsets(world) for budget in world.budgets
    ]
    assert min(errors) >= 0.3
    assert max(errors) <= 0.95


@pytest.mark.parametrize("law", BY_LAW)
def test_splitting_a_pool_changes_no_error(law):
    world = make_world(BY_LAW[law])
    halves = changed(
        world,
        sizes_P=np.r_[world.sizes_P[0] // 2, world.sizes_P[0] - world.sizes_P[0] // 2, world.sizes_P[1:]],
        b_P=np.r_[world.b_P[0], world.b_P],
        quality_P=np.r_[world.quality_P[0], world.quality_P],
        # a part comes back as often as the whole: in passes over itself alone its half-life is half as long
        tau_P=np.r_[[world.tau_P[0] * 0.5**world.gamma] * 2, world.tau_P[1:]],
    )
    for weight in (1.0, 0.3):
        rest_P = np.where(np.arange(len(world.sizes_P)) == 1, 1 - weight, 0.0)[1:]
        whole = true_error(world, np.r_[weight, rest_P], world.budgets)
        np.testing.assert_allclose(
            true_error(halves, np.r_[weight / 2, weight / 2, rest_P], world.budgets), whole, rtol=1e-6
        )


@pytest.mark.parametrize("law", BY_LAW)
def test_a_pool_at_almost_no_weight_changes_no_error(law):
    world = make_world(BY_LAW[law])
    alone_P = np.eye(len(world.sizes_P))[0]
    np.testing.assert_allclose(
        true_error(world, alone_P + 1e-9 * np.eye(len(alone_P))[1], world.budgets),
        true_error(world, alone_P, world.budgets),
        rtol=1e-6,
    )


@pytest.mark.parametrize("law", BY_LAW)
def test_data_that_never_repeats_follows_a_power_law(law):
    world = make_world(BY_LAW[law])
    unique_P = np.full(len(world.sizes_P), 1e15)
    seen = np.geomspace(world.n0, 100 * world.n0, 5)
    best = int(world.quality_P.argmax())
    expected = world.d + world.A * (seen / world.n0) ** world.b_P[best]
    np.testing.assert_allclose(
        true_error(world, np.eye(len(unique_P))[best], seen, unique_P), expected, rtol=1e-9
    )


def test_the_published_parameters_give_the_published_accuracies():
    world = changed(
        make_world(BY_LAW["utility"]),
        sizes_P=np.full(4, 12_800_000),
        b_P=np.array([-0.16, -0.125, -0.10, -0.085]),
        quality_P=np.ones(4),
        tau_P=np.array([6.727272727, 8.545454545, 5.272727273, 2.272727273]),
        A=1.0,
        n0=4e6,
        d=0.1,
    )
    nested = np.tril(np.ones((4, 4)))
    budgets = np.array([32e6, 64e6, 128e6, 640e6])
    published = [
        [17.04, 22.72, 26.39, 28.57],
        [15.54, 22.14, 27.71, 35.64],
        [13.42, 19.78, 25.40, 34.93],
        [11.68, 17.74, 23.15, 32.85],
    ]
    accuracy = 100 * (1 - true_error(world, nested[:, None, :], budgets))
    np.testing.assert_allclose(accuracy, published, atol=0.01)


def test_harmful_repeats_turn_the_error_up_and_the_other_laws_never_do():
    for law, number in BY_LAW.items():
        world = make_world(number)
        seen = np.geomspace(world.n0, 200 * world.sizes_P.max(), 200)
        turns = [
            bool((np.diff(true_error(world, row, seen)) > 1e-12).any()) for row in np.eye(len(world.sizes_P))
        ]
        assert all(turns) if law == "harmful" else not any(turns)


def test_a_worn_out_pool_of_a_saturating_world_is_worth_a_bounded_number_of_passes():
    world = make_world(BY_LAW["saturating"])
    size, tau = int(world.sizes_P[0]), float(world.tau_P[0])
    worth = size * (1 + tau / math.log(2)) * world.quality_P[0]
    limit = world.d + world.A * (worth / world.n0) ** world.b_P[0]
    worn_out = float(true_error(world, np.eye(len(world.sizes_P))[0], 1000 * size))
    assert worn_out == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("design", worlds.DESIGNS)
def test_every_pool_gets_four_probes_none_longer_than_the_largest(design):
    world = make_world(2)
    runs = worlds.probe_runs(world, design)
    assert [run.pool for run in runs] == [name for name in world.names for _ in range(4)]
    assert max(run.samples_seen for run in runs) == world.largest_probe
    assert len({run.unique_samples for run in runs[:4]}) >= 2


def test_matched_probes_repeat_as_the_budgets_do():
    world = make_world(2)
    for place, name in enumerate(world.names[1:], start=1):
        runs = [run for run in worlds.probe_runs(world, "matched") if run.pool == name]
        passes = [run.samples_seen / run.unique_samples for run in runs]
        np.testing.assert_allclose(passes, np.array(world.budgets) / world.sizes_P[place], rtol=1e-5)


def test_the_noise_of_the_probes_is_three_tenths_of_a_point():
    off = [
        run.error - clean.error
        for number in range(40)
        for run, clean in zip(
            worlds.probe_runs(make_world(number)),
            worlds.probe_runs(make_world(number), noise=0.0),
            strict=True,
        )
    ]
    assert np.std(off) == pytest.approx(0.003, rel=0.1)
    assert abs(np.mean(off)) < 0.0005


def test_subsets_are_all_subsets_drawn_uniformly_over_their_samples():
    world = make_world(0)
    places = range(len(world.sizes_P))
    expected = {c for size in range(1, len(places) + 1) for c in itertools.combinations(places, size)}
    rows = worlds.subsets(world)
    assert {tuple(np.flatnonzero(row).tolist()) for row in rows} == expected
    for row in rows:
        drawn = row > 0
        np.testing.assert_allclose(row[drawn], world.sizes_P[drawn] / world.sizes_P[drawn].sum())


def test_the_truth_is_the_lowest_error_and_a_distinct_choice_draws_other_samples():
    world = make_world(5)
    for budget in world.budgets:
        truth, rows = worlds.truth(world, budget), worlds.subsets(world)
        error_C = true_error(world, rows, budget)
        assert truth.error == error_C.min() == error_C[truth.best]
        assert 0 <= truth.gap <= truth.distinct_gap
        far = [c for c, row in enumerate(rows) if np.abs(row - rows[truth.best]).sum() / 2 >= worlds.DISTINCT]
        assert truth.distinct_gap == pytest.approx(min(error_C[far]) - truth.error)


def test_winners_change_between_small_and_large_budgets_in_most_worlds():
    ends = [
        (w, worlds.truth(w, w.budgets[0]), worlds.truth(w, w.budgets[-1])) for w in map(make_world, range(40))
    ]
    assert np.mean([first.best != last.best for _, first, last in ends]) > 0.6


def test_the_fixed_30_percent_is_the_prefix_of_the_nearest_size():
    world = changed(
        make_world(0),
        sizes_P=np.array([10, 15, 40, 35]),
        b_P=np.full(4, -0.1),
        quality_P=np.ones(4),
        tau_P=np.full(4, 5.0),
    )
    choices = worlds.fixed_choices(world)
    np.testing.assert_allclose(choices["fixed 30%"], [0.4, 0.6, 0, 0])
    np.testing.assert_allclose(choices["top pool"], [1, 0, 0, 0])
    np.testing.assert_allclose(choices["everything"], [0.1, 0.15, 0.4, 0.35])


def test_a_negative_world_is_refused():
    with pytest.raises(ValueError, match="no world -1"):
        make_world(-1)
