"""`thresher run` on a pool that is walked in seconds, then `evaluate` and `picks` on what it trained."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Call
from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.models.small import VIT
from tests.report.reading import Page
from tests.small_pool import contents, uid
from thresher.curate.pools.record import load_pools
from thresher.data.files.quarantine import read_quarantine
from thresher.pipeline.synthetic import write_demo_pool
from thresher.planning.laws.laws_file import load_laws
from thresher.planning.plans.plan import load_plan
from thresher.planning.plans.result import BudgetPlan, winner
from thresher.planning.runs.ledger import read_runs

PAIRS = 120
BATCH_SIZE = 16
SAMPLES = [32, 64, 96]
BUDGETS = [100, 500]
TRAINED = 64
CONFIG = f"""
workdir = "work"
device = "cpu"
[shards]
paths = ["pool"]
[score]
scorers = ["image", "caption"]
workers = 0
[cut]
by = "image"
edges = [0.5, 1.0]
[probe]
model = "{VIT}"
samples = {SAMPLES}
fractions = [1.0, 0.5]
batch_size = {BATCH_SIZE}
jobs = 1
precision = "fp32"
[evaluate]
zeroshot = ["test"]
[fit]
bootstrap = 10
[plan]
budgets = {BUDGETS}
[subset]
format = "parquet"
[train]
model = "{VIT}"
batch_size = {BATCH_SIZE}
samples_seen = {TRAINED}
precision = "fp32"
workers = 0
select = "independent"
criterion = "hard-learner"
filter_ratio = 0.5
[report]
title = "The whole way"
gallery = 2
"""


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    """Small models are fastest on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: {0})
        yield


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, call: Call) -> SimpleNamespace:
    """What a run left behind, of shards in which one image does not decode."""
    root = tmp_path_factory.mktemp("run")
    write_demo_pool(root, pool=PAIRS, curated=1, test=30, seed=0)
    write_tar(root / "pool" / "broken.tar", pair_members("broken", jpeg(1)[:200], "a dog", uid(0)))
    (root / "config.toml").write_text(CONFIG)
    done = call("run", root / "config.toml")
    assert done.exit_code == 0, done.stderr
    work = root / "work"
    return SimpleNamespace(
        work=work,
        config=root / "config.toml",
        done=done,
        pools=load_pools(work / "pools"),
        plan=load_plan(work / "plan.json"),
        planted=json.loads((root / "planted.json").read_text()),
    )


def last(walked: SimpleNamespace) -> BudgetPlan:
    return walked.plan.budgets[-1]


def test_every_pair_has_a_score_and_a_pool_or_a_reason(walked: SimpleNamespace) -> None:
    parts = [
        pq.read_table(path) for path in sorted((walked.work / "scores" / "parts").glob("?????-*.parquet"))
    ]
    scores = pa.concat_tables(part for part in parts if "image" in part.schema.names)
    assert set(scores["uid"].to_pylist()) == set(walked.planted)
    assert np.isfinite(np.column_stack([scores["image"], scores["caption_score"]])).all()
    assert walked.pools.sizes == {"0-50%": PAIRS // 2, "50-100%": PAIRS // 2}
    uids = [uid for pool in walked.pools.pools for uid in walked.pools.uids(pool.rank).to_pylist()]
    assert sorted(uids) == sorted(walked.planted)
    score_of = dict(zip(scores["uid"].to_pylist(), scores["image"].to_pylist(), strict=True))
    best, rest = ([score_of[uid] for uid in walked.pools.uids(rank).to_pylist()] for rank in (0, 1))
    assert min(best) >= max(rest)
    refused = read_quarantine(walked.work / "quarantine.parquet").to_pylist()
    assert [(row["uid"], row["stage"]) for row in refused] == [(uid(0), "score")]


def test_every_probe_is_measured_at_every_point(walked: SimpleNamespace) -> None:
    runs = read_runs(walked.work / "runs.jsonl")
    halves, both = [("fit", ["0-50%"]), ("fit", ["50-100%"])], [("check", ["0-50%", "50-100%"])]
    found = [(run.role, list(run.weights or [run.pool])) for run in runs]
    assert found == [trial for trial in halves + both + halves for _ in SAMPLES]
    assert [run.samples_seen for run in runs] == SAMPLES * 5
    assert all(0 < run.error <= 1 and run.flops > 0 for run in runs)
    assert [run.unique_samples for run in runs if run.pool == "0-50%"] == [60] * 3 + [30] * 3


def test_the_laws_are_of_the_pools_and_the_plan_of_the_budgets(walked: SimpleNamespace) -> None:
    laws = load_laws(walked.work / "laws.json")
    assert laws.pool_names == walked.pools.names
    assert len(laws.points) == 4 * len(SAMPLES)
    assert len(laws.check.points) == len(SAMPLES)
    assert [budget.samples_seen for budget in walked.plan.budgets] == BUDGETS
    assert walked.plan.pools == walked.pools.sizes
    for budget in walked.plan.budgets:
        chosen = winner(budget)
        assert len(budget.candidates) == 3
        assert sum(chosen.weights.values()) == pytest.approx(1)
        assert chosen.low <= chosen.predicted_error <= chosen.high
        assert chosen.expected_regret == min(one.expected_regret for one in budget.candidates)
        assert budget.decision in walked.done.stdout.replace("\n", " ")
    samples = sum(
        run.flops for run in read_runs(walked.work / "runs.jsonl") if run.samples_seen == SAMPLES[-1]
    )
    assert walked.plan.payback.probing_flops == pytest.approx(samples)


def test_the_subset_is_what_the_plan_chose(walked: SimpleNamespace) -> None:
    chosen = winner(last(walked))
    meta = json.loads((walked.work / "subset" / "meta.json").read_text())
    assert meta["samples_seen"] == last(walked).samples_seen == max(BUDGETS)
    assert meta["plan"] == {"candidate": last(walked).best, "predicted_error": chosen.predicted_error}
    table = pq.read_table(walked.work / "subset" / "subset.parquet")
    wanted = {uid for name in chosen.pools for uid in walked.pools.uids(name).to_pylist()}
    assert set(table["uid"].to_pylist()) == wanted
    assert table.num_rows == meta["num_unique"] == chosen.num_unique == len(wanted)
    assert table["repeats"].to_pylist() == [1] * len(wanted)  # a uniform mix


def test_the_model_that_was_trained_is_the_one_that_evaluate_measures(
    walked: SimpleNamespace, call: Call
) -> None:
    folder = walked.work / "train"
    (measured,) = json.loads((folder / "result.json").read_text())["measured"]
    assert measured["samples_seen"] == TRAINED
    assert measured["samples_scored"] == 2 * TRAINED
    lines = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    losses = [loss for line in lines for loss in line["loss"]]
    assert len(losses) == TRAINED // BATCH_SIZE
    assert all(math.isfinite(loss) for loss in losses)
    done = call("evaluate", folder, "--config", walked.config, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(measured["metrics"])


def test_what_training_picked_is_a_part_of_the_subset(
    walked: SimpleNamespace, call: Call, tmp_path: Path
) -> None:
    done = call("picks", walked.work / "train", "--out", tmp_path, "--format", "parquet", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == TRAINED
    picked, subset = (pq.read_table(path / "subset.parquet") for path in (tmp_path, walked.work / "subset"))
    assert sum(picked["repeats"].to_pylist()) == TRAINED
    assert set(picked["uid"].to_pylist()) <= set(subset["uid"].to_pylist())


def test_the_report_names_the_winners(walked: SimpleNamespace) -> None:
    page = Page((walked.work / "report.html").read_text())
    assert "The whole way" in page.text
    for budget in walked.plan.budgets:
        assert budget.decision in page.text
    assert str(walked.work / "report.html") in walked.done.stdout


def test_a_second_run_does_nothing(walked: SimpleNamespace, call: Call) -> None:
    def times() -> dict[str, int]:
        work = walked.work
        files = [work / "runs.jsonl", *(work / "scores" / "parts").iterdir(), *(work / "pools").iterdir()]
        files += [*work.glob("trials/*/*/*"), *(work / "train").iterdir()]
        return {str(file): file.stat().st_mtime_ns for file in files}

    before, bytes_before = times(), contents(walked.work)
    again = call("run", walked.config)
    assert again.exit_code == 0, again.stderr
    assert again.stdout == walked.done.stdout
    assert contents(walked.work) == bytes_before
    assert times() == before
