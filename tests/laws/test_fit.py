import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.laws.planted import POOL_SIZE, parameters, planted_run, planted_runs
from thresher.errors import InputError
from thresher.laws.fit import fit, predict_runs
from thresher.laws.result import predict_mix, predict_mix_interval, utility_curve
from thresher.runs import read_runs

FIVE_POOLS = parameters(
    b=(-0.16, -0.125, -0.10, -0.085, -0.05),
    tau=(6.727272727, 8.545454545, 5.272727273, 2.272727273, 3.0),
    A=0.9,
)


@pytest.fixture(scope="module")
def noisy_fit():
    runs = planted_runs(FIVE_POOLS, noise=0.004, seed=3)
    checks = [
        planted_run(FIVE_POOLS, [1 / count] * count + [0] * (5 - count), length, role="check")
        for count in (2, 3, 5)
        for length in (48_000_000, 200_000_000)
    ]
    return fit([*runs, *checks])


def test_planted_parameters_come_back_from_runs_without_noise():
    fitted = fit(planted_runs(FIVE_POOLS), num_draws=0)
    np.testing.assert_allclose(fitted.A, 0.9, rtol=1e-3)
    np.testing.assert_allclose(fitted.n0, 4e6, rtol=1e-3)
    np.testing.assert_allclose(fitted.d, 0.1, atol=1e-3)
    np.testing.assert_allclose([pool.b for pool in fitted.pools], FIVE_POOLS.b_P, rtol=1e-3)
    np.testing.assert_allclose([pool.tau for pool in fitted.pools], FIVE_POOLS.tau_P, rtol=1e-3)
    assert fitted.noise < 1e-5


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_gamma_comes_back_when_a_pool_was_run_at_two_sizes(gamma):
    truth = parameters(b=(-0.2, -0.12), tau=(5.0, 3.0), gamma=gamma, num_unique=POOL_SIZE)
    quarter = [
        planted_run(truth, [1.0, 0.0], length, unique=POOL_SIZE // 4, run="quarter")
        for length in (16_000_000, 64_000_000)
    ]
    fitted = fit([*planted_runs(truth), *quarter], num_draws=0)
    assert fitted.gamma == pytest.approx(gamma, abs=1e-3)
    assert [pool.num_unique for pool in fitted.pools] == [POOL_SIZE, POOL_SIZE]
    assert not any("gamma was held" in sentence for sentence in fitted.status)


def test_gamma_is_one_and_said_to_be_without_two_sizes(noisy_fit):
    assert noisy_fit.gamma == 1.0
    assert "gamma" not in noisy_fit.intervals
    assert any("gamma was held at 1" in sentence for sentence in noisy_fit.status)


def test_a_mix_among_the_fit_runs_teaches_about_its_pools():
    truth = parameters(b=(-0.2, -0.08), tau=(5.0, 3.0))
    mixes = [planted_run(truth, [0.5, 0.5], length) for length in (16_000_000, 90_000_000)]
    fitted = fit([*planted_runs(truth, lengths=(8_000_000, 60_000_000, 200_000_000)), *mixes], num_draws=0)
    np.testing.assert_allclose([pool.tau for pool in fitted.pools], [5, 3], rtol=1e-3)
    assert len(fitted.points) == 8


def test_intervals_cover_the_truth_and_check_mixes_beat_the_mean(noisy_fit):
    truth = {"A": 0.9, "n0": 4e6, "d": 0.1}
    covered = [
        noisy_fit.intervals[name][0] < value < noisy_fit.intervals[name][1] for name, value in truth.items()
    ]
    for pool, b, tau in zip(noisy_fit.pools, FIVE_POOLS.b_P, FIVE_POOLS.tau_P, strict=True):
        covered.append(pool.intervals["b"][0] < b < pool.intervals["b"][1])
        covered.append(pool.intervals["tau"][0] < tau < pool.intervals["tau"][1])
    assert sum(covered) >= 11  # of 13, each a 90% interval
    assert 0.001 < noisy_fit.noise < 0.01
    assert len(noisy_fit.check.points) == 6
    assert noisy_fit.check.mae < 0.01
    assert noisy_fit.check.mae < noisy_fit.check.mae_of_mean / 2
    errors = np.array([point.run.error for point in noisy_fit.check.points])
    assert noisy_fit.check.mae_of_mean == pytest.approx(np.abs(errors - errors.mean()).mean())


def test_check_and_verify_runs_never_enter_the_fit():
    runs = planted_runs(FIVE_POOLS)
    nonsense = [replace(runs[0], role=role, error=0.01, run=role) for role in ("check", "verify")]
    alone, beside = fit(runs, num_draws=0), fit([*runs, *nonsense], num_draws=0)
    assert (alone.A, alone.n0, alone.d, alone.pools) == (beside.A, beside.n0, beside.d, beside.pools)
    assert [point.run.role for point in beside.check.points] == ["check"]


def test_the_same_runs_and_seed_give_the_same_fit():
    runs = planted_runs(parameters(b=(-0.2, -0.1), tau=(5.0, 3.0)), noise=0.004)
    one, two, other = (fit(runs, num_draws=8, seed=seed) for seed in (1, 1, 2))
    assert one.A == two.A
    np.testing.assert_array_equal(one.draws_SX, two.draws_SX)
    assert not np.array_equal(one.draws_SX, other.draws_SX)


def test_enough_runs_a_pool_are_resampled_and_cover_the_truth():
    truth = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
    lengths = tuple(int(length) for length in np.geomspace(6e6, 3e8, 10))
    fitted = fit(planted_runs(truth, noise=0.004, lengths=lengths), num_draws=60)
    for pool, b in zip(fitted.pools, truth.b_P, strict=True):
        assert pool.intervals["b"][0] < b < pool.intervals["b"][1]


def test_one_outlier_moves_little_and_is_named():
    runs = planted_runs(FIVE_POOLS, noise=0.001)
    runs[12] = replace(runs[12], error=runs[12].error * 0.8, run="broken")
    fitted = fit(runs, num_draws=0)
    clean = [point.residual for point in fitted.points if point.run.run != "broken"]
    np.testing.assert_allclose(clean, 0, atol=0.004)
    assert any(sentence.startswith("Run broken") for sentence in fitted.warnings)


def test_values_can_be_held():
    fitted = fit(planted_runs(FIVE_POOLS, noise=0.003), fixed={"A": 0.9, "d": 0.1}, num_draws=5)
    assert (fitted.A, fitted.d) == (pytest.approx(0.9), 0.1)
    assert set(fitted.intervals) == {"n0"}
    assert np.ptp(fitted.draws_SX[:, 0]) == 0
    assert any(sentence.startswith("A was held at 0.9") for sentence in fitted.status)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"b": -0.1}, "cannot hold 'b'; one of A, n0, d, gamma"),
        ({"A": 0.0}, "A is held at 0.0; give a positive value"),
        ({"d": 0.99}, "d is held at 0.99; give a value from 0 to below the smallest error"),
        ({"gamma": 3.0}, "gamma is held at 3.0"),
    ],
)
def test_a_value_that_cannot_be_held_is_named(fixed, message):
    with pytest.raises(InputError, match=message):
        fit(planted_runs(FIVE_POOLS), fixed=fixed)


def test_d_stays_between_zero_and_the_smallest_error():
    flat = [replace(run, error=0.9 + 1e-4 * number) for number, run in enumerate(planted_runs(FIVE_POOLS))]
    fitted = fit(flat, num_draws=10)
    assert 0 <= fitted.d < min(run.error for run in flat)
    assert (fitted.draws_SX[:, 2] >= 0).all()


def test_a_half_life_without_repetition_is_assumed_and_said_to_be():
    truth = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
    fresh = (5_000_000, 7_000_000, 9_000_000, 12_000_000)
    runs = [run for run in planted_runs(truth) if run.pool == "p0"]
    runs += [run for run in planted_runs(truth, lengths=fresh) if run.pool == "p1"]
    fitted = fit(runs, num_draws=40)
    p0, p1 = fitted.pools
    assert p0.tau == pytest.approx(5.0, rel=1e-2)
    assert p1.tau == pytest.approx(p0.tau, rel=1e-6)
    assert p1.intervals["tau"][1] / p1.intervals["tau"][0] > 5
    assert any(
        "half-life of p1 is not identified" in text and "at least 3 passes" in text for text in p1.status
    )
    assert not any("not identified" in text for text in p0.status)


def test_a_pool_that_teaches_nothing_is_named():
    truth = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
    runs = [
        run if run.pool == "p0" else replace(run, error=0.94 + 0.002 * number)
        for number, run in enumerate(planted_runs(truth))
    ]
    fitted = fit(runs, num_draws=0)
    assert any("b of p1 is at its bound 0" in text for text in fitted.pools[1].status)


def test_one_pool_alone_cannot_tell_the_meeting_point():
    runs = planted_runs(parameters(b=(-0.2,), tau=(5.0,)))
    fitted = fit(runs, num_draws=0)
    assert fitted.n0 == pytest.approx(min(run.samples_seen for run in runs))
    assert any("meeting point is not identified" in sentence for sentence in fitted.status)
    np.testing.assert_allclose([point.residual for point in fitted.points], 0, atol=1e-3)


def test_runs_from_the_middle_of_a_schedule_are_counted():
    runs = planted_runs(FIVE_POOLS)
    runs[:4] = [replace(run, final=False) for run in runs[:4]]
    runs[4:7] = [replace(run, final=None) for run in runs[4:7]]
    warnings = fit(runs, num_draws=0).warnings
    assert any(text.startswith("4 of 25 points are not end-of-training") for text in warnings)
    assert any(text.startswith("3 of 25 points do not say") for text in warnings)
    assert not any("end-of-training" in text for text in fit(planted_runs(FIVE_POOLS), num_draws=0).warnings)


def test_a_lower_pool_that_teaches_more_is_named():
    truth = parameters(b=(-0.1, -0.2, -0.05), tau=(4.0, 4.0, 4.0))
    warnings = fit(planted_runs(truth, noise=0.002), num_draws=20).warnings
    (sentence,) = [text for text in warnings if "order of utility" in text]
    assert "p1 (b -0" in sentence
    assert "than p0" in sentence
    in_order = fit(planted_runs(truth, noise=0.002), num_draws=20, pool_order=["p1", "p0", "p2"])
    assert [pool.name for pool in in_order.pools] == ["p1", "p0", "p2"]
    assert not any("order of utility" in text for text in in_order.warnings)


@pytest.mark.parametrize(
    ("name", "value"), [("recipe", "other"), ("model", "vit"), ("metric", "recall_error")]
)
def test_runs_that_one_law_cannot_describe_are_not_mixed(name, value):
    runs = [replace(run, recipe="a", model="m") for run in planted_runs(FIVE_POOLS)]
    mixed = [*runs, replace(runs[0], **{name: value})]
    with pytest.raises(InputError, match=rf"mix 2 {name}s .*choose one with {name}="):
        fit(mixed)
    chosen = getattr(runs[0], name)
    assert len(fit(mixed, num_draws=0, **{name: chosen}).points) == 25
    with pytest.raises(InputError, match=f"no run has the {name} 'none'"):
        fit(mixed, **{name: "none"})


def test_too_few_runs_a_missing_role_and_an_unknown_law_are_refused():
    runs = planted_runs(parameters(b=(-0.2, -0.1), tau=(5.0, 3.0)), lengths=(20_000_000, 60_000_000))
    with pytest.raises(InputError, match=r"7 parameters cannot be fitted to 4 runs \(p0, p1\)"):
        fit(runs)
    with pytest.raises(InputError, match="no run has the role `fit`"):
        fit([replace(run, role="verify") for run in runs])
    with pytest.raises(InputError, match="no law 'cubic'; choose one of power, utility"):
        fit(runs, law="cubic")


def test_a_check_run_on_an_unknown_pool_is_left_out_aloud():
    strange = planted_run(FIVE_POOLS, [1.0, 0, 0, 0, 0], 50_000_000, role="check", run="odd")
    fitted = fit([*planted_runs(FIVE_POOLS), replace(strange, pool="p9")], num_draws=0)
    assert fitted.check.points == ()
    assert fitted.check.mae is None
    assert any("Check run odd was left out: no fit run holds p9" in text for text in fitted.warnings)


def test_the_baseline_without_repetition_fits_worn_pools_worse():
    runs = planted_runs(FIVE_POOLS)
    power = fit(runs, law="power", num_draws=3)
    assert power.noise > 0.005
    assert all(pool.tau is None and "tau" not in pool.intervals for pool in power.pools)
    assert not any("half-life" in text for pool in power.pools for text in pool.status)


def test_predictions_can_be_asked_for(noisy_fit):
    runs = [point.run for point in noisy_fit.points]
    np.testing.assert_allclose(predict_runs(noisy_fit, runs), [point.predicted for point in noisy_fit.points])
    sizes = {f"p{number}": POOL_SIZE for number in range(5)}
    n = np.geomspace(8e6, 5e8, 7)
    middle = predict_mix(noisy_fit, {"p0": 1, "p1": 1}, sizes, n)
    low, high = predict_mix_interval(noisy_fit, {"p0": 1, "p1": 1}, sizes, n)
    assert (low < middle).all()
    assert (middle < high).all()
    first = noisy_fit.pools[0]
    np.testing.assert_allclose(utility_curve(noisy_fit, "p0", [0, first.tau]), [first.b, first.b / 2])
    with pytest.raises(InputError, match="no law for pool 'p9'"):
        predict_mix(noisy_fit, {"p9": 1.0}, sizes, n)
    with pytest.raises(InputError, match="no law for pool 'p9'"):
        utility_curve(noisy_fit, "p9", [0])
    with pytest.raises(InputError, match="'p0' has weight 1 but no size"):
        predict_mix(noisy_fit, {"p0": 1.0}, {}, n)


def test_a_joint_fit_takes_milliseconds():
    runs = planted_runs(FIVE_POOLS, noise=0.003)
    fit(runs, num_draws=0)
    start = time.process_time()
    for _ in range(5):
        fit(runs, num_draws=0)
    assert (time.process_time() - start) / 5 < 0.3  # about 0.05 s; the rest is room for slow machines


@pytest.mark.skipif(
    "THRESHER_DATA" not in os.environ, reason="set THRESHER_DATA to the folder that holds laws/"
)
def test_repetition_shows_in_the_published_buckets():
    table = Path(os.environ["THRESHER_DATA"]) / "laws" / "datacomp_clip_buckets.csv"
    runs = [run for run in read_runs(table, error_column="imagenet_error") if run.samples_seen > 1e7]
    utility, power = fit(runs, num_draws=30), fit(runs, law="power", num_draws=0)
    assert utility.noise < 0.004
    assert utility.noise < 0.75 * power.noise
    assert all(2 < pool.tau < 12 for pool in utility.pools)
    assert any("clip_10p_to_20p" in text and "order of utility" in text for text in utility.warnings)
    assert any("62 of 62 points do not say" in text for text in utility.warnings)
