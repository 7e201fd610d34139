from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import POOL_SIZE, parameters, planted_run, planted_runs
from thresher.planning.laws.doubt import (
    USUAL_DRIFT,
    USUAL_POOLS,
    Doubt,
    deviations,
    distances,
    doubt_of,
    measured_by,
    normal_draws,
    per_log_error,
    strayed,
)
from thresher.planning.laws.fit import fit
from thresher.planning.laws.law import design
from thresher.planning.laws.predict import predict_draws

POOLS = ("p0", "p1")
LENGTHS = (8_000_000, 32_000_000, 128_000_000)
TRUTH = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
RUNS = planted_runs(TRUTH, lengths=LENGTHS)
SIZES = np.full(2, float(POOL_SIZE))


def test_a_run_is_no_distance_from_itself_and_factors_e_of_length_and_passes_add_by_squares():
    known = measured_by(RUNS, POOLS)
    at_run, elsewhere = distances(design(128e6, [1.0, 0.0], SIZES), known)
    assert at_run[0] == pytest.approx(0.0, abs=1e-12)
    assert elsewhere == 0.0
    longer, _ = distances(design(128e6 * np.e, [1.0, 0.0], SIZES), known)
    passes = np.log1p(10 * np.e) - np.log1p(10)
    assert longer[0] == pytest.approx(np.hypot(1.0, passes))
    fresh, _ = distances(design(128e6 * np.e, [1.0, 0.0], SIZES * np.e), known)  # as many passes as were run
    assert fresh[0] == pytest.approx(1.0)


def test_a_mix_that_was_not_run_lies_elsewhere_and_one_that_was_does_not():
    mixed = [*RUNS, planted_run(TRUTH, [0.5, 0.5], 128_000_000)]
    of = design(128e6, [[0.5, 0.5], [0.75, 0.25]], SIZES)
    np.testing.assert_allclose(distances(of, measured_by(RUNS, POOLS))[1], [0.5, 0.25])
    np.testing.assert_allclose(distances(of, measured_by(mixed, POOLS))[1], [0.0, 0.25])


def test_what_strays_has_the_scales_of_the_doubt():
    known, z_SZ = measured_by(RUNS, POOLS), normal_draws(4000, 2)
    of = design(128e6 * np.e**2, [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], SIZES * np.e**2)
    alone_P = np.array([0.3, 0.7])
    shared = deviations(Doubt(drift=0.1), of, known, alone_P, z_SZ)
    np.testing.assert_allclose(shared[:, 0], shared[:, 1], rtol=1e-12)
    np.testing.assert_allclose(shared.std(0)[:2], 0.2, rtol=1e-3)
    own = deviations(Doubt(pools=0.1), of, known, alone_P, z_SZ)
    assert abs(np.corrcoef(own[:, 0], own[:, 1])[0, 1]) < 0.1
    mixes = deviations(Doubt(mixes=0.1), of, known, alone_P, z_SZ)
    np.testing.assert_allclose(mixes.std(0), [0.0, 0.0, 0.1 * 0.5 * 0.2], atol=1e-4)
    alike = deviations(Doubt(mixes=0.1), of, known, np.array([0.5, 0.5]), z_SZ)
    assert not alike.any()


@pytest.mark.parametrize("bound", [1.0, 0.9])
def test_an_error_that_strays_stays_below_that_of_guessing(bound):
    error = np.array([0.02, 0.5, 0.899])
    for deviation in (-30.0, -1.0, 0.0, 1.0, 30.0):
        moved = strayed(error, np.full(3, deviation), bound=bound, d=np.zeros(3))
        assert ((moved >= 0) & (moved <= bound)).all()
    np.testing.assert_allclose(strayed(error, np.zeros(3), bound=bound, d=np.zeros(3)), error, rtol=1e-9)
    nearly = strayed(error, np.full(3, 1e-6), bound=bound, d=np.zeros(3))
    moved_by = np.log(nearly / error) * per_log_error(error, bound=bound, d=0.0)
    np.testing.assert_allclose(moved_by, 1e-6, rtol=1e-3)


def test_a_loss_strays_above_its_irreducible_part():
    moved = strayed(np.array([3.0]), np.array([-50.0]), bound=None, d=np.array([2.0]))
    assert moved[0] == pytest.approx(2.0)
    moved = strayed(np.array([3.0]), np.array([0.1]), bound=None, d=np.array([2.0]))
    assert moved[0] == pytest.approx(2.0 + np.exp(0.1))


def test_longest_runs_that_were_missed_raise_the_doubt_and_those_foretold_lower_it():
    held = [run for run in RUNS if run.samples_seen == max(LENGTHS)]
    shorter = [run for run in RUNS if run not in held]

    def scale(ratio):
        found = doubt_of(np.full(len(held), ratio), held, shorter, POOLS, noise=0.001, bound=1.0, d=0.0)
        assert found.drift / found.pools == pytest.approx(USUAL_DRIFT / USUAL_POOLS, rel=1e-4)
        return found.pools

    usual = fit(planted_runs(TRUTH, lengths=LENGTHS[:2]), law="utility", num_draws=0).doubt.pools
    assert scale(1.0) < usual < scale(1.3) < scale(2.0)
    assert scale(1.0) > 0.8 * usual  # two pools are few


def test_the_further_a_mix_lies_from_the_runs_the_wider_its_interval():
    laws = fit(planted_runs(TRUTH, lengths=LENGTHS, noise=0.002), num_draws=100)
    n = laws.longest * np.array([1.0, 4.0, 16.0])
    widths = [
        np.diff(np.quantile(predict_draws(of, n, [0.5, 0.5], SIZES * 4), (0.05, 0.95), axis=0), axis=0)[0]
        for of in (laws, replace(laws, doubt=Doubt()))
    ]
    assert (np.diff(widths[0]) > 0).all()
    assert (widths[0] > widths[1]).all()
