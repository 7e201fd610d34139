import json

import numpy as np
import pytest

from tests.laws.planted import parameters, planted_run, planted_runs
from thresher.errors import InputError
from thresher.laws.fit import fit
from thresher.laws.store import load_laws, save_laws


@pytest.fixture(scope="module", params=["utility", "power"])
def fitted(request):
    truth = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
    check = planted_run(truth, [0.5, 0.5], 90_000_000, role="check", seed=4)
    return fit([*planted_runs(truth, noise=0.003), check], law=request.param, num_draws=6)


def test_a_fit_survives_its_file(fitted, tmp_path):
    save_laws(tmp_path / "laws.json", fitted)
    loaded = load_laws(tmp_path / "laws.json")
    for name in ("law", "metric", "recipe", "A", "n0", "d", "gamma", "pools", "intervals", "noise", "status"):
        assert getattr(loaded, name) == getattr(fitted, name)
    assert (loaded.warnings, loaded.points, loaded.check) == (fitted.warnings, fitted.points, fitted.check)
    assert loaded.draw_names == fitted.draw_names
    np.testing.assert_array_equal(loaded.draws_SX, fitted.draws_SX)


def test_writing_what_was_read_gives_the_same_bytes(fitted, tmp_path):
    save_laws(tmp_path / "one.json", fitted)
    save_laws(tmp_path / "two.json", load_laws(tmp_path / "one.json"))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_file_holds_what_its_schema_names(fitted, tmp_path):
    save_laws(tmp_path / "laws.json", fitted)
    record = json.loads((tmp_path / "laws.json").read_text())
    assert (record["schema"], record["version"]) == ("thresher.laws", 1)
    assert set(record["shared"]) == {"A", "n0", "d", "gamma"}
    assert set(record["pools"][0]) >= {
        "name",
        "b",
        "tau",
        "num_unique",
        "pool_samples",
        "intervals",
        "status",
    }
    assert all(len(draw) == len(record["draw_names"]) for draw in record["draws"])
    assert {"pool", "unique_samples", "samples_seen", "error", "predicted", "residual"} <= set(
        record["points"][0]
    )
    assert set(record["check"]) == {"mae", "mae_of_mean", "points"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .* make it with `thresher fit`"),
        ("{", "is not JSON"),
        ("[]", "holds None version None, not 'thresher.laws' version 1"),
        ('{"schema": "thresher.plan", "version": 1}', "holds 'thresher.plan' version 1"),
        ('{"schema": "thresher.laws", "version": 1, "law": "utility"}', "lacks a field"),
        ('{"schema": "thresher.laws", "version": 1, "law": "cubic"}', "no law 'cubic'"),
    ],
)
def test_a_file_that_is_no_laws_file_is_named(tmp_path, text, message):
    path = tmp_path / "laws.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_laws(path)
