"""Samples drawn with replacement: how often one was seen is Poisson, with mean n / M."""

import numpy as np
import pytest
from scipy.stats import poisson

from tests.planning.laws.planted import parameters
from thresher.planning.laws import bounded
from thresher.planning.laws.baselines import expected_constrained_exposure as constrained_exposure
from thresher.planning.laws.baselines import expected_effective_exposure as effective_exposure
from thresher.planning.laws.law import design, error
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.utility import expected_log_exposure as utility_exposure

SIZE = 1000.0
TIMES = np.arange(400)


def worth_by_times(name, tau):
    """What a pool's sample is worth in all, after it was seen 0, 1, 2, ... times."""
    if name == "effective-data":
        return np.concatenate([[0.0], np.cumsum(2.0 ** (-TIMES[:-1] / tau))])
    R = tau / np.log(2)
    return np.where(TIMES == 0, 0.0, 1 + R * (1 - np.exp(-(TIMES - 1) / R)))


def arrays(*values):
    return [np.asarray(value, float) for value in values]


@pytest.mark.parametrize("tau", [0.4, 3.0, 50.0])
def test_the_worth_of_the_next_sample_is_the_mean_over_how_often_it_was_seen(tau):
    seen = np.linspace(0.01, 12, 7)
    mean = (poisson.pmf(TIMES, seen[:, None]) * 2.0 ** (-TIMES / tau)).sum(1)
    found = utility_exposure(*arrays(seen * SIZE, SIZE, tau)).by_log_samples
    np.testing.assert_allclose(found, mean, rtol=1e-12)


@pytest.mark.parametrize("n0", [0.0, 200.0])
@pytest.mark.parametrize("tau", [0.4, 3.0, 50.0])
@pytest.mark.parametrize("samples_seen", [0.5, 300.0, 9000.0])
def test_the_exposure_is_the_integral_of_the_expected_worth(n0, tau, samples_seen):
    n, step = np.linspace(0, samples_seen, 100_001, retstep=True)
    middle = (n[1:] + n[:-1]) / 2
    worth = np.exp(-(1 - 2 ** (-1 / tau)) * middle / SIZE)
    if n0:
        found = bounded.span(*arrays(samples_seen, n0, SIZE, tau), np.array(True)).value
        integral = (worth / (middle + n0)).sum() * step
    else:  # ln n without wear, less what wear took
        found = utility_exposure(*arrays(samples_seen, SIZE, tau)).value
        integral = np.log(samples_seen) - ((1 - worth) / middle).sum() * step
    assert found == pytest.approx(integral, abs=2e-6)


@pytest.mark.parametrize("passes_before", [1e-6, 0.3, 3.0, 100.0, 1e5])
def test_the_bounded_law_stays_exact_however_late_learning_shows(passes_before):
    tau = 2.0
    n0, n = passes_before * SIZE, np.array([10.0, 4000.0])
    x = np.concatenate([[0.0], np.geomspace(1e-3, n.max(), 200_001)])
    x = np.sort(np.concatenate([x, n[:1]]))
    middle = (x[1:] + x[:-1]) / 2
    terms = np.exp(-(1 - 2 ** (-1 / tau)) * middle / SIZE) * np.log((x[1:] + n0) / (x[:-1] + n0))
    total = np.cumsum(terms)
    integral = [total[np.searchsorted(x, n[0]) - 1], total[-1]]
    found = bounded.span(*arrays(n, n0, SIZE, tau), np.array([True])[0]).value
    np.testing.assert_allclose(found, integral, rtol=2e-6, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "exposure"), [("effective-data", effective_exposure), ("data-constrained", constrained_exposure)]
)
@pytest.mark.parametrize("tau", [0.2, 3.0, 1e4])
def test_effective_data_are_the_mean_over_how_often_a_sample_was_seen(name, exposure, tau):
    seen = np.array([0.01, 0.5, 1.0, 3.0, 40.0])
    mean = (poisson.pmf(TIMES, seen[:, None]) * worth_by_times(name, tau)).sum(1)
    found = exposure(*arrays(seen * SIZE, SIZE, tau)).value
    np.testing.assert_allclose(found, np.log(SIZE * mean), atol=1e-9)


def test_the_worth_of_a_hardly_drawn_pool_is_that_of_its_samples():
    """Small passes and long half-lives, where closed forms cancel."""
    for exposure in (utility_exposure, effective_exposure, constrained_exposure):
        n, M = np.meshgrid([1.0, 1e3, 1e6], [1e9, 1e14, 1e20])
        for tau in (0.01, 6.0, 1e6, 1e14):
            value, by_log_tau, by_log_samples, _ = exposure(n, M, np.asarray(tau))
            np.testing.assert_allclose(value, np.log(n), atol=2e-3)
            assert np.abs(by_log_tau).max() < 2e-3
            np.testing.assert_allclose(by_log_samples, 1.0, atol=2e-3)


def test_a_simulation_of_draws_agrees():
    rng = np.random.default_rng(0)
    pool, tau, n0, seen = 20_000, 2.0, 2000, 100_000
    drawn = rng.integers(pool, size=seen)
    order = np.argsort(drawn, kind="stable")  # draws of one sample together, in the order of the draws
    first = np.concatenate([[True], np.diff(drawn[order]) > 0])
    starts = np.flatnonzero(first)
    times = np.empty(seen)
    times[order] = np.arange(seen) - np.repeat(starts, np.diff(np.append(starts, seen)))
    n = np.arange(1, seen + 1)
    by_name = {
        "utility": (2.0 ** (-times[n0:] / tau) * np.log1p(1 / n[n0 - 1 : -1])).sum(),
        "effective-data": np.log((2.0 ** (-times / tau)).sum() / (2.0 ** (-times[:n0] / tau)).sum()),
    }
    worth = worth_by_times("data-constrained", tau)
    counts, early = (np.bincount(part, minlength=pool) for part in (drawn, drawn[:n0]))
    by_name["data-constrained"] = np.log(worth[counts].sum() / worth[early].sum())
    for name, fall in by_name.items():
        truth = parameters(name, b=(-0.3,), tau=(tau,), n0=n0, num_unique=pool)
        predicted = error(LAWS[name], truth, design(seen, [1.0], [pool], replacement=True))
        exact = error(LAWS[name], truth, design(seen, [1.0], [pool]))
        assert predicted == pytest.approx(0.1 + 0.85 * np.exp(-0.3 * fall), abs=5e-4), name
        assert abs(exact - predicted) > 5e-3, name  # passes are told apart from draws


@pytest.mark.parametrize("name", sorted(set(LAWS) - {"power"}))
def test_runs_of_both_kinds_stand_side_by_side(name):
    own = {"quality": (1.0, 0.3)} if LAWS[name].worth == "quality" else {"b": (-0.3, -0.1)}
    truth = parameters(name, tau=(3.0, 5.0), n0=300, num_unique=SIZE, **own)
    n, weights, sizes = [900.0, 20_000.0], [0.7, 0.3], [SIZE, SIZE]
    drawn, exact = (
        error(LAWS[name], truth, design(n, weights, sizes, replacement=kind)) for kind in (True, False)
    )
    both = error(LAWS[name], truth, design(n, weights, sizes, replacement=[True, False]))
    np.testing.assert_allclose(both, [drawn[0], exact[1]], rtol=1e-13)
    assert (
        drawn[0] > exact[0]
    ) or name == "harmful"  # some samples are seen again before the first pass ends
