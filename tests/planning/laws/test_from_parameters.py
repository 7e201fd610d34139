import json

import numpy as np
import pytest

from tests.planning.laws.planted import LENGTHS, PUBLISHED, parameters, predict
from thresher.errors import InputError
from thresher.planning.laws.law import Parameters, design, error, shared_names
from thresher.planning.laws.laws_file import load_laws, save_laws
from thresher.planning.laws.predict import parameters as fitted_parameters
from thresher.planning.laws.predict import predict_draws
from thresher.planning.laws.registry import LAWS


def record_of(law: str, truth: Parameters, **changed):
    own = [LAWS[law].worth, "tau"] if LAWS[law].has_half_life else [LAWS[law].worth]
    values = {LAWS[law].worth: truth.worth_P, "tau": truth.tau_P}
    pools = [
        {"name": f"p{place}", "num_unique": size} | {name: values[name][place] for name in own}
        for place, size in enumerate(truth.num_unique_P)
    ]
    shared = {name: float(value) for name, value in truth.shared.items()}
    return {
        **{"schema": "thresher.laws", "version": 1, "law": law, "metric": "zeroshot_error"},
        **{"shared": shared, "pools": pools, **changed},
    }


def written(tmp_path, record):
    path = tmp_path / "laws.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


@pytest.mark.parametrize("law", LAWS)
def test_parameters_of_any_law_predict_what_the_law_does(law, tmp_path):
    values = {"quality": (1.0, 0.4)} if LAWS[law].worth == "quality" else {"b": (-0.2, -0.1)}
    truth = parameters(law, tau=(5.0, 3.0), num_unique=(2e6, 5e6), **values)
    laws = load_laws(written(tmp_path, record_of(law, truth)))
    weights, sizes = [0.3, 0.7], [2e6, 5e6]
    expected = predict(LAWS[law], truth, LENGTHS, weights, sizes)
    fitted = error(LAWS[law], fitted_parameters(laws.best), design(LENGTHS, weights, sizes))
    np.testing.assert_allclose(fitted, expected)
    np.testing.assert_allclose(predict_draws(laws, LENGTHS, weights, sizes).mean(0), expected)
    assert [pool.pool_samples for pool in laws.pools] == sizes


def test_given_laws_are_written_and_read_as_fitted_ones_are(tmp_path):
    laws = load_laws(written(tmp_path, record_of("utility", PUBLISHED, recipe="T-MARS")))
    save_laws(tmp_path / "again.json", laws)
    again = load_laws(tmp_path / "again.json")
    assert (again.best.shared, again.pools) == (laws.best.shared, laws.pools)
    assert (again.recipe, again.status) == ("T-MARS", laws.status)


def test_gamma_is_one_where_it_is_left_out(tmp_path):
    record = record_of("utility", PUBLISHED)
    del record["shared"]["gamma"]
    assert load_laws(written(tmp_path, record)).best.shared["gamma"] == 1


def test_a_size_term_needs_the_size_at_which_it_holds(tmp_path):
    record = record_of("utility", parameters(tau=(5.0,), b=(-0.2,), sized=True))
    with pytest.raises(InputError, match="num_params"):
        load_laws(written(tmp_path, record))
    laws = load_laws(written(tmp_path, {**record, "num_params": 1e8}))
    assert (laws.params, laws.best.num_params) == (1e8, 1e8)
    assert list(laws.best.shared) == list(shared_names(LAWS["utility"], sized=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"law": "beta"}, "no law 'beta'"),
        ({"metric": None}, "`metric` is None"),
        ({"pools": []}, "`pools`"),
        ({"pools": [{"name": "a", "b": -0.1, "num_unique": 10}]}, "lacks 'tau'"),
        ({"pools": [{"name": "a", "b": -0.1, "tau": 0, "num_unique": 10}]}, "tau of pool 'a' is 0"),
        ({"pools": [{"name": "a", "b": 0.1, "tau": 2, "num_unique": 10}]}, "at most 0"),
        ({"pools": [{"name": "a", "b": -0.1, "tau": 2}]}, "num_unique"),
        ({"pools": 2 * [{"name": "a", "b": -0.1, "tau": 2, "num_unique": 10}]}, "twice"),
        ({"shared": {"A": 1, "n0": 4e6}}, "lacks 'd'"),
        ({"shared": {"A": 1, "n0": 4e6, "d": 0.1, "harm": 1}}, "no parameter 'harm'"),
        ({"shared": {"A": "1", "n0": 4e6, "d": 0.1}}, "A is '1'"),
        ({"shared": {"A": 1, "n0": 4e6, "d": 1.1}}, "below 1"),
    ],
)
def test_what_cannot_be_is_named(change, words, tmp_path):
    with pytest.raises(InputError, match=words):
        load_laws(written(tmp_path, {**record_of("utility", PUBLISHED), **change}))
