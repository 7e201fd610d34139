import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.planning.laws.planted import parameters, planted_run
from thresher.cli import app

NUM_PAIRS = 40
POOLS = ("0-50%", "50-100%")

Call = Callable[..., Result]


@pytest.fixture(scope="session")
def call() -> Call:
    """Runs the command line in this process; arguments of any type."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="thresher")

    return run


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory, call: Call) -> SimpleNamespace:
    """What the stages up to the plan leave behind, each made by its command: shards, scores, ..., plan."""
    root = tmp_path_factory.mktemp("stages")
    members = []
    for number in range(NUM_PAIRS):
        members += pair_members(
            f"{number:03d}", jpeg(0), "a dog " + "on a red mat " * (number % 7), f"{number:032x}"
        )
    write_tar(root / "00000.tar", members)
    write_runs(root / "runs.csv")
    made = SimpleNamespace(root=root, shards=root / "00000.tar", runs=root / "runs.csv")
    for name in ("scores", "pools", "laws.json", "plan.json"):
        setattr(made, name.removesuffix(".json"), root / name)
    for arguments in (
        ("score", made.shards, "--scorer", "caption", "--out", made.scores),
        ("cut", made.scores, "--by", "caption", "--edges", "0.5,1", "--out", made.pools),
        ("fit", made.runs, "--pools", made.pools, "--bootstrap", "20", "--out", made.laws),
        ("plan", made.laws, "--pools", made.pools, "--budget", "80", "--budget", "4k", "--out", made.plan),
    ):
        done = call(*arguments)
        assert done.exit_code == 0, done.stderr
    return made


def write_runs(path: Path) -> None:
    """A CSV of runs with a planted law, on the two pools and on a check mix of them."""
    half = NUM_PAIRS // 2
    truth = parameters(b=(-0.3, -0.15), tau=(3.0, 6.0), n0=20.0, num_unique=half)
    rows = ["pool,weights,role,unique_samples,samples_seen,error,metric"]
    for seen in (20, 60, 160, 400, 1000):
        for number, pool in enumerate(POOLS):
            weights = [float(number == place) for place in range(2)]
            error = planted_run(truth, weights, seen, unique=half).error
            rows.append(f"{pool},,fit,{half},{seen},{error:.6f},zeroshot_error")
        error = planted_run(truth, [0.5, 0.5], seen, unique=half).error
        mix = '"{""0-50%"": 0.5, ""50-100%"": 0.5}"'
        rows.append(f",{mix},check,{NUM_PAIRS},{seen},{error:.6f},zeroshot_error")
    path.write_text(os.linesep.join(rows), encoding="utf-8")
