import json
from dataclasses import fields, replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run, planted_runs
from tests.planning.laws.test_recovery import LENGTHS, MODELS, drawn_truth
from thresher.errors import InputError
from thresher.planning.laws.fit import fit
from thresher.planning.laws.laws_file import load_laws, save_laws
from thresher.planning.laws.predict import predict_draws
from thresher.planning.laws.registry import LAWS

TRUTH = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))


@pytest.fixture(scope="module", params=["auto", *sorted(LAWS)])
def laws(request):
    check = planted_run(TRUTH, [0.5, 0.5], 90_000_000, role="check", seed=4)
    runs = planted_runs(TRUTH, noise=0.003, recipe="plain", model="ViT-B-32")
    found = fit([*runs, check], law=request.param, num_draws=12)
    assert (len(found.fits) > 1) == (request.param == "auto")
    return found


def assert_same(one, other):
    for field in fields(one):
        if field.name not in ("fits", "draws_SX"):
            assert getattr(one, field.name) == getattr(other, field.name), field.name


def test_laws_survive_their_file(laws, tmp_path):
    save_laws(tmp_path / "laws.json", laws)
    loaded = load_laws(tmp_path / "laws.json")
    assert_same(loaded, laws)
    for one, other in zip(loaded.fits, laws.fits, strict=True):
        assert_same(one, other)
        np.testing.assert_array_equal(one.draws_SX, other.draws_SX)
    mix = ([0.3, 0.7], [12_800_000, 12_800_000])
    np.testing.assert_array_equal(predict_draws(loaded, 9e7, *mix), predict_draws(laws, 9e7, *mix))


def test_writing_what_was_read_gives_the_same_bytes(laws, tmp_path):
    save_laws(tmp_path / "one.json", laws)
    save_laws(tmp_path / "two.json", load_laws(tmp_path / "one.json"))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_file_that_does_not_say_how_well_its_noise_is_known_takes_it_as_known(laws, tmp_path):
    save_laws(tmp_path / "laws.json", laws)
    record = json.loads((tmp_path / "laws.json").read_text())
    assert [one["noise_freedom"] for one in record["fits"]] == [one.noise_freedom for one in laws.fits]
    for one in record["fits"]:
        del one["noise_freedom"]
    (tmp_path / "laws.json").write_text(json.dumps(record))
    loaded = load_laws(tmp_path / "laws.json")
    assert {one.noise_freedom for one in loaded.fits} == {np.inf}
    save_laws(tmp_path / "laws.json", loaded)
    assert load_laws(tmp_path / "laws.json").best.noise_freedom == np.inf


def test_the_file_holds_what_its_schema_names(laws, tmp_path):
    save_laws(tmp_path / "laws.json", laws)
    record = json.loads((tmp_path / "laws.json").read_text())
    assert (record["schema"], record["version"]) == ("thresher.laws", 1)
    assert record["law"] == laws.best.law
    assert sum(one["weight"] for one in record["fits"]) == pytest.approx(1)
    for one in record["fits"]:
        law = LAWS[one["law"]]
        assert tuple(one["shared"]) == law.shared
        own = {law.worth, "tau"} if law.has_half_life else {law.worth}
        assert set(one["pools"][0]) == own | {"name", "num_unique", "pool_samples", "intervals", "status"}
        assert all(len(draw) == len(one["draw_names"]) for draw in one["draws"])
    assert {"pool", "unique_samples", "samples_seen", "error", "predicted", "residual"} <= set(
        record["points"][0]
    )
    assert set(record["check"]) == {"mae", "mae_of_mean", "points"}
    assert {score["law"] for score in record["comparison"]} >= {laws.best.law, "power"}


def test_laws_without_draws_and_with_a_size_term_survive_too(tmp_path):
    truth = drawn_truth("utility", 5, sized=True, size=0.2)
    runs = [
        run
        for size in MODELS
        for run in planted_runs(truth, lengths=LENGTHS[::2], params=size, metric="loss", replacement=True)
    ]
    laws = fit(runs, num_draws=0)
    save_laws(tmp_path / "laws.json", laws)
    loaded = load_laws(tmp_path / "laws.json")
    assert_same(loaded, laws)
    assert loaded.params == max(MODELS)
    assert loaded.best.num_params == pytest.approx(np.exp(np.log(MODELS).mean()))
    assert loaded.best.draws_SX.shape == laws.best.draws_SX.shape == (0, len(laws.best.draw_names))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .* make it with `thresher fit`"),
        ("{", "is not JSON"),
        ("[]", "holds None version None, not 'thresher.laws' version 1"),
        ('{"schema": "thresher.plan", "version": 1}', "holds 'thresher.plan' version 1"),
        ('{"schema": "thresher.laws", "version": 1, "law": "utility"}', "is damaged"),
    ],
)
def test_a_file_that_is_no_laws_file_is_named(tmp_path, text, message):
    path = tmp_path / "laws.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_laws(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"law": "cubic"}, "no law 'cubic'; choose one of utility"),
        ({"shared": {"A": 0.9}}, "is damaged .*n0"),
        ({"noise": "little"}, "is damaged"),
        ({"draws": [[1.0, 2.0]]}, "is damaged"),
        ({"draws": [[1.0], [1.0, 2.0]]}, "is damaged"),
        ({"pools": None}, "is damaged"),
    ],
)
def test_a_file_that_was_edited_wrongly_is_named(tmp_path, change, message):
    path = tmp_path / "laws.json"
    save_laws(path, fit(planted_runs(TRUTH), law="utility", num_draws=2))
    record = json.loads(path.read_text())
    record["fits"][0].update(change)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=message):
        load_laws(path)


def test_a_run_of_a_size_that_is_kept_in_the_points_is_the_run(tmp_path):
    runs = [replace(run, params=1e8, seed=3, flops=1e15) for run in planted_runs(TRUTH)]
    laws = fit(runs, law="utility", num_draws=0)
    save_laws(tmp_path / "laws.json", laws)
    assert [point.run for point in load_laws(tmp_path / "laws.json").points] == runs
