import json
from pathlib import Path

import pytest

from thresher.errors import InputError
from thresher.planning.plans.plan import load_plan
from thresher.report.sections import read_commands


def _changed(workdir: Path, **fields: object) -> Path:
    path = workdir / "subset" / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_comments_say_what_the_commands_after_them_do(workdir: Path) -> None:
    lines = ["first --a", "# then this:", "second --b", "third --c", "# only a remark"]
    found = read_commands(_changed(workdir, how_to_train=lines), None)
    assert found["steps"] == [
        ("Train on the subset:", "first --a"),
        ("Then this:", "second --b\nthird --c"),
        ("Only a remark", ""),
    ]


def test_the_plans_own_choice_can_be_written_again(workdir: Path) -> None:
    plan = load_plan(workdir / "plan.json")
    command = "thresher subset plan.json --budget 131072 --pools pools --out subset --format npy"
    assert read_commands(_changed(workdir), plan)["steps"][0][1] == command
    with_shards = read_commands(_changed(workdir, format="shards"), plan)["steps"][0][1]
    assert "--shards SHARDS" in with_shards


def test_another_choice_than_the_plans_is_not_passed_off_as_it(workdir: Path) -> None:
    plan = load_plan(workdir / "plan.json")
    for path in (_changed(workdir, plan={"candidate": "0-10%"}), _changed(workdir, plan=None)):
        assert not any("thresher subset" in text for _, text in read_commands(path, plan)["steps"])


def test_the_subset_is_described_pool_by_pool(workdir: Path) -> None:
    found = read_commands(_changed(workdir), None)
    assert found["summary"] == (
        "The subset holds 48 pairs; one pass over it is 48 samples of the budget of 131.1k samples seen."
    )
    assert found["pools"] == [("0-10%", "0.5", "24", "1"), ("10-20%", "0.5", "24", "1")]


def test_a_meta_file_without_its_fields_is_refused(workdir: Path) -> None:
    path = workdir / "subset" / "meta.json"
    path.write_text('{"schema": "thresher.subset", "version": 1}')
    with pytest.raises(InputError, match=r"meta\.json is damaged"):
        read_commands(path, None)
