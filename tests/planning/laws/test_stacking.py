from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run
from thresher.planning.laws.fit import fit
from thresher.planning.laws.law_weights import hold_out, most_repeated, stacked
from thresher.planning.runs.record import Run

TRUTH = parameters(b=(-0.3,), tau=(6.0,), n0=1e6, A=0.6, num_unique=8_000_000, sized=True)
LENGTHS = tuple(1_000_000 * 2**power for power in range(8))
SIZES = (10_000_000, 30_000_000, 100_000_000, 300_000_000, 1_000_000_000)


def sized_runs(*, noise: float = 0.0) -> list[Run]:
    """Runs of models of five sizes, up to 16 passes over one pool."""
    return [
        planted_run(TRUTH, [1.0], length, noise=noise, params=params)
        for params in SIZES
        for length in LENGTHS
    ]


def test_with_models_of_many_sizes_the_runs_that_repeat_most_are_held_out():
    runs = sized_runs()
    fewer, most = hold_out(runs)
    assert (fewer, most) == most_repeated(runs)
    assert {run.samples_seen for run in most} == {64_000_000, 128_000_000}  # 8 and 16 passes
    assert {run.params for run in most} == set(SIZES)
    assert sorted(map(id, (*fewer, *most))) == sorted(map(id, runs))


def test_one_model_size_few_settings_or_no_repetition_leave_the_longest_runs_held_out():
    runs = sized_runs()
    assert most_repeated([replace(run, params=SIZES[0]) for run in runs]) is None
    assert most_repeated([run for run in runs if run.params < 2e8 and run.samples_seen < 3e7]) is None
    assert most_repeated([replace(run, unique_samples=10**9, pool_samples=10**9) for run in runs]) is None


def test_laws_that_err_on_opposite_sides_stand_half_and_half_and_a_copy_adds_nothing():
    held = sized_runs()[:12]
    off, other = np.random.default_rng(0).normal(0, 0.1, (2, 12))
    above, below, worse = 1 + off, 1 - off, 1.5 + other
    shares = stacked({"above": above, "below": below, "copy": above, "worse": worse}, held)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["below"] == pytest.approx(0.5, abs=1e-3)
    assert shares["above"] + shares["copy"] == pytest.approx(0.5, abs=1e-3)
    assert shares["worse"] == pytest.approx(0, abs=1e-6)


def test_seeds_of_a_setting_count_as_one_run():
    held = sized_runs()[:2]
    ratios = {"first": np.array([1.0, 1.2]), "second": np.array([1.2, 1.0])}
    assert stacked(ratios, held)["first"] == pytest.approx(0.5, abs=1e-3)
    seeds = [held[0], *[replace(held[1], seed=seed) for seed in range(9)]]
    repeated = {name: np.repeat(values, (1, 9)) for name, values in ratios.items()}
    assert stacked(repeated, seeds)["first"] == pytest.approx(0.5, abs=1e-3)


def test_a_mix_is_one_setting_in_whatever_order_its_pools_are_named():
    single = sized_runs()[0]
    mix = replace(single, pool=None, weights={"a": 0.5, "b": 0.5}, unique_samples={"a": 10, "b": 20})
    turned = replace(mix, weights={"b": 0.5, "a": 0.5}, unique_samples={"b": 20, "a": 10})
    ratios = {"first": np.array([1.0, 1.2, 1.2]), "second": np.array([1.2, 1.0, 1.0])}
    assert stacked(ratios, [single, mix, turned])["first"] == pytest.approx(0.5, abs=1e-3)


def test_a_table_of_many_models_is_planned_with_the_laws_that_predict_more_repetition_best():
    laws = fit(sized_runs(noise=1e-3), num_draws=0)
    scores = {score.law: score for score in laws.comparison}
    assert scores["power"].weight == 0
    assert scores[laws.best.law].heldout_mae < 0.1 * scores["power"].heldout_mae
    (sentence,) = laws.status
    assert sentence.startswith(
        f"Fitted to the runs that repeat less, the {laws.best.law} law predicted the 10 "
    )
    assert "that repeat most within" in sentence
