import pytest

from tests.planning.runs.importers.made import table
from thresher.errors import InputError
from thresher.planning.runs.importers.formats import import_runs

ROWS = ("run,samples_seen,loss", "top-s0,2000000,3.5", "top-s1,2000000,3.6", "mix-1,2000000,3.4")
FACTS = (
    "run,pool,weights,unique_samples,role,seed",
    "top-s?,top,,1M,fit,",
    'mix-1,,"{""top"": 0.5, ""rest"": 0.5}","{""top"": 1000000, ""rest"": 4000000}",check,7',
)


def imported(tmp_path, **arguments):
    path = table(tmp_path / "t.csv", *ROWS)
    return import_runs([path], format="table", **{"metric": "loss", **arguments})


def test_facts_of_each_run_come_from_a_table(tmp_path):
    facts = table(tmp_path / "facts.csv", *FACTS)
    top, _, mix = imported(tmp_path, facts=facts)
    assert (top.pool, top.unique_samples, top.role) == ("top", 1_000_000, "fit")
    assert (mix.weights, mix.role, mix.seed) == ({"top": 0.5, "rest": 0.5}, "check", 7)
    assert mix.unique_samples == {"top": 1_000_000, "rest": 4_000_000}


def test_facts_go_before_values_for_all(tmp_path):
    facts = table(tmp_path / "facts.csv", *FACTS)
    supply = {"role": "verify", "seed": 3, "pool": "other"}
    top, _, mix = imported(tmp_path, facts=facts, supply=supply)
    assert (top.pool, top.role, top.seed) == ("top", "fit", 3)
    assert (mix.pool, mix.role, mix.seed) == (None, "check", 7)


def test_sizes_by_pool_serve_the_pools_of_a_mix(tmp_path):
    mix = '"{""top"": 1, ""rest"": 3}"'
    facts = table(tmp_path / "facts.csv", "run,pool,weights", "top*,top,", f"mix*,,{mix}")
    supply = {"unique_samples": {"top": "1M", "rest": "4M"}, "pool_samples": {"*": "8M"}}
    top, _, mix = imported(tmp_path, facts=facts, supply=supply)
    assert (top.unique_samples, top.pool_samples) == (1_000_000, 8_000_000)
    assert mix.unique_samples == {"top": 1_000_000, "rest": 4_000_000}
    assert mix.pool_samples == {"top": 8_000_000, "rest": 8_000_000}
    with pytest.raises(InputError, match=r"row 4: `unique_samples` is given by pool, but not for 'rest'"):
        imported(tmp_path, facts=facts, supply={"unique_samples": {"top": "1M"}})


def test_values_go_by_the_name_of_the_run_its_own_before_patterns(tmp_path):
    supply = {
        "pool": {"top*": "top", "*": "rest"},
        "unique_samples": "1M",
        "seed": {"*-s0": 0, "top-s1": 1, "mix-1": 2},
        "model": {"*": "B32"},
        "params": {"B32": "151M"},
    }
    runs = imported(tmp_path, supply=supply)
    assert [(run.pool, run.seed, run.params) for run in runs] == [
        ("top", 0, 151e6),
        ("top", 1, 151e6),
        ("rest", 2, 151e6),
    ]


def test_a_name_that_does_not_occur_is_refused(tmp_path):
    supply = {"pool": {"tpo*": "top", "*": "rest"}, "unique_samples": "1M"}
    with pytest.raises(
        InputError, match=r"pool is given for 'tpo\*', but there is no such run; there are top-s0"
    ):
        imported(tmp_path, supply=supply)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("run,size", "a,1"), r"facts\.csv, row 1: there is no field 'size'; the columns are run and any of"),
        (("pool", "a"), r"facts\.csv, row 1: no column 'run' among pool"),
        (("run,pool", "a,b", "a,c"), r"facts\.csv, row 3: run 'a' is empty or stands there twice"),
        (("run,unique_samples", "*,many"), r"t\.csv, row 2: `pool` of run 'top-s0' is not known"),
        (("run,pool,unique_samples", "*,a,many"), r"t\.csv, row 2: `unique_samples`: 'many' is not a count"),
    ],
)
def test_bad_facts_are_named(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        imported(tmp_path, facts=table(tmp_path / "facts.csv", *rows))


def test_an_absent_table_of_facts_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no table of facts at"):
        imported(tmp_path, facts=tmp_path / "absent.csv")


def test_parameters_by_model_have_to_name_every_model(tmp_path):
    supply = {"pool": "a", "unique_samples": "1M", "params": {"B32": "151M"}}
    with pytest.raises(InputError, match=r"row 2: `params` is given by model, but the model is not known"):
        imported(tmp_path, supply=supply)
    supply["model"] = {"top*": "B32", "*": "B16"}
    with pytest.raises(InputError, match=r"row 4: `params` is given by model, but not for 'B16'"):
        imported(tmp_path, supply=supply)


def test_messages_that_mislead_the_option_that_is_asked_for_is_named(tmp_path):
    with pytest.raises(InputError, match="not for 'rest'; give --unique rest=NUMBER"):
        imported(tmp_path, supply={"pool": "rest", "unique_samples": {"top": "1M"}})
    with pytest.raises(
        InputError, match=r"pool is given for 'a', .*\(a pool that holds an = itself is .*'\*=VALUE'"
    ):
        imported(tmp_path, supply={"pool": {"a": "b", "*": "rest"}, "unique_samples": "1M"})
