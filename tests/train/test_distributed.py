import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.forking import run_ranks
from tests.models.small import RESNET, VIT
from tests.probing import make_source
from tests.small_pool import write_shards
from tests.train.several_processes import SAMPLES, job_of, pairs_of, recipe_of, select
from tests.train.small import BATCH, run
from thresher.models.towers import load_towers
from thresher.selection.choices import LOSSES
from thresher.train import journal, picks
from thresher.train.distributed import SINGLE, Ranks, is_first_rank, ranks_from_environment, share
from thresher.train.job import RESULT_FILE, run_job

PROGRAM = "tests.train.several_processes"


def torchrun(*arguments: str) -> None:
    """The program on two processes that torchrun itself starts, as a user would."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    subprocess.run([*command, "-m", PROGRAM, *arguments], env=environment, check=True)


def forked(*arguments: str) -> None:
    """The same without its start: two forks are told what torchrun would tell them."""
    run_ranks(2, PROGRAM, *arguments)


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / journal.TRACE_FILE).read_text().splitlines()]
    return [loss for line in lines for loss in line["loss"]]


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """The first loss is that of the whole batch; the next ones tell that the gradients were its as well."""
    run_ranks(2, PROGRAM, "losses", tmp_path / "two")
    for loss in LOSSES:
        run(tmp_path / "one" / loss, pairs_of(VIT), SAMPLES, recipe=recipe_of(loss))
        one, two = losses(tmp_path / "one" / loss), losses(tmp_path / "two" / loss)
        assert len(one) == len(two) == 12
        assert two[0] == pytest.approx(one[0], rel=1e-5)
        assert two == pytest.approx(one, rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.soak)])
def test_several_processes_choose_the_pairs_that_one_would(tmp_path: Path, world: int) -> None:
    """All at the first step; later weights differ by rounding, and a few picks may."""
    run_ranks(world, PROGRAM, "select", tmp_path)
    select(tmp_path / "one", SINGLE, "global")
    one, two = ([pick.rows.tolist() for pick in picks.read(tmp_path / name)] for name in ("one", "global"))
    assert len(one) == len(two) == 12
    assert two[0] == one[0]
    same = [len(set(ours) & set(theirs)) for ours, theirs in zip(one, two, strict=True)]
    assert sum(same) >= 0.9 * SAMPLES
    assert losses(tmp_path / "global")[0] == pytest.approx(losses(tmp_path / "one")[0], rel=1e-5)
    for pick in picks.read(tmp_path / "stratified"):
        assert len(set(pick.rows.tolist())) == BATCH


@pytest.mark.slow
@pytest.mark.parametrize("start", [forked, pytest.param(torchrun, marks=pytest.mark.soak)])
def test_a_job_on_two_processes_leaves_one_checkpoint(tmp_path: Path, start: Callable[..., None]) -> None:
    """With batch norm, whose statistics are those of each process, the losses differ; the way is the same."""
    write_shards(tmp_path / "pool", (40,))
    start("job", str(tmp_path))
    folder = tmp_path / "model"
    (measured,) = json.loads((folder / RESULT_FILE).read_text())["measured"]
    assert measured["samples_seen"] == SAMPLES
    assert load_towers(f"local-dir:{folder}").name
    assert len(losses(folder)) == 12
    assert run_job(job_of(tmp_path), folder) == folder  # finished, for a single process as well


@pytest.mark.soak
def test_probes_on_two_processes_fill_the_ledger_once(tmp_path: Path) -> None:
    make_source(tmp_path / "source")
    run_ranks(2, PROGRAM, "probe", tmp_path)
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert len({json.loads(line)["run"] for line in lines}) == 2


def test_a_batch_is_shared_out_in_equal_slices() -> None:
    rows = np.arange(12)
    shares = [share(rows, Ranks(rank=rank, world=3, local=rank)).tolist() for rank in range(3)]
    assert shares == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert share(rows, SINGLE).tolist() == rows.tolist()


def test_without_torchrun_there_is_one_process_which_writes() -> None:
    with ranks_from_environment("cpu") as ranks:
        assert ranks == SINGLE
        assert ranks.is_main
        assert not torch.distributed.is_initialized()


def test_only_rank_0_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_first_rank()
    monkeypatch.setenv("RANK", "1")
    assert not is_first_rank()
    assert not Ranks(rank=1, world=2, local=1).is_main


def test_a_model_with_batch_norm_is_the_one_of_the_job() -> None:
    """What the test of two processes rests on."""
    for name, has_batch_norm in ((RESNET, True), (VIT, False)):
        found = any("running_mean" in key for key in load_towers(name).model.state_dict())
        assert found is has_batch_norm
