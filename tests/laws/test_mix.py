import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws.planted import POOL_SIZE, PUBLISHED, parameters
from thresher.laws import LAWS
from thresher.laws.mix import Parameters, parameter_names, predict, predict_with_jacobian
from thresher.laws.published import error_as_published
from thresher.laws.utility import error_of_pool

UTILITY = LAWS["utility"]
BUDGETS = np.array([32e6, 64e6, 128e6, 640e6])
NESTED = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]


def step_by_step(truth, samples_seen, weights, num_unique, steps=400_000):
    """The slope of the mix, integrated in many small steps of ln n."""
    edges = np.linspace(np.log(float(truth.n0)), np.log(samples_seen), steps + 1)
    middle = np.exp((edges[1:] + edges[:-1]) / 2)
    slope = np.zeros(steps)
    for w, b, tau, size, reference in zip(
        weights, truth.b_P, truth.tau_P, num_unique, truth.num_unique_P, strict=True
    ):
        if w > 0:
            interval = size / w
            half_life = tau * (interval / reference) ** float(truth.gamma)
            slope += w * b * 2.0 ** (-np.floor(middle / interval) / half_life)
    return float(truth.A) * np.exp((slope * np.diff(edges)).sum()) + float(truth.d)


def theorem_one(truth, samples_seen, count):
    """The paper's rule for equal pools: b_eff(k) = mean of b_i 2^(-k / (count tau_i)), pass by pass."""
    size = count * POOL_SIZE
    log_value = truth.b_P[:count].mean() * np.log(min(samples_seen, size) / float(truth.n0))
    start, k = size, 1
    while start < samples_seen:
        end = min(samples_seen, start + size)
        b_eff = (truth.b_P[:count] * 2.0 ** (-k / (count * truth.tau_P[:count]))).mean()
        log_value += b_eff * np.log(end / start)
        start, k = end, k + 1
    return float(truth.A) * np.exp(log_value) + float(truth.d)


def test_the_published_fit_predicts_the_published_mixes_with_d_added_last():
    error = predict(UTILITY, PUBLISHED, BUDGETS, NESTED[:, None, :], np.full(4, POOL_SIZE))
    expected = [
        [17.04, 22.72, 26.39, 28.57],
        [15.54, 22.14, 27.71, 35.64],
        [13.42, 19.78, 25.40, 34.93],
        [11.68, 17.74, 23.15, 32.85],
    ]
    np.testing.assert_allclose(100 * (1 - error), expected, atol=0.00501)


def test_the_comparison_form_reproduces_what_the_authors_code_printed():
    error = error_as_published(PUBLISHED, BUDGETS, np.repeat(NESTED[:, None, :], 4, axis=1), POOL_SIZE)
    expected = [
        [18.25, 24.62, 28.73, 31.18],
        [15.84, 23.30, 29.60, 38.55],
        [13.42, 20.40, 26.77, 37.56],
        [11.68, 17.99, 24.13, 35.14],
    ]
    np.testing.assert_allclose(100 * (1 - error), expected, atol=0.00501)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_equal_pools_follow_theorem_one(count):
    for samples_seen in (5e6, *BUDGETS, 3.3e9):
        error = predict(UTILITY, PUBLISHED, samples_seen, NESTED[count - 1], np.full(4, POOL_SIZE))
        assert error == pytest.approx(theorem_one(PUBLISHED, samples_seen, count), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_unequal_weights_are_integrated_exactly(gamma):
    truth = parameters(b=(-0.3, -0.2, -0.05), tau=(3.0, 7.0, 1.5), n0=700, gamma=gamma, num_unique=1000)
    weights, sizes = (0.6, 0.3, 0.1), (400.0, 1500.0, 9000.0)
    for samples_seen in (900, 7000, 60_000):
        exact = predict(UTILITY, truth, samples_seen, weights, sizes)
        assert exact == pytest.approx(step_by_step(truth, samples_seen, weights, sizes), abs=1e-5)


def test_one_pool_alone_follows_the_utility_law():
    truth = parameters(b=(-0.2, -0.1), tau=(4.0, 9.0), n0=2000, num_unique=1000)
    n = np.geomspace(100, 1e6, 40)
    alone = predict(UTILITY, truth, n, [0.0, 1.0], [1000, 1000])
    np.testing.assert_allclose(
        alone, error_of_pool(n, 1000, A=0.85, n0=2000, d=0.1, b=-0.1, tau=9.0), rtol=1e-13
    )


@settings(max_examples=60)
@given(
    st.floats(0, 2),
    st.floats(0.3, 30),
    st.floats(0.01, 0.99),
    st.lists(st.floats(0.05, 1), min_size=2, max_size=5),
    st.floats(100, 1e6),
)
def test_splitting_a_pool_into_random_parts_changes_nothing(gamma, tau, weight, parts, samples_seen):
    share = np.array(parts) / np.sum(parts)
    whole = parameters(b=(-0.3, -0.1), tau=(tau, 5.0), n0=3000, gamma=gamma, num_unique=10_000)
    split = Parameters(
        A=whole.A,
        n0=whole.n0,
        d=whole.d,
        gamma=whole.gamma,
        b_P=np.array([-0.3] * len(parts) + [-0.1]),
        tau_P=np.array([*(tau * share**gamma), 5.0]),
        num_unique_P=np.array([*(10_000 * share), 10_000.0]),
    )
    before = predict(UTILITY, whole, samples_seen, [weight, 1 - weight], [10_000, 10_000])
    after = predict(
        UTILITY, split, samples_seen, [*(weight * share), 1 - weight], [*(10_000 * share), 10_000]
    )
    assert after == pytest.approx(float(before), rel=1e-9)


@pytest.mark.parametrize("junk_size", [1.0, 1e4, 1e12])
def test_a_pool_at_weight_nearly_zero_changes_no_prediction(junk_size):
    truth = parameters(b=(-0.3, -4.0), tau=(3.0, 100.0), n0=700, num_unique=1000)
    n = np.geomspace(700, 1e6, 30)
    without = predict(UTILITY, truth, n, [1.0, 0.0], [1000, junk_size])
    beside = predict(UTILITY, truth, n, [1 - 1e-9, 1e-9], [1000, junk_size])
    np.testing.assert_allclose(beside, without, rtol=1e-6)


def test_a_mix_meets_its_pools_at_the_meeting_point():
    truth = parameters(b=(-0.3, -0.1), tau=(3.0, 9.0), n0=5000, num_unique=1000)
    for weights in ([1, 0], [0, 1], [0.5, 0.5], [0.9, 0.1]):
        assert predict(UTILITY, truth, 5000, weights, [1000, 300]) == pytest.approx(0.95, rel=1e-13)


@pytest.mark.parametrize("law", sorted(LAWS))
@pytest.mark.parametrize("n0", [300.0, 2400.0])  # fresh for all pools, and after passes over them
def test_the_jacobian_agrees_with_finite_differences(law, n0):
    names = parameter_names(["a", "b", "c"])
    point = np.array(
        [np.log(0.8), np.log(n0), 0.07, 0.8, -0.3, -0.1, -0.02, np.log(3), np.log(6), np.log(1.2)]
    )
    weights = np.array([[1, 0, 0], [0, 0, 1], [0.5, 0.2, 0.3], [0.7, 0.3, 0]])
    n = np.array([1234.0, 45_678.0, 9_999.0, 777.0])
    sizes = np.array([500.0, 2000.0, 350.0])

    def errors(vector):
        truth = Parameters(
            A=np.exp(vector[0]),
            n0=np.exp(vector[1]),
            d=vector[2],
            gamma=vector[3],
            b_P=vector[4:7],
            tau_P=np.exp(vector[7:]),
            num_unique_P=np.array([500.0, 800.0, 300.0]),
        )
        return predict_with_jacobian(LAWS[law], truth, n, weights, sizes)

    _, jacobian = errors(point)
    step = 1e-6
    for index, name in enumerate(names):
        shift = step * np.eye(len(names))[index]
        slope = (errors(point + shift)[0] - errors(point - shift)[0]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, index], slope, atol=2e-8, err_msg=name)


def test_draws_and_candidates_broadcast():
    truth = parameters(b=(-0.3, -0.1), tau=(3.0, 9.0), n0=700, num_unique=1000)
    draws = Parameters(
        A=np.array([[0.8], [0.9]]),
        n0=np.array([[700.0], [400.0]]),
        d=np.array([[0.1], [0.0]]),
        gamma=np.array([[1.0], [0.5]]),
        b_P=np.stack([truth.b_P, 2 * truth.b_P])[:, None, :],
        tau_P=np.stack([truth.tau_P, 2 * truth.tau_P])[:, None, :],
        num_unique_P=truth.num_unique_P,
    )
    weights = np.array([[1, 0], [0, 1], [0.5, 0.5]])
    together = predict(UTILITY, draws, 20_000, weights, [1000, 1000])
    assert together.shape == (2, 3)
    second = Parameters(
        A=np.array(0.9),
        n0=np.array(400.0),
        d=np.array(0.0),
        gamma=np.array(0.5),
        b_P=2 * truth.b_P,
        tau_P=2 * truth.tau_P,
        num_unique_P=truth.num_unique_P,
    )
    np.testing.assert_allclose(together[1], predict(UTILITY, second, 20_000, weights, [1000, 1000]))
