from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import POOL_SIZE, planted_run, planted_runs
from tests.planning.laws.test_recovery import LENGTHS, MODELS, drawn_truth
from tests.planning.predicting import mix_band, mix_error
from thresher.errors import InputError
from thresher.planning.laws.doubt import Doubt
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.law import design, error
from thresher.planning.laws.predict import (
    draw_noise,
    draw_parameters,
    error_as_published,
    parameters,
    predict_draws,
    utility_curve,
)
from thresher.planning.laws.registry import LAWS

TRUTH = drawn_truth("utility", 0)
SIZES = {f"p{number}": POOL_SIZE for number in range(3)}
MIX = {"p0": 1, "p1": 1}


@pytest.fixture(scope="module")
def laws():
    found = fit(planted_runs(TRUTH, lengths=LENGTHS, noise=0.002, seed=1), num_draws=60)
    assert len(found.fits) > 1
    return found


def fitted_error(one, n, weights_P):
    """The error by one law at its fitted values."""
    return error(LAWS[one.law], parameters(one), design(n, weights_P, np.full(3, POOL_SIZE)))


def test_every_law_has_draws_in_proportion_to_its_weight(laws):
    weights_P, unique_P = [0.5, 0.5, 0.0], np.full(3, POOL_SIZE)
    draws = predict_draws(laws, 9e7, weights_P, unique_P)
    counts = [len(one.draws_SX) for one in laws.fits]
    assert draws.shape == (sum(counts),)
    np.testing.assert_allclose(counts, 60 * np.array(laws.weights), atol=1)
    assert sum(counts) == 60
    first = error(LAWS[laws.best.law], draw_parameters(laws.best), design(9e7, weights_P, unique_P))
    undoubted = predict_draws(replace(laws, doubt=Doubt()), 9e7, weights_P, unique_P)
    np.testing.assert_allclose(undoubted[: counts[0]], first, rtol=1e-12)


def test_draws_of_many_mixes_and_lengths_come_in_one_call(laws):
    weights = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0.2, 0.8], [0.2, 0.3, 0.5]])
    n = np.array([[2e7], [9e7]])
    together = predict_draws(laws, n, weights, np.full(3, POOL_SIZE))
    assert together.shape[1:] == (2, 4)
    alone = predict_draws(laws, 9e7, weights[2], np.full(3, POOL_SIZE))
    np.testing.assert_allclose(together[:, 1, 2], alone, rtol=1e-13)


def test_the_published_form_takes_many_mixes_in_one_call():
    weights, n = (
        np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        np.array([2e7, 9e7, 3e8]),
    )
    together = error_as_published(TRUTH, n, weights, POOL_SIZE)
    alone = [error_as_published(TRUTH, seen, row, POOL_SIZE) for seen, row in zip(n, weights, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_a_prediction_is_the_mean_over_the_draws_and_lies_in_its_interval(laws):
    laws = replace(laws, doubt=Doubt())
    n = np.geomspace(8e6, 5e8, 7)
    middle = mix_error(laws, MIX, SIZES, n)
    draws = predict_draws(laws, n, [0.5, 0.5, 0], np.full(3, POOL_SIZE))
    np.testing.assert_allclose(middle, draws.mean(0), rtol=1e-13)
    low, high = mix_band(laws, MIX, SIZES, n)
    assert (low < middle).all()
    assert (middle < high).all()
    wide_low, wide_high = mix_band(laws, MIX, SIZES, n, with_noise=True)
    assert (wide_high - wide_low).mean() > (high - low).mean()
    assert (wide_high - wide_low > 2 * laws.noise).all()  # 3.3 noises of one run, and the doubt
    again = mix_band(laws, {"p1": 3, "p0": 3}, SIZES, n, with_noise=True)
    np.testing.assert_array_equal(again, (wide_low, wide_high))


def test_noise_that_was_measured_on_few_runs_is_drawn_wider_than_it_was_measured(laws):
    assert all(0 < one.noise_freedom < len(laws.points) for one in laws.fits)
    np.testing.assert_array_equal(draw_noise(laws), draw_noise(laws))
    assert draw_noise(laws).size == predict_draws(laws, 9e7, [0.5, 0.5, 0.0], np.full(3, POOL_SIZE)).size

    def reach(freedom):
        one = replace(
            laws.best,
            noise=0.01,
            noise_freedom=freedom,
            draws_SX=np.tile(laws.best.draws_SX[:1], (40_000, 1)),
        )
        return np.quantile(draw_noise(replace(laws, fits=(one,), weights=(1.0,))), 0.95) / 0.01

    assert reach(np.inf) == pytest.approx(1.645, abs=0.03)  # normal
    assert reach(5.0) == pytest.approx(2.015, abs=0.05)  # Student's t
    assert reach(1.0) < 0.9 * 6.314  # the quantile of one degree of freedom, whose tail is cut


def test_laws_without_draws_have_a_noise_too(laws):
    bare = replace(laws, fits=tuple(replace(one, draws_SX=one.draws_SX[:0]) for one in laws.fits))
    predicted = predict_draws(bare, 9e7, [0.5, 0.5, 0.0], np.full(3, POOL_SIZE))
    assert draw_noise(bare).shape == predicted.shape


def test_the_interval_holds_what_a_mix_turns_out_to_have(laws):
    run = planted_run(TRUTH, [0.5, 0.5, 0], 200_000_000)
    low, high = mix_band(laws, MIX, SIZES, 200_000_000)
    assert low[0] - 0.002 < run.error < high[0] + 0.002


def test_predicting_runs_agrees_with_the_points_of_the_fit(laws):
    runs = [point.run for point in laws.points]
    np.testing.assert_allclose(predict_runs(laws, runs), [point.predicted for point in laws.points])
    for point in laws.points:
        assert point.residual == pytest.approx(point.run.error - point.predicted)
    with pytest.raises(InputError, match="no law for pool 'p9'"):
        predict_runs(laws, [replace(runs[0], pool="p9")])


@pytest.mark.parametrize("num_draws", [0, 3, 200])
def test_runs_and_mixes_are_predicted_alike_however_few_the_draws(num_draws):
    found = fit(planted_runs(TRUTH, lengths=LENGTHS, noise=0.002, seed=1), num_draws=num_draws)
    run = planted_run(TRUTH, [0.5, 0.5, 0], 500_000_000)
    mix = mix_error(found, MIX, SIZES, 500_000_000)
    assert predict_runs(found, [run])[0] == pytest.approx(float(mix), rel=1e-13)
    if num_draws == 0:
        alone = [fitted_error(one, 5e8, [0.5, 0.5, 0]) for one in found.fits]
        assert float(mix) == pytest.approx(np.average(alone, weights=found.weights), abs=1e-4)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_one_law_at_its_fitted_values(name):
    truth = drawn_truth(name, 1)
    best = fit(planted_runs(truth, law=name, lengths=LENGTHS), law=name, num_draws=0).best
    n = np.array([5e6, 7e8])
    expected = error(LAWS[name], truth, design(n, [0.3, 0.3, 0.4], np.full(3, POOL_SIZE)))
    found = fitted_error(best, n, [0.3, 0.3, 0.4])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert set(parameters(best).shared) == set(truth.shared)


def test_a_sized_law_predicts_for_the_largest_model_unless_told():
    truth = drawn_truth("utility", 5, sized=True, size=0.2, alpha=0.4)
    truth = replace(truth, num_params=float(np.exp(np.log(MODELS).mean())))
    runs = [
        run
        for seed, size in enumerate(MODELS)
        for run in planted_runs(truth, lengths=LENGTHS, params=size, metric="loss", noise=3e-4, seed=seed)
    ]
    laws = fit(runs, law="utility", num_draws=20)
    weights, sizes = [0.5, 0.5, 0.0], np.full(3, POOL_SIZE)
    draws, tiny = (predict_draws(laws, 9e7, weights, sizes, params=params) for params in (None, 2e7))
    for found, params in ((draws, max(MODELS)), (tiny, 2e7)):
        run = planted_run(truth, weights, 90_000_000, params=params, metric="loss")
        assert found.mean() == pytest.approx(run.error, abs=0.003)
    np.testing.assert_allclose(mix_error(laws, MIX, SIZES, 9e7), draws.mean(0))


def test_the_worth_of_a_repetition_halves_with_every_half_life(laws):
    tau = laws.best.pools[0].values["tau"]
    harm = laws.best.shared.get("harm", 0.0)
    found = utility_curve(laws.best, "p0", [0, tau, 2 * tau])
    np.testing.assert_allclose(found, (1 + harm) * np.array([1, 0.5, 0.25]) - harm)
    with pytest.raises(InputError, match="no law for pool 'p9'"):
        utility_curve(laws.best, "p9", [0])


def test_the_worth_of_a_repetition_falls_below_zero_only_where_a_sample_does_harm():
    k = np.array([0.0, 1000.0])
    for name, last in {"harmful": -0.08, "utility": 0.0, "power": 1.0, "saturating": 0.0}.items():
        shared = {"harm": 0.08} if "harm" in LAWS[name].shared else {}
        truth = drawn_truth(name, 2)
        truth.shared.update({key: np.asarray(value) for key, value in shared.items()})
        best = fit(planted_runs(truth, law=name, lengths=LENGTHS), law=name, num_draws=0).best
        np.testing.assert_allclose(utility_curve(best, "p1", k), [1.0, last], atol=1e-4)
