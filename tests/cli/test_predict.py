import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks.law_tables import PUBLISHED, PUBLISHED_FIT, predicted_table

from tests.cli.conftest import Call


@pytest.mark.parametrize("form", PUBLISHED)
def test_both_published_tables_come_out_of_the_command(form: str) -> None:
    np.testing.assert_allclose(100 * (1 - predicted_table(form)), PUBLISHED[form], atol=0.00501)


def test_a_mix_stands_with_its_error_and_passes(call: Call) -> None:
    done = call("predict", PUBLISHED_FIT, "--mix", "top 10% + 10-20%", "--budget", "32M")
    assert done.stdout.splitlines()[1].split() == [
        *("top", "10%", "+", "10-20%", "32M", "84.46%", "1.2,", "1.2"),
    ]
    assert done.stderr == ""


def test_a_budget_may_be_flops_or_gpu_hours(call: Call) -> None:
    mix = ("predict", PUBLISHED_FIT, "--mix", "top 10%", "--json")
    priced = ("--flops-per-sample", "1e10", "--device-flops", "a100", "--mfu", "0.5")
    rows = json.loads(call(*mix, "--budget", "1e18FLOPs", "--budget", "1gpu-h", *priced).stdout)
    assert [row["samples_seen"] for row in rows] == [100_000_000, 56_160_000]
    done = call(*mix, "--budget", "1e18FLOPs")
    assert done.exit_code == 2
    assert "--flops-per-sample" in done.stderr


def test_fitted_laws_have_intervals(call: Call, stages: SimpleNamespace) -> None:
    mix = "0.7 x 0-50% + 0.3 x 50-100%"
    (row,) = json.loads(call("predict", stages.laws, "--mix", mix, "--budget", "4000", "--json").stdout)
    assert row["weights"] == pytest.approx({"0-50%": 0.7, "50-100%": 0.3})
    assert row["low"] < row["error"] < row["high"]


def test_the_noise_of_a_run_is_added_where_it_is_asked_for(call: Call, tmp_path: Path) -> None:
    noisy = tmp_path / "laws.json"
    noisy.write_text(json.dumps({**json.loads(PUBLISHED_FIT.read_text()), "noise": 0.01}))
    options = ("predict", noisy, "--mix", "top 10%", "--budget", "32M", "--json")
    (plain,), (wide,) = (json.loads(call(*options, *more).stdout) for more in ((), ("--with-noise",)))
    assert plain["low"] == plain["error"] == wide["error"] == plain["high"]
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.645 * 0.01, rel=0.3)


def test_the_published_form_is_for_equal_pools_and_says_what_it_is(call: Call) -> None:
    options = ("predict", PUBLISHED_FIT, "--budget", "32M", "--form", "published")
    assert "wears off" in call(*options, "--mix", "top 10%").stderr
    done = call(*options, "--mix", "0.9 x top 10% + 0.1 x 10-20%")
    assert done.exit_code == 2
    assert "0.9, 0.1" in done.stderr


def test_the_size_of_a_pool_may_come_from_its_folder(call: Call, stages: SimpleNamespace) -> None:
    options = ("predict", stages.laws, "--mix", "0-50%", "--budget", "200", "--json")
    (row,) = json.loads(call(*options, "--pools", stages.pools).stdout)
    assert row["repeats"] == {"0-50%": 10.0}


def test_a_form_or_pool_that_is_unknown_is_named(call: Call, tmp_path: Path) -> None:
    for options, words in (
        (("--mix", "top 10%", "--form", "paper"), "no form 'paper'"),
        (("--mix", "top 1%"), "no pool 'top 1%'"),
    ):
        done = call("predict", PUBLISHED_FIT, "--budget", "32M", *options)
        assert done.exit_code == 2
        assert words in done.stderr
