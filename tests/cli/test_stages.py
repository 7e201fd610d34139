"""The commands from shards to a subset, as somebody types them."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import NUM_PAIRS, POOLS, Call
from tests.data.bad_pool import DECODE_CASES, OK, write_bad_pool
from thresher.cli import main
from thresher.cli.options import expand_options
from thresher.cli.text import estimate_text
from thresher.data.files.quarantine import read_quarantine
from thresher.pipeline.config import load_config
from thresher.planning.laws.laws_file import load_laws
from thresher.planning.plans.plan import load_plan
from thresher.sharded.parts import list_quarantines


def test_score_says_what_it_did_and_does_nothing_the_second_time(call: Call, stages: SimpleNamespace) -> None:
    again = call("score", stages.shards, "--scorer", "caption", "--out", stages.scores, "--json")
    result = json.loads(again.stdout)
    assert (result["pairs"], result["quarantined"], result["this_run"]["shards"]) == (NUM_PAIRS, 0, 0)
    assert again.exit_code == 0
    text = call("score", stages.shards, "--scorer", "caption", "--out", stages.scores).stdout
    assert text == f"{NUM_PAIRS} pairs of 1 shards have scores in {stages.scores}\n"


def test_a_bad_pool_is_scored_cut_and_counted(call: Call, tmp_path: Path) -> None:
    expected = write_bad_pool(tmp_path / "in")
    scored = call("score", tmp_path / "in", "--scorer", "caption", "--out", tmp_path / "scores")
    assert scored.exit_code == 1, "shards that cannot be read leave something undone"
    assert "warning: 3 of 5 shards gave no pairs" in scored.stderr
    assert "Traceback" not in scored.stderr
    refused = [
        row for part in list_quarantines(tmp_path / "scores") for row in read_quarantine(part).to_pylist()
    ]
    reasons = {row["key"] or Path(row["shard"]).name: row["reason"] for row in refused}
    for case, outcome in expected.items():
        if outcome == OK or case in DECODE_CASES:  # captions are scored without decoding
            assert case not in reasons
        else:
            assert outcome in reasons[case], case
    assert f"{len(refused)} in quarantine:" in scored.stdout

    cut = call(
        "cut",
        tmp_path / "scores",
        "--by",
        "caption",
        "--edges",
        "0.5,1",
        "--out",
        tmp_path / "pools",
        "--json",
    )
    assert cut.exit_code == 0
    result = json.loads(cut.stdout)
    assert result["dropped"] == []
    captions = pq.read_table(tmp_path / "pools/pools.parquet").column("caption").to_pylist()
    assert len(captions) == sum(pool["num_samples"] for pool in result["pools"])
    assert "<script>alert('caption')</script> & <b>bold</b>" in captions


def test_excluded_pairs_are_neither_scored_nor_cut(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "uids.txt").write_text(f"{7:032x}\n{8:032x}\n")
    exclude = ("--exclude", tmp_path / "uids.txt")
    scored = call("score", stages.shards, "--scorer", "caption", "--out", tmp_path / "s", *exclude, "--json")
    assert json.loads(scored.stdout)["pairs"] == NUM_PAIRS - 2
    call("cut", stages.scores, "--by", "caption", "--edges", "1", "--out", tmp_path / "p", *exclude)
    assert pq.read_table(tmp_path / "p/pools.parquet").num_rows == NUM_PAIRS - 2


def test_cut_prints_a_row_a_pool(call: Call, stages: SimpleNamespace) -> None:
    done = call("cut", stages.scores, "--by", "caption", "--edges", "0.5,1", "--out", stages.pools)
    header, *rows = done.stdout.splitlines()
    assert header.split()[:2] == ["pool", "pairs"]
    assert [row.split()[:2] for row in rows] == [[name, str(NUM_PAIRS // 2)] for name in POOLS]


def test_pools_are_cut_at_thresholds_as_well(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    done = call(
        "cut", stages.scores, "--by", "caption", "--thresholds", "0.3,0.1", "--out", tmp_path, "--json"
    )
    assert [pool["name"] for pool in json.loads(done.stdout)["pools"]] == [">=0.3", "0.1..0.3"]


def test_fit_prints_parameters_with_intervals_and_the_check(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    done = call("fit", stages.runs, "--bootstrap", "20", "--out", tmp_path / "laws.json")
    fitted = load_laws(tmp_path / "laws.json")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{fitted.best.law} law of zeroshot_error, fitted to 10 runs on 2 pools"
    first_words = [line.split()[0] for line in lines if line.strip()]
    assert {*fitted.best.shared, *POOLS, *(score.law for score in fitted.comparison)} <= set(first_words)
    assert "gamma was held at 1" in done.stdout
    assert "check runs (5): the laws are" in lines[-1]
    assert fitted.check.mae is not None
    assert fitted.check.mae < 0.01


def test_fit_without_check_runs_says_so(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    rows = [line for line in stages.runs.read_text().splitlines() if ",check," not in line]
    (tmp_path / "runs.csv").write_text("\n".join(rows))
    done = call(
        "fit", tmp_path / "runs.csv", "--bootstrap", "0", "--law", "power", "--out", tmp_path / "laws.json"
    )
    assert "no check runs" in done.stdout
    assert "tau" not in done.stdout


def test_held_parameters_keep_their_value(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    options = ("--bootstrap", "0", "--fix", "d=0.05", "--fix", "gamma=0.5", "--json")
    done = call("fit", stages.runs, *options, "--out", tmp_path / "laws.json")
    shared = json.loads(done.stdout)["fits"][0]["shared"]
    assert (shared["d"], shared["gamma"]) == pytest.approx((0.05, 0.5))
    assert "draws" not in json.loads(done.stdout)["fits"][0]


def test_plan_prints_the_choice_for_each_budget(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    done = call(
        "plan",
        stages.laws,
        "--pools",
        stages.pools,
        "--budget",
        "80",
        "--budget",
        "0.004M",
        "--out",
        tmp_path / "p.json",
    )
    made = load_plan(tmp_path / "p.json")
    assert [budget.samples_seen for budget in made.budgets] == [80, 4000]
    for budget, row in zip(made.budgets, done.stdout.splitlines()[1:], strict=False):
        assert budget.best in row
        assert budget.decision in done.stdout
    crossed = [f"{cross.after} is better than {cross.before}" for cross in made.crossovers]
    assert crossed
    assert all(sentence in done.stdout for sentence in crossed)


def test_results_as_json_are_the_files(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    done = call(
        "plan", stages.laws, "--pools", stages.pools, "--budget", "1k", "--out", tmp_path / "p.json", "--json"
    )
    assert json.loads(done.stdout) == json.loads((tmp_path / "p.json").read_text())
    cut = call("cut", stages.scores, "--by", "caption", "--edges", "0.5,1", "--out", stages.pools, "--json")
    assert json.loads(cut.stdout) == json.loads((stages.pools / "pools.json").read_text())


def test_subset_writes_the_choice_and_says_how_to_train(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    done = call("subset", stages.plan, "--budget", "4k", "--pools", stages.pools, "--out", tmp_path / "npy")
    assert "--train-num-samples" in done.stdout
    best = load_plan(stages.plan).budgets[-1].best
    uids = np.load(tmp_path / "npy/subset.npy")
    assert len(uids) == NUM_PAIRS // 2 * len(best.split(" + "))


def test_subset_copies_the_pairs_of_a_named_mix(call: Call, stages: SimpleNamespace, tmp_path: Path) -> None:
    done = call(
        *("subset", stages.plan, "--budget", "80", "--pools", stages.pools, "--candidate", "50-100%"),
        *(
            "--format",
            "shards",
            "--shards",
            stages.shards,
            "--pairs-per-shard",
            "8",
            "--out",
            tmp_path / "new",
        ),
        *("--index", tmp_path / "index", "--json"),
    )
    result = json.loads(done.stdout)
    assert (result["num_unique"], result["num_rows"]) == (20, 20)
    sizes = json.loads((tmp_path / "new/sizes.json").read_text())
    assert sorted(sizes.values()) == [4, 8, 8]


def test_planning_never_loads_torch(stages: SimpleNamespace, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from thresher.cli import app\n"
        "for line in sys.argv[1:]: app(line.split(), standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    lines = [
        f"cut {stages.scores} --by caption --edges 0.5,1 --out {tmp_path}/pools",
        f"fit {stages.runs} --bootstrap 0 --out {tmp_path}/laws.json",
        f"plan {tmp_path}/laws.json --pools {tmp_path}/pools --budget 80 --out {tmp_path}/plan.json",
        f"subset {tmp_path}/plan.json --budget 80 --pools {tmp_path}/pools --out {tmp_path}/subset",
        f"report {tmp_path}",
    ]
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 0


def test_init_writes_a_config_that_loads(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    assert call("init", path).exit_code == 0
    assert load_config(path).plan.budgets
    assert call("init", path).exit_code == 2
    assert call("init", path, "--force").exit_code == 0


def test_an_unquoted_pattern_behind_an_option_is_taken_apart(
    capsys: pytest.CaptureFixture[str], stages: SimpleNamespace, tmp_path: Path
) -> None:
    missing = tmp_path / "00001.tar"
    line = ["subset", stages.plan, "--budget", "80", "--pools", stages.pools, "--format", "shards"]
    line += ["--shards", stages.shards, missing, "--out", tmp_path / "new"]
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in line])
    assert left.value.code == 2
    assert f"1 of the 2 shards named are missing, the first is {missing}" in capsys.readouterr().err


def test_only_shards_are_taken_for_shards() -> None:
    words = "evaluate --data a.tar b.tar checkpoint --task retrieval x.tar --shards=c.tar d.tar"
    line = words.split()
    assert Counter(expand_options(line)) - Counter(line) == Counter({"--data": 1})
    assert expand_options(["score", "a.tar", "b.tar"]) == ["score", "a.tar", "b.tar"]


def test_an_estimate_is_a_row_a_stage_and_their_sum() -> None:
    rows = [
        {"stage": "score", "seconds": 42.0, "disk_bytes": 2_000, "flops": 3e12, "note": "10 pairs"},
        {"stage": "probe", "seconds": 93_000.0, "disk_bytes": 5e9, "flops": 4e12, "note": ""},
    ]
    lines = estimate_text(rows).splitlines()
    assert [line.split() for line in lines] == [
        ["stage", "time", "disk", "FLOPs"],
        ["score", "42", "s", "2", "kB", "3e+12"],
        ["probe", "25", "h", "50", "min", "5", "GB", "4e+12"],
        ["all", "25", "h", "51", "min", "5", "GB", "7e+12"],
        [],
        ["score:", "10", "pairs"],
    ]
