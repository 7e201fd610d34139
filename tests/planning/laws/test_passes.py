import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_runs
from thresher.planning.laws import bounded, utility
from thresher.planning.laws.fit import fit
from thresher.planning.laws.integrals import FIRST_LATER, ein, later_passes, scaled_exp1


@pytest.mark.parametrize("offset", [0.0, 0.3, 77.0, 1e4])
@pytest.mark.parametrize("decay", [0.0, 1e-9, 1e-5, 3e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("passes", [FIRST_LATER + 1, 5000, 200_000])
def test_later_passes_are_the_sum_of_their_terms(offset, decay, passes):
    k = np.arange(FIRST_LATER, passes, dtype=float)
    terms = np.exp(-decay * k) * np.log1p(1 / (k + offset))
    slopes = np.exp(-decay * k) * (1 / (k + 1 + offset) - 1 / (k + offset))
    found = later_passes(*(np.array([value]) for value in (float(passes), -decay, offset)))
    assert found.value[0] == pytest.approx(terms.sum(), rel=1e-8, abs=1e-14)
    assert found.times_pass[0] == pytest.approx((k * terms).sum(), rel=2e-8, abs=1e-9)
    assert found.by_offset[0] == pytest.approx(slopes.sum(), rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("tau", [100.0, 3000.0, 1e12])
def test_a_sum_that_goes_on_beyond_is_the_whole_sum(tau):
    n, M, n0 = 987_654.3, 10.0, 25.0
    k = np.arange(1, int(n / M), dtype=float)
    last = 2.0 ** (-int(n / M) / tau)
    slow = np.log(M) + (2.0 ** (-k / tau) * np.log1p(1 / k)).sum() + last * np.log(n / (int(n / M) * M))
    arrays = [np.array([value]) for value in (n, M, tau)]
    assert utility.log_exposure(*arrays).value[0] == pytest.approx(slow, rel=1e-11)
    k = np.arange(0, int(n / M), dtype=float)
    slow = (2.0 ** (-k / tau) * np.log((M * k + M + n0) / (M * k + n0))).sum()
    slow += last * np.log((n + n0) / (int(n / M) * M + n0))
    whole = bounded.span(*(np.array([value]) for value in (n, n0, M, tau)), None)
    assert whole.value[0] == pytest.approx(slow, rel=1e-11)


def test_a_pool_of_ten_samples_may_be_repeated_a_billion_times():
    """Pass by pass it would take hours."""
    for law in ("utility", "bounded"):
        truth = parameters(law, b=(-0.04, -0.08), tau=(1e5, 3e7), n0=5, num_unique=10)
        runs = planted_runs(truth, law=law, lengths=[10**power for power in range(1, 11)], noise=0.001)
        laws = fit(runs, law=law, num_draws=10)
        assert all(pool.values["tau"] > 0 for pool in laws.pools)
        assert np.isfinite(laws.best.draws_SX).all()


def test_the_exponential_integral_keeps_its_digits():
    found = ein(np.array([0.0, 1e-12, 9.99e-4, 1.001e-3, 1.0, 30.0]))
    by_fractions = [
        0.0,
        1e-12,
        0.000998750555128682,
        0.0010007495554619323,
        0.7965995992970532,
        3.9784130465636913,
    ]
    np.testing.assert_allclose(found, by_fractions, rtol=1e-13, atol=2e-14)
    x = np.array([1e-300, 0.1, 10.0, 499.99, 500.01, 1e6])
    bounds = np.log1p(1 / x), np.log1p(2 / x) / 2  # 0.5 ln(1 + 2/x) < e^x E1(x) < ln(1 + 1/x)
    assert (scaled_exp1(x) <= bounds[0]).all()
    assert (scaled_exp1(x) >= bounds[1]).all()
    assert scaled_exp1(x)[4] == pytest.approx(scaled_exp1(x)[3], rel=1e-4)
