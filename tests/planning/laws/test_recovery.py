"""What was planted comes back: every law, without noise."""

from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run, planted_runs
from thresher.errors import InputError
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.limits import MIXING
from thresher.planning.laws.registry import LAWS

LENGTHS = (4_000_000, 8_000_000, 20_000_000, 50_000_000, 100_000_000, 256_000_000)
MODELS = (2e7, 1e8, 5e8)


def drawn_truth(name, seed, **changed):
    """Three pools that the runs wear out, curves that meet below the runs."""
    rng = np.random.default_rng(seed)
    shared = {"n0": rng.uniform(1e6, 3e6), "d": rng.uniform(0.03, 0.15), "tau": rng.uniform(2, 8, 3)}
    if LAWS[name].worth == "quality":
        shared |= {"quality": [1.0, *rng.uniform(0.1, 0.9, 2)], "b": -rng.uniform(0.15, 0.35)}
    else:
        shared |= {"b": -rng.uniform(0.08, 0.3, 3)}
    if "A" in LAWS[name].shared:
        shared["A"] = rng.uniform(0.7, 0.85)
    if "harm" in LAWS[name].shared:
        shared["harm"] = rng.uniform(0.03, 0.1)
    if "mixing" in LAWS[name].shared:
        shared["mixing"] = MIXING  # what is assumed, as no run is on a mix
    return parameters(name, **shared, **changed)


def assert_recovered(found, truth, rel=1e-3):
    worth = LAWS[found.law].worth
    assert {name: found.shared[name] for name in truth.shared} == pytest.approx(
        {name: float(value) for name, value in truth.shared.items()}, rel=rel, abs=1e-4
    )
    np.testing.assert_allclose([pool.values[worth] for pool in found.pools], truth.worth_P, rtol=rel)
    if LAWS[found.law].has_half_life:
        np.testing.assert_allclose([pool.values["tau"] for pool in found.pools], truth.tau_P, rtol=rel)
    assert found.noise < 1e-6


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", sorted(LAWS))
def test_planted_parameters_come_back(name, seed):
    truth = drawn_truth(name, seed)
    laws = fit(planted_runs(truth, law=name, lengths=LENGTHS), law=name, num_draws=0)
    assert_recovered(laws.best, truth)
    assert laws.weights == (1.0,)


@pytest.mark.parametrize("name", ["data-constrained", "saturating"])
def test_a_planted_tail_comes_back_and_is_none_where_samples_are_drawn_with_replacement(name):
    truth = drawn_truth(name, 4, tail=0.8)
    laws = fit(planted_runs(truth, law=name, lengths=LENGTHS), law=name, num_draws=0)
    assert_recovered(laws.best, truth)
    drawn = planted_runs(truth, law=name, lengths=LENGTHS, replacement=True)
    assert fit(drawn, law=name, num_draws=0).best.shared["tail"] == 0.0


@pytest.mark.parametrize("name", sorted(LAWS))
def test_planted_parameters_come_back_from_samples_drawn_with_replacement(name):
    truth = drawn_truth(name, 3)
    laws = fit(planted_runs(truth, law=name, lengths=LENGTHS, replacement=True), law=name, num_draws=0)
    assert_recovered(laws.best, truth)


@pytest.mark.parametrize("name", sorted(set(LAWS) - {"power"}))
def test_gamma_comes_back_from_runs_on_a_quarter_of_a_pool(name):
    truth = drawn_truth(name, 4, gamma=0.6)
    quarter = truth.num_unique_P[0] / 4
    small = [planted_run(truth, [1, 0, 0], n, law=name, unique=quarter, run="quarter") for n in LENGTHS[1:5]]
    laws = fit([*planted_runs(truth, law=name, lengths=LENGTHS), *small], law=name, num_draws=0)
    assert_recovered(laws.best, truth)
    assert [pool.num_unique for pool in laws.pools] == list(truth.num_unique_P)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_models_of_several_sizes_share_one_law(name):
    truth = drawn_truth(name, 5, sized=True, size=0.2, alpha=0.4)
    truth = replace(truth, num_params=float(np.exp(np.log(MODELS).mean())))
    fields = {"law": name, "metric": "loss"}
    runs = [run for size in MODELS for run in planted_runs(truth, lengths=LENGTHS, params=size, **fields)]
    larger = planted_run(truth, [0.5, 0.5, 0], 600_000_000, params=5e9, role="check", **fields)
    laws = fit([*runs, larger], law=name, num_draws=0)
    assert_recovered(laws.best, truth)
    assert laws.params == 5e8
    assert predict_runs(laws, [larger])[0] == pytest.approx(larger.error, rel=1e-6)
    with pytest.raises(InputError, match="does not say how many parameters its model has"):
        fit([*runs, replace(runs[0], params=None)], law=name, num_draws=0)


def test_models_of_one_size_need_no_term_for_it():
    truth = drawn_truth("utility", 0)
    laws = fit(planted_runs(truth, lengths=LENGTHS, params=1e8), law="utility", num_draws=0)
    assert laws.best.num_params is None
    assert "size" not in laws.best.shared
    assert_recovered(laws.best, truth)


@pytest.mark.parametrize("name", ["bounded", "saturating"])
def test_a_loss_starts_where_it_starts(name):
    """Softmax contrastive training on a batch of 4096 starts at ln 4096."""
    truth = drawn_truth(name, 6, start=np.log(4096))
    runs = planted_runs(truth, law=name, lengths=LENGTHS, metric="loss")
    assert_recovered(fit(runs, law=name, num_draws=0).best, truth)
    held = fit(runs, law=name, num_draws=5, fixed={"start": float(np.log(4096))})
    assert_recovered(held.best, truth)
    assert "start" not in held.best.intervals


@pytest.mark.parametrize("name", sorted(LAWS))
def test_every_shared_parameter_of_a_law_can_be_held(name):
    truth = drawn_truth(name, 7)
    runs = planted_runs(truth, law=name, lengths=LENGTHS, noise=0.002)
    fixed = {held: float(value) for held, value in truth.shared.items()}
    laws = fit(runs, law=name, num_draws=4, fixed=fixed)
    assert laws.best.shared == pytest.approx(fixed, rel=1e-12)
    assert laws.best.intervals == {}
    columns = [laws.best.draw_names.index(held) for held in fixed]
    assert (np.ptp(laws.best.draws_SX[:, columns], axis=0) == 0).all()
    for held in fixed:
        assert any(text.startswith(f"{held} was held at") for text in laws.best.status)
    one = fit(runs, law=name, num_draws=0, fixed={"d": 0.01})
    assert one.best.shared["d"] == 0.01
