"""`thresher probe --suggest`, as somebody types it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Call
from thresher.planning import api
from thresher.planning.laws.laws_file import load_laws

CONFIG = """
[shards]
paths = ["a.tar"]
[score]
scorers = ["caption"]
[cut]
by = "caption_score"
[evaluate]
zeroshot = ["b.tar"]
[plan]
flops_per_sample = 1e10
budgets = ["4e13FLOPs"]
"""


def test_the_suggested_runs_are_those_of_the_planning_side(call: Call, stages: SimpleNamespace) -> None:
    found = api.suggest(load_laws(stages.laws), "4k", sizes=stages.pools)
    line = ("probe", stages.pools, "--suggest", "--laws", stages.laws, "--budget", "4k")
    assert call(*line).stdout.strip() == str(found).strip()
    rows = json.loads(call(*line, "--json").stdout)
    assert [row["about"] for row in rows] == [one.about for one in found]


@pytest.mark.parametrize("unit", [("4e13FLOPs",), ("4e13FLOPs", "--mfu", "0.1"), ("4000",)])
def test_a_budget_to_suggest_for_may_be_flops(
    call: Call, stages: SimpleNamespace, unit: tuple[str, ...]
) -> None:
    line = ("probe", stages.pools, "--suggest", "--laws", stages.laws, "--flops-per-sample", "1e10")
    assert call(*line, "--budget", *unit).stdout == call(*line, "--budget", "4k").stdout != ""


def test_the_budgets_of_a_config_are_suggested_for(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    line = ("probe", stages.pools, "--suggest", "--laws", stages.laws)
    priced = call(*line, "--budget", "4e13FLOPs", "--flops-per-sample", "1e10").stdout
    assert call(*line, "--config", config).stdout == priced != ""
    assert call(*line, "--config", config, "--budget", "4e13FLOPs").stdout == priced


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--suggest", "--laws", "{laws}", "--budget", "1e13FLOPs"), "--flops-per-sample"),
        (("--suggest", "--laws", "{laws}", "--budget", "12,8M"), "write a decimal point"),
        (("--suggest", "--laws", "{laws}"), "say what to plan for with --budget"),
        (("--suggest", "--budget", "4k"), "name the laws with --laws"),
        (("--shards", "a.tar", "--out", "r.jsonl", "--target", "1gpu-h"), "--flops-per-sample"),
    ],
)
def test_what_a_suggestion_lacks_is_named(
    call: Call, stages: SimpleNamespace, options: tuple[str, ...], words: str
) -> None:
    done = call("probe", stages.pools, *(option.format(laws=stages.laws) for option in options))
    assert done.exit_code == 2
    assert words in done.stderr
