"""What `n` samples seen of one pool are worth: each law against its formula, written as a loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.planning.laws import baselines, bounded, utility
from thresher.planning.laws.law import Exposure

EXPOSURES = {
    "utility": utility.log_exposure,
    "effective-data": baselines.effective_exposure,
    "data-constrained": baselines.constrained_exposure,
    "power": baselines.unworn_exposure,
    "utility, drawn": utility.expected_log_exposure,
    "effective-data, drawn": baselines.expected_effective_exposure,
    "data-constrained, drawn": baselines.expected_constrained_exposure,
}
COUNTS = (1, 50, 999, 1000, 1001, 1999, 2000, 3500, 64_123)
POOLS = {"n": st.floats(1, 1e6), "size": st.floats(501, 1e5), "tau": st.floats(0.2, 1e4)}


def exposure(of, n, interval, tau) -> Exposure:
    return of(np.asarray(n, float), np.asarray(interval, float), np.asarray(tau, float))


def effective_samples(n, size, tau):
    """Sample after sample would be the same: pass after pass, each worth 2^(-1 / tau) of the one before."""
    total, worth = 0.0, 1.0
    while n > 0:
        total += worth * min(n, size)
        n, worth = n - size, worth * 2 ** (-1 / tau)
    return total


def constrained_samples(n, size, tau):
    """arXiv 2305.16264, equation 5: U + U R (1 - e^(-repetitions / R))."""
    fresh = min(n, size)
    repetitions, R = n / fresh - 1, tau / math.log(2)
    return fresh + fresh * R * (1 - math.exp(-repetitions / R))


def bounded_fall(n, n0, size, tau):
    value, start, worth = 0.0, 0.0, 1.0
    while start < n:
        end = min(n, start + size)
        value += worth * math.log((end + n0) / (start + n0))
        start, worth = end, worth * 2 ** (-1 / tau)
    return value


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("tau", [0.3, 4.0, 1e5])
def test_effective_data_are_summed_pass_by_pass(n, tau):
    fast = exposure(baselines.effective_exposure, n, 1000.0, tau).value
    assert fast == pytest.approx(math.log(effective_samples(n, 1000.0, tau)), abs=1e-9)


@given(**POOLS)
def test_effective_data_are_summed_pass_by_pass_for_any_pool(n, size, tau):
    fast = exposure(baselines.effective_exposure, n, size, tau).value
    assert fast == pytest.approx(math.log(effective_samples(n, size, tau)), abs=1e-8)


@given(**POOLS)
def test_constrained_data_saturate(n, size, tau):
    fast = exposure(baselines.constrained_exposure, n, size, tau).value
    assert fast == pytest.approx(math.log(constrained_samples(n, size, tau)), abs=1e-9)


@pytest.mark.parametrize("tail", [0.0, 1e-9, 1e-3, 0.3, 1.0, 1.7])
def test_a_tail_leaves_the_half_life_and_teaches_what_its_worth_sums_to(tail):
    passes, step = np.linspace(1.0, 41.0, 40_001), 1e-3
    R = 4.0 * (tail / (2**tail - 1) if tail else 1 / math.log(2))
    worth = (1 + tail * (passes - 1) / R) ** (-1 / tail) if tail else np.exp(-(passes - 1) / R)
    np.testing.assert_allclose(np.interp(5.0, passes, worth), 0.5, rtol=1e-6)
    summed = 1 + np.concatenate([[0.0], np.cumsum((worth[1:] + worth[:-1]) / 2 * step)])
    found = baselines.constrained_exposure(passes * 1000, np.array(1000.0), np.array(4.0), np.array(tail))
    np.testing.assert_allclose(np.exp(found.value) / 1000, summed, rtol=1e-6)


@pytest.mark.parametrize("tail", [1e-4, 0.3, 1.0 - 1e-7, 1.6])
def test_the_slope_in_the_tail_agrees_with_differences(tail):
    n, size, tau, step = np.array([500.0, 1500.0, 9e3, 4e5]), np.array(1000.0), np.array(4.0), 1e-5
    up, down = (baselines.constrained_exposure(n, size, tau, tail + off).value for off in (step, -step))
    slope = baselines.constrained_exposure(n, size, tau, tail).by_tail
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-5, atol=1e-8)


def test_a_constrained_repetition_is_worth_half_after_a_half_life():
    n, step = 1000.0 * np.array([1, 5]), 1e-3  # tau = 4 passes after the first
    worth = [
        (constrained_samples(samples + step, 1000, 4) - constrained_samples(samples, 1000, 4)) / step
        for samples in n
    ]
    assert worth == pytest.approx([1.0, 0.5], abs=1e-5)


@pytest.mark.parametrize("n0", [1.0, 300.0, 5000.0])
@pytest.mark.parametrize("tau", [0.3, 4.0, 1e5])
def test_the_bounded_law_is_integrated_pass_by_pass(n0, tau):
    slow = [bounded_fall(n, n0, 1000.0, tau) for n in COUNTS]
    arrays = (np.asarray(value, float) for value in (COUNTS, n0, 1000.0, tau))
    np.testing.assert_allclose(bounded.span(*arrays, None).value, slow, rtol=1e-11)


def test_the_power_law_does_not_see_repetition():
    n = np.array([50.0, 5000.0])
    np.testing.assert_allclose(
        exposure(baselines.unworn_exposure, n, 100.0, 3.0).value, np.log(n), rtol=1e-13
    )


@pytest.mark.parametrize("name", EXPOSURES)
def test_samples_without_wear_are_worth_as_much_as_fresh_ones(name):
    n = np.array([50.0, 5000.0, 123_456.0])
    np.testing.assert_allclose(exposure(EXPOSURES[name], n, 100.0, 1e9).value, np.log(n), rtol=1e-6)
    np.testing.assert_allclose(exposure(EXPOSURES[name], n, np.inf, 0.5).value, np.log(n), rtol=1e-13)


@pytest.mark.parametrize("name", EXPOSURES)
def test_it_rises_with_every_sample_and_less_than_fresh_samples_make_it(name):
    n = np.geomspace(1, 900_000, 400)
    found = exposure(EXPOSURES[name], n, 1000.0, 3.0)
    assert (np.diff(found.value) > -1e-12).all()
    assert (np.diff(found.value) < np.diff(np.log(n)) + 1e-12).all()
    assert (found.value <= np.log(n) + 1e-12).all()
    assert (found.by_log_tau >= -1e-12).all()


@pytest.mark.parametrize("name", EXPOSURES)
def test_it_is_continuous_where_a_pass_ends(name):
    for boundary in (100.0, 200.0, 700.0):
        n = [boundary * (1 - 1e-12), boundary, boundary * (1 + 1e-12)]
        values = exposure(EXPOSURES[name], n, 100.0, 3.0).value
        assert np.ptp(values) < 1e-10


@pytest.mark.parametrize("name", EXPOSURES)
@pytest.mark.parametrize("tau", [0.02, 3.0, 500.0, 1e8])
def test_slopes_agree_with_finite_differences(name, tau):
    n, step = np.array([0.05, 50.0, 130.0, 999.0, 12_345.0]), 1e-5
    middle = exposure(EXPOSURES[name], n, 100.0, tau)
    later, earlier = (exposure(EXPOSURES[name], n, 100.0, tau * math.exp(s)).value for s in (step, -step))
    more, less = (exposure(EXPOSURES[name], n * math.exp(s), 100.0, tau).value for s in (step, -step))
    np.testing.assert_allclose(middle.by_log_tau, (later - earlier) / (2 * step), atol=3e-7)
    np.testing.assert_allclose(middle.by_log_samples, (more - less) / (2 * step), atol=3e-7)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("n0", [20.0, 2000.0, 1e6])
@pytest.mark.parametrize("tau", [0.02, 3.0, 500.0, 1e8])
def test_slopes_of_the_bounded_law_agree_with_finite_differences(drawn, n0, tau):
    n, step = np.array([0.05, 50.0, 130.0, 999.0, 12_345.0]), 1e-5
    kind = np.full(n.shape, drawn)[..., None] if drawn else None

    def value(onset, half_life):
        arrays = (n[:, None], np.array([onset]), np.array([100.0]), np.array([half_life]))
        return bounded.span(*arrays, None if kind is None else kind[:, 0])

    middle = value(n0, tau)
    up, down = (value(n0, tau * math.exp(s)).value for s in (step, -step))
    np.testing.assert_allclose(middle.by_log_tau, (up - down) / (2 * step), atol=3e-7)
    up, down = (value(n0 * math.exp(s), tau).value for s in (step, -step))
    np.testing.assert_allclose(middle.by_log_n0, (up - down) / (2 * step), atol=3e-7)
