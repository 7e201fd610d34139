"""How far pools may stray from the laws."""

from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import POOL_SIZE, parameters, planted_runs
from thresher.planning.laws.fit import fit
from thresher.planning.plans.discrepancy import deviations, discrepancy_of, expected_reduction

TRUTH = parameters(b=(-0.16, -0.10), tau=(6.7, 3.0))
LENGTHS = (4_000_000, 8_000_000, 16_000_000, 32_000_000)


@pytest.fixture(scope="module")
def laws():
    return fit(planted_runs(TRUTH, noise=0.002, lengths=LENGTHS), law="utility", num_draws=20)


def spread(laws, samples_seen, weights=(1.0, 0.0)):
    found_S = deviations(
        discrepancy_of(laws, 2000), samples_seen, np.array(weights), np.full(2, float(POOL_SIZE))
    )
    assert found_S.mean() == pytest.approx(0.0, abs=1e-9)  # predictions stay where they are
    return float(found_S.std())


def test_pools_stray_more_the_farther_from_their_runs(laws):
    near, far, farther = (spread(laws, seen) for seen in (8_000_000, 128_000_000, 640_000_000))
    assert near < 0.002 / 0.4  # no more than a run there errs by
    assert near < far / 3 < farther / 3


def test_a_run_on_a_pool_holds_that_pool_alone(laws):
    longer = planted_runs(TRUTH, noise=0.002, lengths=(*LENGTHS, 256_000_000))
    only = [run for run in longer if run.pool == "p0" or run.samples_seen in LENGTHS]
    told = fit(only, law="utility", num_draws=20)
    assert spread(told, 256_000_000) < spread(laws, 256_000_000) / 2
    untold = spread(told, 256_000_000, (0.0, 1.0))
    assert untold == pytest.approx(spread(laws, 256_000_000, (0.0, 1.0)), rel=0.5)


def test_a_mix_strays_as_its_pools_do_by_weight(laws):
    stray, sizes = discrepancy_of(laws, 50), np.full(2, 1e30)  # no passes: nothing wears out
    alone_S2 = deviations(stray, 64e6, np.eye(2), sizes)
    np.testing.assert_allclose(
        deviations(stray, 64e6, np.array([0.3, 0.7]), sizes), alone_S2 @ [0.3, 0.7], atol=1e-12
    )


def test_laws_without_runs_stray_nowhere(laws):
    written = replace(laws, points=())
    assert not deviations(discrepancy_of(written, 10), 64e6, np.array([1.0, 0.0]), np.full(2, 1e7)).any()


def test_a_run_that_tells_the_winner_saves_the_whole_regret_and_one_drowned_in_noise_none():
    winner_S = np.tile([0.0, 0.0, 1.0, 0.0, 0.0], 8)  # the second mix is better in one draw of five
    target_SC = np.stack([np.full(40, 0.5), np.where(winner_S > 0, 0.45, 0.55)], axis=1)
    regret = 0.05 / 5
    told = expected_reduction(target_SC[None], target_SC[:, [1]], 1e-6)
    assert told == pytest.approx((1.0, regret), rel=1e-6)
    assert expected_reduction(target_SC[None], target_SC[:, [1]], 1e6) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert expected_reduction(target_SC[None], np.empty((40, 0)), 0.01) == (0.0, 0.0)
