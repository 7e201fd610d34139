from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.law import design
from thresher.planning.laws.laws_file import laws_to_record, load_laws, save_laws
from thresher.planning.laws.layout import design_of
from thresher.planning.laws.predict import predict_designs
from thresher.planning.laws.result import Laws
from thresher.planning.laws.surface import is_dense, through, tune_surface
from thresher.planning.runs.record import Run


def run(params: float, seen: float, unique: float, *, bump: float = 0.1, noise: float = 0.0) -> Run:
    """A run by a law of size and data, off it by a wave over the size of the model."""
    worth = unique * (1 + 20 * -np.expm1(-(max(seen / unique, 1) - 1) / 20)) if seen > unique else seen
    loss = 1.8 + (params / 1e8) ** -0.3 + (worth / 1e9) ** -0.3
    loss *= np.exp(bump * np.sin(np.log(params / 1e8)) + noise)
    return Run(
        pool="text",
        params=params,
        samples_seen=int(seen),
        unique_samples=int(unique),
        error=float(loss),
        metric="loss",
        final=True,
    )


@cache
def dense_runs() -> tuple[Run, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        run(params, unique * passes, unique, noise=0.002 * rng.standard_normal())
        for params in (1e7, 3e7, 1e8, 3e8, 1e9)
        for unique in (1e8, 1e9, 1e10)
        for passes in (0.5, 1, 4, 16)
    )


@cache
def dense_laws(num_draws: int = 0) -> Laws:
    return fit(dense_runs(), law="data-constrained", num_draws=num_draws)


def test_dense_are_many_settings_of_several_known_sizes_of_one_pool_that_repeat():
    runs = list(dense_runs())
    assert is_dense(runs)
    assert not is_dense(runs[:19])
    assert not is_dense([one for one in runs if one.params < 3e8])
    assert not is_dense([one for one in runs if one.samples_seen <= one.unique_samples])
    assert not is_dense([*runs, replace(runs[0], params=None)])
    assert not is_dense([*runs, replace(runs[0], pool="other")])


def test_between_dense_runs_predictions_follow_them_where_the_law_does_not():
    laws = dense_laws()
    between = [run(params, 6e9, 1e9) for params in (2e7, 6e7, 2e8, 6e8)]
    truth = np.array([one.error for one in between])
    off = np.abs(predict_runs(laws, between) / truth - 1)
    alone = np.abs(predict_runs(replace(laws, surface=None), between) / truth - 1)
    assert off.max() < 0.02
    assert alone.max() > 2 * off.max()
    assert laws.noise < 0.02


def test_far_from_all_runs_the_laws_stand_alone_again_and_the_doubt_is_whole():
    laws = dense_laws()
    far = [run(1e17, 1e20, 1e20)]
    alone = predict_runs(replace(laws, surface=None), far)
    assert predict_runs(laws, far) == pytest.approx(alone, rel=1e-4)
    residuals = through(laws.surface, np.zeros((1, 3)), np.zeros((1, 1)))
    towards = [residuals.at(design_at(distance))[1] for distance in (0.0, 1.0, 20.0)]
    assert towards[0] < towards[1] < towards[2] == pytest.approx(laws.surface.height, rel=1e-3)


def design_at(distance):
    return design(np.exp(distance), [1.0], [np.exp(distance)], num_params=np.exp(distance))


def test_draws_agree_near_the_runs_and_part_from_each_other_elsewhere():
    laws = dense_laws(40)
    spread = [
        predict_designs(laws, lambda _, one=one: design_of([one], ("text",), sized=True)).std()
        for one in (dense_runs()[30], run(1e12, 1e14, 1e13))
    ]
    assert spread[0] < 0.02 < spread[1]


def test_a_surface_is_as_high_as_the_residuals_and_as_noisy_as_they_are():
    rng = np.random.default_rng(0)
    at = rng.uniform(0, 6, (150, 3))
    clean = 0.05 * np.sin(at[:, 0]) + 0.05 * np.sin(at[:, 1])
    surface = tune_surface(at, clean + 0.01 * rng.standard_normal(150))
    assert surface.noise == pytest.approx(0.01, rel=0.3)
    assert 0.02 < surface.height < 0.2
    assert surface.lengths[2] > 2 * surface.lengths[0]


def test_a_surface_comes_back_from_its_file_and_leaves_no_trace_where_there_is_none(tmp_path):
    laws = dense_laws(20)
    save_laws(tmp_path / "laws.json", laws)
    again = load_laws(tmp_path / "laws.json")
    assert again.surface == laws.surface
    wanted = [run(2e8, 3e9, 1e9)]
    np.testing.assert_allclose(predict_runs(again, wanted), predict_runs(laws, wanted), rtol=1e-4)
    assert "surface" not in laws_to_record(replace(laws, surface=None))
