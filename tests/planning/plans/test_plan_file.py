import json

import pytest

from tests.planning.plans.drawn import drawn_laws
from thresher.errors import InputError
from thresher.planning.plans.costs import Costs
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import Plan, load_plan, plan_to_record, save_plan

SPENT = Costs(probing_flops=1e16, flops_per_sample=1e10)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(drawn_laws(spread=0.05), [32_000_000, 640_000_000], weights="both", spent=SPENT)


def test_a_plan_survives_its_file_byte_for_byte(plan, tmp_path) -> None:
    save_plan(tmp_path / "one.json", plan)
    assert load_plan(tmp_path / "one.json") == plan
    save_plan(tmp_path / "two.json", load_plan(tmp_path / "one.json"))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_record_is_what_readers_of_the_file_rely_on(plan) -> None:
    record = json.loads(json.dumps(plan_to_record(plan), allow_nan=False))
    assert (record["schema"], record["version"]) == ("thresher.plan", 1)
    assert set(record["crossovers"][0]) == {"from", "to", "samples_seen", "low", "high", "chance"}
    assert record["pools"][0] == {"name": "p0", "num_samples": 12_800_000}
    assert set(record["frontier"][0]) == {"samples_seen", "best", "error", "low", "high"}
    assert {"name", "weights", "regrets", "mean_regret", "worst_regret"} == set(record["policies"][0])
    assert record["payback"]["budgets"][0]["samples_seen"] == 32_000_000
    assert record["budgets"][0]["verdict"] in ("best", "close", "unclear")


def test_a_file_of_an_older_release_is_read(plan, tmp_path) -> None:
    record = plan_to_record(plan)
    old = {name: record[name] for name in ("schema", "version", "law", "metric", "pools", "status")}
    old["crossovers"] = [
        {name: value for name, value in crossover.items() if name != "chance"}
        for crossover in record["crossovers"]
    ]
    old["budgets"] = [
        {
            "samples_seen": 5,
            "best": "p0",
            "decision": "take p0",
            "candidates": [
                {name: value for name, value in candidate.items() if name != "weighted"}
                for candidate in record["budgets"][0]["candidates"]
            ],
        }
    ]
    (tmp_path / "plan.json").write_text(json.dumps(old))
    read = load_plan(tmp_path / "plan.json")
    assert (read.frontier, read.payback, read.budgets[0].weighting) == ((), None, None)


def test_a_missing_file_names_the_command(tmp_path) -> None:
    with pytest.raises(InputError, match="make it with `thresher plan`"):
        load_plan(tmp_path / "none.json")
