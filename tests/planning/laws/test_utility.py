import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planning.laws.planted import error_of_pool
from thresher.planning.laws.utility import log_exposure

FIELDS = {"A": 0.9, "n0": 500.0, "d": 0.05, "b": -0.3, "tau": 4.0}


def pass_by_pass(n, size, *, A, n0, d, b, tau):
    """The paper's product, one pass after the other."""
    value = A * (min(n, size) / n0) ** b
    start, repetition = size, 1
    while start < n:
        end = min(n, start + size)
        value *= (end / start) ** (b * 0.5 ** (repetition / tau))
        start, repetition = end, repetition + 1
    return value + d


def exposure(n, interval, tau):
    return log_exposure(np.asarray(n, float), np.asarray(interval, float), np.asarray(tau, float))


@pytest.mark.parametrize("n", [1, 500, 1000, 1001, 1999, 2000, 3500, 64_123, 1_000_000])
def test_it_equals_the_product_over_passes(n):
    assert error_of_pool(n, 1000, **FIELDS) == pytest.approx(pass_by_pass(n, 1000, **FIELDS), rel=1e-12)


@given(
    st.floats(1, 1e7),
    st.floats(501, 1e5),
    st.floats(0.2, 1e4),
    st.floats(-2, 0),
)
def test_it_equals_the_product_for_any_pool(n, size, tau, b):
    fields = {**FIELDS, "tau": tau, "b": b}
    assert error_of_pool(n, size, **fields) == pytest.approx(pass_by_pass(n, size, **fields), rel=1e-9)


def test_fresh_data_follow_a_power_law():
    n = np.array([10.0, 500.0, 999.0, 1000.0])
    expected = 0.9 * (n / 500.0) ** -0.3 + 0.05
    np.testing.assert_allclose(error_of_pool(n, 1000, **FIELDS), expected, rtol=1e-13)


def test_the_authors_form_is_a_meeting_point_at_4m_samples():
    a, b, n = 0.025, -0.16, np.array([2e6, 8e6, 12.8e6])
    ours = error_of_pool(n, 12.8e6, A=1.0, n0=1e5 / a, d=0.1, b=b, tau=6.0)
    np.testing.assert_allclose(ours, (a * n / 1e5) ** b + 0.1, rtol=1e-13)


def test_every_curve_passes_through_the_meeting_point_even_of_tiny_pools():
    for size in (3, 40, 499, 500, 501, 10_000):
        assert error_of_pool(500.0, size, **FIELDS) == pytest.approx(0.95, rel=1e-13)


def test_samples_without_wear_are_worth_as_much_as_fresh_ones():
    n = np.array([50.0, 5000.0, 123_456.0])
    np.testing.assert_allclose(exposure(n, 100.0, 1e15).value, np.log(n), rtol=1e-11)


def test_thousands_of_passes_are_summed_exactly_and_in_one_call():
    n = np.geomspace(100, 900_000, 50)
    fast = exposure(n, 100.0, 300.0).value
    slow = []
    for samples in n:
        k = np.arange(1, math.floor(samples / 100))
        r = 2.0 ** (-1 / 300)
        passes = math.floor(samples / 100)
        slow.append(
            math.log(100) + (r**k * np.log1p(1 / k)).sum() + r**passes * math.log(samples / (passes * 100))
        )
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_the_exposure_is_continuous_where_a_pass_ends():
    for boundary in (100.0, 200.0, 700.0):
        before, after = exposure([boundary * (1 - 1e-12), boundary * (1 + 1e-12)], 100.0, 3.0).value
        assert before == pytest.approx(after, abs=1e-10)
