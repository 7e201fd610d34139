"""The commands that load a model, on a few pairs and the smallest model."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Call
from tests.small_pool import write_shards
from thresher.planning.runs.ledger import read_runs

CONFIG = """
workdir = "work"
device = "cpu"
[shards]
paths = ["pool/00000.tar"]
[score]
scorers = ["caption"]
[cut]
by = "caption_score"
edges = [0.5, 1.0]
[probe]
model = "thresher-tiny-32"
samples = [16]
fractions = [1.0]
checks = []
batch_size = 8
[evaluate]
metric = "retrieval_error"
retrieval = ["pool/00001.tar"]
[plan]
budgets = [64]
[train]
model = "thresher-tiny-32"
batch_size = 8
samples_seen = 16
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, call: Call) -> SimpleNamespace:
    """A config, its shards and the pools that it cuts."""
    root = tmp_path_factory.mktemp("small")
    pool, test = write_shards(root / "pool", (24, 6))
    (root / "config.toml").write_text(CONFIG)
    call("score", pool, "--scorer", "caption", "--out", root / "work/scores")
    call("cut", root / "work/scores", "--by", "caption", "--edges", "0.5,1", "--out", root / "work/pools")
    return SimpleNamespace(root=root, config=root / "config.toml", pool=pool, test=test, work=root / "work")


@pytest.fixture(scope="module")
def checkpoint(small: SimpleNamespace) -> Path:
    """A folder with an untrained model."""
    from thresher.models.saved import save_model
    from thresher.models.towers import load_towers

    save_model(load_towers("thresher-tiny-32"), small.root / "untrained", sigmoid=True, samples_seen=0)
    return small.root / "untrained"


def test_evaluate_measures_a_checkpoint_folder(call: Call, small: SimpleNamespace, checkpoint: Path) -> None:
    done = call("evaluate", checkpoint, "--data", small.test, "--task", "retrieval", "--json")
    assert done.exit_code == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert 0 <= metrics["image_to_text_R@1"] <= metrics["image_to_text_R@5"] <= 1
    table = call("evaluate", checkpoint, "--config", small.config, "--device", "cpu").stdout
    shown = dict(line.split() for line in table.splitlines())
    assert shown["image_to_text_R@5"] == f"{100 * metrics['image_to_text_R@5']:.1f}%"


def test_evaluate_asks_for_the_model_of_a_file_of_weights(
    call: Call, small: SimpleNamespace, checkpoint: Path
) -> None:
    weights = next(checkpoint.glob("*.bin"))
    data = ("--data", small.test, "--task", "retrieval")
    assert "--model" in call("evaluate", weights, *data).stderr
    named = call("evaluate", weights, *data, "--model", "thresher-tiny-32", "--json")
    assert named.stdout == call("evaluate", checkpoint, *data, "--json").stdout


def test_evaluate_names_the_pair_without_a_label(
    call: Call, small: SimpleNamespace, checkpoint: Path
) -> None:
    done = call("evaluate", checkpoint, "--data", small.test, "--label-key", "kind")
    assert "has no label 'kind'" in done.stderr
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_scoring_by_random_weights_is_said(call: Call, small: SimpleNamespace, tmp_path: Path) -> None:
    line = ("score", small.test, "--scorer", "clip:model=thresher-tiny-32,device=cpu", "--workers", "0")
    done = call(*line, "--out", tmp_path, "--json")
    assert done.exit_code == 0
    assert "warning: the column clip comes from random weights" in done.stderr
    assert "random weights" in json.loads(done.stdout)["status"][0]


@pytest.mark.slow
def test_probe_fills_the_ledger_once(call: Call, small: SimpleNamespace) -> None:
    line = ("probe", small.work / "pools", "--config", small.config, "--out", small.work / "runs.jsonl")
    done = call(*line, "--jobs", "1", "--seed", "3", "--json")
    assert done.exit_code == 0, done.stderr
    runs = json.loads(done.stdout)
    assert [(run["pool"], run["seed"], run["samples_seen"]) for run in runs] == [
        ("0-50%", 3, 16),
        ("50-100%", 3, 16),
    ]
    assert done.stderr.count("retrieval_error") == 2
    again = call(*line, "--jobs", "1", "--seed", "3")
    assert again.stdout.startswith("2 measurements in")
    assert len(read_runs(small.work / "runs.jsonl")) == 2


@pytest.mark.slow
def test_train_leaves_a_checkpoint_that_evaluate_takes(call: Call, small: SimpleNamespace) -> None:
    done = call("train", small.config, "--json")
    assert done.exit_code == 0, done.stderr
    folder = json.loads(done.stdout)["checkpoint"]
    assert folder == str(small.work / "train")
    measured = json.loads(call("evaluate", folder, "--config", small.config, "--json").stdout)
    assert f"{1 - (measured['image_to_text_R@1'] + measured['text_to_image_R@1']) / 2:.1%}" in done.stderr


@pytest.mark.slow
def test_train_chooses_its_batches_and_picks_makes_a_subset_of_them(
    call: Call, small: SimpleNamespace, tmp_path: Path
) -> None:
    """The options stand in place of keys of [train]."""
    line = ("train", small.config, "--out", tmp_path / "model", "--select", "joint", "--chunks", "2")
    done = call(*line, "--criterion", "hard-learner", "--filter-ratio", "0.5", "--json")
    assert done.exit_code == 0, done.stderr
    assert "joint at f=0.5 costs 1.7x a uniform step with thresher-tiny-32" in done.stderr
    picked = call("picks", tmp_path / "model", "--out", tmp_path / "picked", "--json")
    assert json.loads(picked.stdout)["rows"] == 16
    assert (tmp_path / "picked" / "subset.npy").exists()
    assert call("picks", tmp_path / "model", "--out", tmp_path / "picked").stdout.endswith(
        f"16 draws, in {tmp_path / 'picked'}\n"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--select", "best"), "select = 'best': input should be 'uniform', 'independent' or 'joint'"),
        (("--select", "joint"), "criterion 'learnability' needs a reference model; name one"),
        (("--loss", "rho"), "loss 'rho' needs a reference model; name one"),
        (("--select", "joint", "--filter-ratio", "1"), "filter_ratio = 1"),
        (
            ("--select", "joint", "--criterion", "hard-learner", "--flexi", "8"),
            "cannot work with two patch sizes",
        ),
    ],
)
def test_options_of_train_that_do_not_go_together_are_answered_in_a_sentence(
    call: Call, small: SimpleNamespace, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    done = call("train", small.config, "--out", tmp_path / "model", *options)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert sentence in done.stderr


def test_picks_of_a_folder_without_any_are_refused(call: Call, tmp_path: Path) -> None:
    done = call("picks", tmp_path, "--out", tmp_path / "picked")
    assert done.exit_code == 2
    assert "holds no picks (picks.uids.parquet is absent)" in done.stderr
    done = call("picks", tmp_path, "--out", tmp_path / "picked", "--format", "shards")
    assert done.exit_code == 2
    assert "picks are written as npy or parquet" in done.stderr


@pytest.mark.slow
def test_a_dry_run_says_what_each_stage_costs(call: Call, small: SimpleNamespace) -> None:
    config = small.config.with_name("longer.toml")
    config.write_text(small.config.read_text().replace("samples = [16]", "samples = [16, 32, 48, 64]"))
    done = call("run", config, "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {"score", "probe", "train"} <= {row["stage"] for row in rows}
    assert all(row["seconds"] >= 0 and row["disk_bytes"] >= 0 for row in rows)
