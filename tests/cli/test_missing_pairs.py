"""The sentences of `cut`, `plan` and `subset` about pairs that the scores name and no shard holds."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import NUM_PAIRS, Call
from tests.data.bad_pool import jpeg, pair_members, write_tar


@pytest.fixture
def half(call: Call, stages: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """Pools cut where half of the pairs no longer download, and what `cut` said."""
    members = []
    for number in range(0, NUM_PAIRS, 2):
        members += pair_members(f"{number:03d}", jpeg(0), f"a dog {number}", f"{number:032x}")
    shard = tmp_path / "0.tar"
    write_tar(shard, members)
    options = ("--by", "caption", "--edges", "0.5,1", "--out", tmp_path / "half", "--shards", shard)
    return SimpleNamespace(pools=tmp_path / "half", done=call("cut", stages.scores, *options))


def test_cut_plan_and_subset_say_how_many_pairs_each_pool_lacks(
    call: Call, stages: SimpleNamespace, half: SimpleNamespace, tmp_path: Path
) -> None:
    pools = json.loads((half.pools / "pools.json").read_text())["pools"]
    lacking = [pool for pool in pools if pool["absent"]]
    assert lacking
    plan = ("plan", stages.laws, "--pools", half.pools, "--budget", "80", "--out", tmp_path / "plan.json")
    subset = (
        "subset",
        tmp_path / "plan.json",
        "--budget",
        "80",
        "--pools",
        half.pools,
        "--out",
        tmp_path / "s",
    )
    for done in (half.done, call(*plan), call(*subset)):
        for pool in lacking:
            assert (
                f"warning: {pool['absent']} of the {pool['absent'] + pool['num_samples']} pairs"
                in done.stderr
            )
            assert f"for pool {pool['name']} (" in done.stderr


def test_conditions_are_told_with_what_they_left_out(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    options = ("--by", "caption", "--edges", "1", "--keep", "caption>0.3", "--out", tmp_path / "p")
    done = call("cut", stages.scores, *options)
    assert "pairs in no pool: not caption>0.3" in done.stdout
