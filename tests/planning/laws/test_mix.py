from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planning.laws.planted import POOL_SIZE, PUBLISHED, error_of_pool, parameters, predict
from thresher.planning.laws.law import Parameters, design, error, log_excess_error_of
from thresher.planning.laws.predict import error_as_published
from thresher.planning.laws.registry import LAWS

UTILITY = LAWS["utility"]
BUDGETS = np.array([32e6, 64e6, 128e6, 640e6])
NESTED = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]


def step_by_step(law, truth, samples_seen, weights, num_unique, steps=400_000):
    """The slope of the mix, integrated in many small steps of ln n."""
    n0, harm = float(truth.shared["n0"]), float(truth.shared.get("harm", 0.0))
    edges = np.linspace(np.log(n0), np.log(samples_seen), steps + 1)
    middle = np.exp((edges[1:] + edges[:-1]) / 2)
    slope = np.zeros(steps)
    for w, b, tau, size, reference in zip(
        weights, truth.worth_P, truth.tau_P, num_unique, truth.num_unique_P, strict=True
    ):
        if w > 0:
            interval = size / w
            half_life = tau * (interval / reference) ** float(truth.shared["gamma"])
            worth = 2.0 ** (-np.floor(middle / interval) / half_life)
            slope += w * b * ((1 + harm) * worth - harm)
    fall = (slope * np.diff(edges)).sum()
    return float(truth.shared["A"]) * np.exp(fall) + float(truth.shared["d"])


def theorem_one(truth, samples_seen, count):
    """The paper's rule for equal pools: b_eff(k) = mean of b_i 2^(-k / (count tau_i)), pass by pass."""
    size, b_P, tau_P = count * POOL_SIZE, truth.worth_P[:count], truth.tau_P[:count]
    log_value = b_P.mean() * np.log(min(samples_seen, size) / float(truth.shared["n0"]))
    start, k = size, 1
    while start < samples_seen:
        end = min(samples_seen, start + size)
        log_value += (b_P * 2.0 ** (-k / (count * tau_P))).mean() * np.log(end / start)
        start, k = end, k + 1
    return float(truth.shared["A"]) * np.exp(log_value) + float(truth.shared["d"])


def two_pools(name, *, tau=(3.0, 5.0), worth=(-0.3, -0.1), **changed):
    """Two pools under any law; in one with qualities the worths are those, as shares of the first."""
    if LAWS[name].worth == "quality":
        own = {"quality": np.asarray(worth) / worth[0], "b": -0.25}
    else:
        own = {"b": worth}
    return parameters(name, tau=tau, **{"n0": 700.0, "num_unique": 1000.0, **own, **changed})


def test_the_published_fit_predicts_the_published_mixes_with_d_added_last():
    predicted = predict(UTILITY, PUBLISHED, BUDGETS, NESTED[:, None, :], np.full(4, POOL_SIZE))
    expected = [
        [17.04, 22.72, 26.39, 28.57],
        [15.54, 22.14, 27.71, 35.64],
        [13.42, 19.78, 25.40, 34.93],
        [11.68, 17.74, 23.15, 32.85],
    ]
    np.testing.assert_allclose(100 * (1 - predicted), expected, atol=0.00501)


def test_the_comparison_form_reproduces_what_the_authors_code_printed():
    predicted = error_as_published(PUBLISHED, BUDGETS, np.repeat(NESTED[:, None, :], 4, axis=1), POOL_SIZE)
    expected = [
        [18.25, 24.62, 28.73, 31.18],
        [15.84, 23.30, 29.60, 38.55],
        [13.42, 20.40, 26.77, 37.56],
        [11.68, 17.99, 24.13, 35.14],
    ]
    np.testing.assert_allclose(100 * (1 - predicted), expected, atol=0.00501)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_equal_pools_follow_theorem_one(count):
    for samples_seen in (5e6, *BUDGETS, 3.3e9):
        predicted = predict(UTILITY, PUBLISHED, samples_seen, NESTED[count - 1], np.full(4, POOL_SIZE))
        assert predicted == pytest.approx(theorem_one(PUBLISHED, samples_seen, count), rel=1e-12)


@pytest.mark.parametrize("name", ["utility", "harmful"])
@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_unequal_weights_are_integrated_exactly(name, gamma):
    truth = parameters(name, b=(-0.3, -0.2, -0.05), tau=(3.0, 7.0, 1.5), n0=700, gamma=gamma, num_unique=1000)
    weights, sizes = (0.6, 0.3, 0.1), (400.0, 1500.0, 9000.0)
    for samples_seen in (900, 7000, 60_000):
        exact = predict(LAWS[name], truth, samples_seen, weights, sizes)
        slow = step_by_step(LAWS[name], truth, samples_seen, weights, sizes)
        assert exact == pytest.approx(slow, abs=1e-5)


def test_harm_turns_the_error_up_where_the_worth_of_a_sample_falls_below_zero():
    # (1 + c) 2^(-k / tau) - c = 0 at k = tau log2(1 + 1 / c): 8 passes for c = 1/3 and tau = 4
    truth = parameters("harmful", b=(-0.3,), tau=(4.0,), n0=300, num_unique=1000, harm=1 / 3)
    n = np.arange(1000.0, 30_001.0, 250.0)
    predicted = predict(LAWS["harmful"], truth, n, [1.0], [1000.0])
    falling, rising = n[1:] <= 8000, n[:-1] >= 9000
    assert (np.diff(predicted)[falling] < 0).all()
    assert (np.diff(predicted)[rising] > 0).all()
    np.testing.assert_allclose(predicted[(n >= 8000) & (n <= 9000)], predicted.min(), rtol=1e-12)
    harmless = Parameters(
        shared={**truth.shared, "harm": np.asarray(0.0)},
        worth_P=truth.worth_P,
        tau_P=truth.tau_P,
        num_unique_P=truth.num_unique_P,
    )
    utility = predict(UTILITY, harmless, n, [1.0], [1000.0])
    np.testing.assert_allclose(predict(LAWS["harmful"], harmless, n, [1.0], [1000.0]), utility, rtol=1e-13)


def test_one_pool_alone_follows_the_utility_law():
    truth = parameters(b=(-0.2, -0.1), tau=(4.0, 9.0), n0=2000, num_unique=1000)
    n = np.geomspace(100, 1e6, 40)
    alone = predict(UTILITY, truth, n, [0.0, 1.0], [1000, 1000])
    np.testing.assert_allclose(
        alone, error_of_pool(n, 1000, A=0.85, n0=2000, d=0.1, b=-0.1, tau=9.0), rtol=1e-13
    )


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("name", sorted(LAWS))
@settings(max_examples=25)
@given(
    gamma=st.floats(0, 2),
    tau=st.floats(0.3, 30),
    weight=st.floats(0.01, 0.99),
    parts=st.lists(st.floats(0.05, 1), min_size=2, max_size=5),
    samples_seen=st.floats(100, 1e6),
)
def test_splitting_a_pool_into_random_parts_changes_nothing(
    name, replacement, gamma, tau, weight, parts, samples_seen
):
    """Holds for every law, at gamma = 1 and at any other.

    Random parts of a pool share its b (or quality), and a part of share s, trained alone, has the half-life
    tau s^gamma. In the mix every part comes back at the interval of the whole, `s N / (s w) = N / w`, so that
    its half-life is that of the whole again, `tau s^gamma ((N / w) / (s N))^gamma = tau (1 / w)^gamma`. The
    weights of the parts add up to w, and every law is linear in the weights of pools that repeat alike.
    """
    share = np.array(parts) / np.sum(parts)
    whole = two_pools(name, tau=(tau, 5.0), gamma=gamma, num_unique=10_000, n0=3000)
    split = Parameters(
        shared=whole.shared,
        worth_P=np.array([*[whole.worth_P[0]] * len(parts), whole.worth_P[1]]),
        tau_P=np.array([*(tau * share**gamma), 5.0]),
        num_unique_P=np.array([*(10_000 * share), 10_000.0]),
    )
    before = design(samples_seen, [weight, 1 - weight], [10_000, 10_000], replacement=replacement)
    after = design(
        samples_seen,
        [*(weight * share), 1 - weight],
        [*(10_000 * share), 10_000],
        replacement=replacement,
    )
    # a pass that ends within a rounding error of n may count on either side; the error is continuous there
    assert error(LAWS[name], split, after) == pytest.approx(float(error(LAWS[name], whole, before)), rel=1e-8)


@pytest.mark.parametrize("name", sorted(LAWS))
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("junk_size", [1.0, 1e4, 1e12])
@pytest.mark.parametrize("junk_tau", [0.1, 100.0])
def test_a_pool_at_weight_nearly_zero_changes_no_prediction(name, replacement, junk_size, junk_tau):
    truth = two_pools(name, tau=(3.0, junk_tau), worth=(-0.3, -4.0))
    n = np.geomspace(700, 1e6, 30)
    without = error(LAWS[name], truth, design(n, [1.0, 0.0], [1000, junk_size], replacement=replacement))
    beside = error(LAWS[name], truth, design(n, [1 - 1e-9, 1e-9], [1000, junk_size], replacement=replacement))
    np.testing.assert_allclose(beside, without, rtol=1e-6)


@pytest.mark.parametrize("name", ["utility", "harmful", "effective-data", "data-constrained", "power"])
def test_a_mix_meets_its_pools_at_the_meeting_point(name):
    truth = two_pools(name, n0=5000, tau=(3.0, 9.0))
    for weights in ([1, 0], [0, 1], [0.5, 0.5], [0.9, 0.1]):
        assert predict(LAWS[name], truth, 5000, weights, [1000, 300]) == pytest.approx(0.95, rel=1e-13)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_the_order_of_the_pools_does_not_matter(name):
    truth = two_pools(name)
    turned = Parameters(
        shared=truth.shared,
        worth_P=truth.worth_P[::-1],
        tau_P=truth.tau_P[::-1],
        num_unique_P=truth.num_unique_P[::-1],
    )
    n = np.geomspace(100, 1e5, 7)
    one = predict(LAWS[name], truth, n, [0.3, 0.7], [1000, 400])
    np.testing.assert_allclose(one, predict(LAWS[name], turned, n, [0.7, 0.3], [400, 1000]), rtol=1e-13)


@pytest.mark.parametrize("n0", [250.0, 900.0], ids=["before", "after"])
@pytest.mark.parametrize("changed", ["n0", "tau", "harm"])
def test_slopes_of_mixes_that_meet_before_or_after_their_passes_agree_with_differences(n0, changed):
    truth, step = two_pools("harmful", n0=n0, harm=0.4), 1e-5
    of = design([7300.0, 5100.0, 3900.0], [[0.7, 0.3], [0.3, 0.7], [0.6, 0.4]], [400.0, 450.0])

    def moved(by):
        if changed == "tau":
            return replace(truth, tau_P=truth.tau_P * np.exp([by, 0.0]))
        value = truth.shared[changed]
        value = value * np.exp(by) if changed == "n0" else value + by
        return replace(truth, shared={**truth.shared, changed: value})

    above, below = (log_excess_error_of(LAWS["harmful"], moved(by), of).value for by in (step, -step))
    found = log_excess_error_of(LAWS["harmful"], truth, of)
    slope = found.by_log_tau[:, 0] if changed == "tau" else found.shared[changed]
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-6)
    assert (np.abs(slope) > 1e-3).all()
