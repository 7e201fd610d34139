"""`thresher plan`, as somebody types it."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cli.conftest import NUM_PAIRS, Call
from tests.planning.plans.drawn import drawn_laws
from thresher.curate.pools.record import load_pools
from thresher.planning.laws.laws_file import save_laws
from thresher.planning.plans.costs import Costs
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import load_plan, plan_text
from thresher.planning.plans.result import winner


@pytest.fixture(scope="module")
def laws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laws") / "laws.json"
    save_laws(path, drawn_laws(spread=0.04))
    return path


def test_budgets_are_samples_flops_or_hours(call: Call, laws: Path, tmp_path: Path) -> None:
    done = call(
        *("plan", laws, "--budget", "32M", "--budget", "1e18FLOPs", "--budget", "10 gpu-hours"),
        *(
            "--flops-per-sample",
            "1e10",
            "--device-flops",
            "a100",
            "--mfu",
            "0.5",
            "--out",
            tmp_path / "p.json",
        ),
    )
    assert done.exit_code == 0, done.stderr
    seen = [budget.samples_seen for budget in load_plan(tmp_path / "p.json").budgets]
    assert seen == [32_000_000, 100_000_000, 561_600_000]


def test_a_budget_in_flops_without_a_price_names_the_option(call: Call, laws: Path, tmp_path: Path) -> None:
    done = call("plan", laws, "--budget", "1e18FLOPs", "--out", tmp_path / "p.json")
    assert done.exit_code == 2
    assert "--flops-per-sample" in done.stderr


def test_pools_in_pools_are_declared_by_an_option(call: Call, tmp_path: Path) -> None:
    runs = ["pool,unique_samples,samples_seen,error,final"]
    for pool, size, slope in (("top10", 10, 0.3), ("top40", 40, 0.25)):
        runs += [f"{pool},{size}M,{n}M,{n**-slope:.4f},true" for n in (4, 8, 16)]
    (tmp_path / "runs.csv").write_text("\n".join(runs))
    command = ("fit", tmp_path / "runs.csv", "--bootstrap", "8", "--out", tmp_path / "laws.json")
    assert "--within 'top10:top40'" in call(*command).stderr
    done = call(*command, "--within", "top10:top40")
    assert "could lie" not in done.stderr
    call("plan", tmp_path / "laws.json", "--budget", "64M", "--out", tmp_path / "p.json")
    assert load_plan(tmp_path / "p.json").wholes == {"top10 + top40 - top10": "top40"}
    done = call("predict", tmp_path / "laws.json", "--mix", "top40", "--budget", "16M")
    assert done.exit_code == 0, done.stderr
    for wrong, said in (("top10", "not of the form PART:WHOLE"), ("top10:top50", "no pool 'top50'")):
        done = call(*command, "--within", wrong)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_continuous_weights_are_planned_and_written(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    plan = tmp_path / "p.json"
    budget = ("--pools", stages.pools, "--budget", "400")
    done = call("plan", stages.laws, *budget, "--weights", "continuous", "--out", plan)
    assert done.exit_code == 0, done.stderr
    (planned,) = load_plan(plan).budgets
    best = winner(planned)
    assert best.weighted
    assert best.name in done.stdout
    written = call("subset", plan, *budget, "--out", tmp_path / "subset", "--json")
    assert written.exit_code == 0, written.stderr
    uids = np.load(tmp_path / "subset" / "subset.npy")
    assert len(uids) == json.loads(written.stdout)["num_rows"]
    pools = load_pools(stages.pools)
    for pool, weight in best.weights.items():
        members = [int(uid, 16) for uid in pools.uids(pool).to_pylist()]
        assert np.isin(uids["f1"], members).mean() == pytest.approx(weight, abs=0.05)


def test_probing_and_scoring_are_charged(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    header, *rows = [row for row in stages.runs.read_text().splitlines() if row]
    (tmp_path / "runs.csv").write_text("\n".join([f"{header},flops", *(f"{row},1e9" for row in rows)]))
    done = call(
        *("plan", stages.laws, "--pools", stages.pools, "--budget", "4k", "--out", tmp_path / "p.json"),
        *("--runs", tmp_path / "runs.csv", "--flops-per-pair", "2e6", "--flops-per-sample", "1e7"),
    )
    assert done.exit_code == 0, done.stderr
    paid = load_plan(tmp_path / "p.json").payback
    assert (paid.scoring_flops, paid.probing_flops) == (
        2e6 * NUM_PAIRS,
        1e9 * len([row for row in rows if row]),
    )
    assert paid.sentence in done.stdout


def test_flops_per_pair_need_the_pools(call: Call, laws: Path, tmp_path: Path) -> None:
    done = call("plan", laws, "--budget", "4k", "--flops-per-pair", "1e6", "--out", tmp_path / "p.json")
    assert done.exit_code == 2
    assert "--flops-per-pair needs --pools" in done.stderr


def test_the_flops_of_a_named_model_are_counted(call: Call, laws: Path, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    done = call(
        *(
            "plan",
            laws,
            "--budget",
            "1e16FLOPs",
            "--flops-per-sample",
            "ViT-S-32",
            "--out",
            tmp_path / "p.json",
        )
    )
    assert done.exit_code == 0, done.stderr
    assert 1e4 < load_plan(tmp_path / "p.json").budgets[0].samples_seen < 1e7


def test_the_text_tells_all_that_a_plan_holds() -> None:
    plan = make_plan(
        drawn_laws(spread=0.04),
        [32_000_000, 640_000_000],
        spent=Costs(probing_flops=1e16, flops_per_sample=1e10),
    )
    text = plan_text(plan)
    assert all(budget.decision in text for budget in plan.budgets)
    assert f"At 640M: Weights {plan.budgets[1].weighting.candidate.name} would add " in text
    assert plan.payback.sentence in text
    assert f"{plan.crossovers[0].after} is better than {plan.crossovers[0].before}." in text
    assert "kept from 16M to 1.3B" in text
    assert all(policy.name in text for policy in plan.policies[:3])


def test_where_nothing_crosses_the_range_is_named() -> None:
    plan = make_plan(drawn_laws((-0.3, -0.01), (30.0, 1.0)), [20_000_000])
    lines = plan_text(plan).splitlines()
    same = "The best subset is the same at every budget between 10M and 40M samples seen: no crossing."
    assert same in lines
    assert "No free weights were found that add more than 0.1 points." in lines


def test_planning_without_a_model_to_count_loads_no_torch(laws: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from thresher.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    line = ["plan", laws, "--budget", "1e16FLOPs", "--flops-per-sample", "1e9", "--out", tmp_path / "p.json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, line)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
