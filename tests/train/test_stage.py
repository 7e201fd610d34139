import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.models.small import TINY, VIT
from tests.small_pool import contents, uid, write_shards
from thresher.curate.subset.write import write_subset
from thresher.data import shard_index
from thresher.data.files.lock import folder_lock
from thresher.data.shard_index import Marks, check_unchanged
from thresher.errors import InputError
from thresher.models.evaluation.evaluate import evaluate
from thresher.models.evaluation.sets import load_tasks, prepare_tasks, tasks_digest
from thresher.models.evaluation.settings import Evaluate
from thresher.models.saved import WEIGHTS_FILE
from thresher.models.towers import embed_images, load_towers
from thresher.pipeline.config import Config, load_config, load_training_config
from thresher.pipeline.synthetic import draw_pairs
from thresher.pipeline.synthetic import write_shards as write_scenes
from thresher.train import job as training_job
from thresher.train import stage as training
from thresher.train.job import RESULT_FILE, Job, run_job
from thresher.train.loop import STATE_FILE, train
from thresher.train.recipe import Recipe
from thresher.train.settings import Filter
from thresher.train.stage import (
    evaluate_checkpoint,
    read_subset,
    train_filter,
    train_from_config,
    train_network,
)

RECIPE = Recipe(model=TINY, batch_size=8, warmup_samples=16, precision="fp32")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return tuple(write_shards(tmp_path_factory.mktemp("pool"), (20, 12)))


@pytest.fixture(scope="module")
def eval_shard(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("eval")
    write_scenes(folder, draw_pairs(30, 6, {"clean": 1.0}), prefix="test")
    return str(folder / "00000.tar")


def make_job(shards: tuple[str, ...], cache: Path, **settings: object) -> Job:
    job = Job(
        shards=shards,
        uids=None,
        repeats=None,
        recipe=RECIPE,
        samples_seen=96,
        seed=0,
        tasks=None,
        device="cpu",
        cache=cache,
    )
    return dataclasses.replace(job, **settings)


@pytest.fixture(scope="module")
def trained(shards: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    folder = tmp_path_factory.mktemp("trained")
    job = make_job(shards, folder / "cache")
    return job, run_job(job, folder / "model")


def refuse_to_train(*_: object, **__: object) -> None:
    raise RuntimeError("it trains")


def test_a_finished_folder_loads_in_stock_open_clip(trained: tuple[Job, Path]) -> None:
    model = open_clip.create_model(f"local-dir:{trained[1]}")
    ours = load_towers(f"local-dir:{trained[1]}")
    assert torch.equal(model.logit_bias, ours.model.logit_bias)
    assert model.logit_bias.item() != -10  # it was trained


def test_a_finished_folder_has_no_checkpoint_left(trained: tuple[Job, Path]) -> None:
    names = {path.name for path in trained[1].iterdir()}
    assert STATE_FILE not in names
    assert {RESULT_FILE, WEIGHTS_FILE, "quarantine.parquet", "trace.jsonl"} <= names


def test_a_finished_job_is_not_run_again(trained: tuple[Job, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_job, "train", refuse_to_train)
    before = {path: path.stat().st_mtime_ns for path in trained[1].iterdir()}
    assert run_job(*trained) == trained[1]
    assert {path: path.stat().st_mtime_ns for path in trained[1].iterdir()} == before


def test_the_same_job_gives_the_same_bytes(trained: tuple[Job, Path], tmp_path: Path) -> None:
    run_job(dataclasses.replace(trained[0], cache=tmp_path / "cache"), tmp_path / "model")
    assert contents(tmp_path / "model") == contents(trained[1])


def test_a_run_on_shards_that_changed_is_no_finished_run(tmp_path: Path) -> None:
    """After it, between a stop and its going on, and while it runs."""
    shards = tuple(write_shards(tmp_path / "pool", (20, 12)))
    job = make_job(shards, tmp_path / "cache")
    run_job(job, tmp_path / "model")
    before = Path(shards[1]).stat()
    os.utime(shards[1], ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(InputError, match=r"holds another training run \(it differs in shards\)"):
        run_job(job, tmp_path / "model")

    def change_then_check(shards: tuple[str, ...], marks: Marks) -> None:
        os.utime(shards[0], ns=(1, 1))
        check_unchanged(shards, marks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_job, "check_unchanged", change_then_check)
        patch.setattr(training_job, "save_model", lambda *_, **__: pytest.fail("it is written all the same"))
        with pytest.raises(InputError, match=r"shards changed while they were trained on, .* another folder"):
            run_job(job, tmp_path / "other")
    with pytest.raises(InputError, match=r"holds another unfinished training run \(it differs in shards\)"):
        run_job(job, tmp_path / "other")


@pytest.mark.parametrize("settings", [{"seed": 1}, {"samples_seen": 104}, {"exclude": frozenset({uid(1)})}])
def test_a_folder_of_another_job_is_not_touched(
    trained: tuple[Job, Path], settings: dict[str, object]
) -> None:
    (name,) = settings
    with pytest.raises(InputError, match=rf"holds another training run \(it differs in {name}\)"):
        run_job(dataclasses.replace(trained[0], **settings), trained[1])


def test_a_job_that_was_stopped_goes_on_and_gives_the_same_bytes(
    trained: tuple[Job, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the training itself, before its result was written."""
    job = dataclasses.replace(trained[0], checkpoint_seconds=0)
    monkeypatch.setattr(training_job, "save_model", refuse_to_train)
    with pytest.raises(RuntimeError, match="it trains"):
        run_job(job, tmp_path / "model")
    assert (tmp_path / "model" / STATE_FILE).exists()
    with pytest.raises(InputError, match=r"holds another unfinished training run \(it differs in seed\)"):
        run_job(dataclasses.replace(job, seed=1), tmp_path / "model")
    monkeypatch.undo()
    run_job(job, tmp_path / "model")
    assert contents(tmp_path / "model") == contents(trained[1])


def test_a_subset_is_drawn_by_its_repeats(
    shards: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def look(recipe: object, pairs: object, *_: object, **__: object) -> None:
        seen["rows"], seen["repeats"] = pairs.rows.tolist(), pairs.repeats.tolist()
        raise RuntimeError

    monkeypatch.setattr(training_job, "train", look)
    uids = tuple(uid(n) for n in (4, 30, 2, 7, 9, 11, 25, 13, 1))
    job = make_job(shards, tmp_path / "cache", uids=uids, repeats=np.array([2, 1, 1, 1, 1, 1, 1, 1, 3]))
    with pytest.raises(RuntimeError):
        run_job(job, tmp_path / "model")
    assert seen == {"rows": list(range(9)), "repeats": [2, 1, 1, 1, 1, 1, 1, 1, 3]}


def test_a_pair_that_does_not_decode_is_in_the_quarantine_and_the_others_are_trained_on(
    tmp_path: Path,
) -> None:
    members = [
        m
        for n in range(12)
        for m in pair_members(str(n), jpeg(n)[: 200 if n == 3 else None], "a dog", uid(n))
    ]
    write_tar(tmp_path / "0.tar", members)
    uids = tuple(uid(n) for n in range(12))
    job = make_job(
        (str(tmp_path / "0.tar"),), tmp_path / "cache", uids=uids, repeats=np.ones(12, dtype=np.int64)
    )
    folder = run_job(job, tmp_path / "model")
    (row,) = pq.read_table(folder / "quarantine.parquet").to_pylist()
    assert (row["uid"], row["stage"], row["key"]) == (uid(3), "decode", "3")


def test_what_the_model_reaches_is_measured_at_the_end(
    shards: tuple[str, ...], eval_shard: str, tmp_path: Path
) -> None:
    tasks = prepare_tasks(Evaluate(zeroshot=(eval_shard,)), load_towers(TINY), tmp_path / "cache")
    folder = run_job(make_job(shards, tmp_path / "cache", tasks=tasks), tmp_path / "model")
    (measured,) = json.loads((folder / RESULT_FILE).read_text())["measured"]
    again = evaluate(load_towers(f"local-dir:{folder}"), load_tasks(tasks), precision="fp32")
    assert measured["metrics"] == pytest.approx(again)
    assert measured["samples_seen"] == 96


def config_file(folder: Path, shards: tuple[str, ...], eval_shard: str, more: str = "") -> Config:
    text = f"""
workdir = "work"
device = "cpu"
[shards]
paths = {json.dumps(shards)}
[score]
scorers = ["caption"]
[cut]
by = "caption_score"
[evaluate]
zeroshot = [{json.dumps(eval_shard)}]
[plan]
budgets = [64, 96]
[filter]
shards = [{json.dumps(shards[1])}]
model = "{TINY}"
samples_seen = 48
batch_size = 8
crop = 1
{more}
"""
    (folder / "config.toml").write_text(text)
    return load_config(folder / "config.toml")


TRAIN = f"""
[train]
model = "{VIT}"
batch_size = 8
precision = "fp32"
"""


def test_the_filter_is_trained_on_the_curated_pairs(
    shards: tuple[str, ...], eval_shard: str, tmp_path: Path
) -> None:
    config = config_file(tmp_path, shards, eval_shard)
    folder = train_filter(config, config.filter, device="cpu", progress=lambda _: None)
    assert folder == tmp_path / "work" / "filter"
    assert json.loads((folder / RESULT_FILE).read_text())["measured"][0]["samples_seen"] == 48
    assert load_towers(TINY, pretrained=str(folder / WEIGHTS_FILE)).model.logit_bias is not None


def test_a_config_of_training_alone_trains_on_all_pairs_and_measures_nothing(
    shards: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"device = 'cpu'\n[shards]\npaths = {json.dumps(shards)}\n{TRAIN}samples_seen = 48\n")
    said: list[str] = []
    folder = train_from_config(load_training_config(path), progress=said.append)
    assert folder == tmp_path / "work" / "train"
    assert json.loads((folder / RESULT_FILE).read_text())["measured"][0]["metrics"] == {}
    assert said == [f"trained {VIT} on 48 samples"]


def manifest(repeats: dict[int, int]) -> pa.Table:
    columns = {"uid": [uid(n) for n in repeats], "pool": ["a"] * len(repeats)}
    return pa.table({**columns, "repeats": pa.array(repeats.values(), pa.int32())})


DRAWN = {
    4: 2,
    30: 1,
    2: 3,
    **dict.fromkeys((5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23), 1),
}


@pytest.mark.parametrize("format", ["npy", "parquet", "shards"])
def test_a_config_trains_on_its_subset_for_the_budget_of_the_subset(
    shards: tuple[str, ...], eval_shard: str, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path, shards, eval_shard, TRAIN)
    write_subset(manifest(DRAWN), tmp_path / "work" / "subset", format=format, shards=shards, samples_seen=96)
    jobs: list[Job] = []
    monkeypatch.setattr(training, "run_job", lambda job, folder: (jobs.append(job), run_job(job, folder))[1])
    said: list[str] = []
    folder = train_from_config(config, progress=said.append)
    assert folder == tmp_path / "work" / "train"
    assert jobs[0].samples_seen == 96
    assert dict(zip(jobs[0].uids, jobs[0].repeats.tolist(), strict=True)) == {
        uid(n): r for n, r in DRAWN.items()
    }
    assert said[0].startswith(f"trained {VIT} on 96 samples: zeroshot_error ")


@pytest.mark.parametrize("format", ["npy", "parquet", "shards"])
def test_a_subset_of_any_format_reads_the_same(shards: tuple[str, ...], tmp_path: Path, format: str) -> None:
    write_subset(manifest(DRAWN), tmp_path, format=format, shards=shards, samples_seen=96)
    uids, repeats, budget = read_subset(tmp_path)
    assert dict(zip(uids, repeats.tolist(), strict=True)) == {uid(n): r for n, r in DRAWN.items()}
    assert budget == 96


def test_without_a_subset_all_pairs_are_trained_on_and_the_length_has_to_be_given(
    shards: tuple[str, ...], eval_shard: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="there is no subset to take the length from; set"):
        train_from_config(config_file(tmp_path, shards, eval_shard, TRAIN), progress=print)
    config = config_file(tmp_path, shards, eval_shard, TRAIN + "samples_seen = 16\n")
    folder = train_from_config(config, progress=lambda _: None)
    assert json.loads((folder / RESULT_FILE).read_text())["measured"][0]["samples_seen"] == 16


def test_a_config_without_a_training_section_says_so(
    shards: tuple[str, ...], eval_shard: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"the config has no section \[train\]; add one"):
        train_from_config(config_file(tmp_path, shards, eval_shard), progress=print)


def test_a_folder_without_a_subset_says_so(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(InputError, match="holds no subset; run `thresher subset` again"):
        read_subset(tmp_path)


def test_a_checkpoint_is_evaluated_by_folder_or_by_file(
    trained: tuple[Job, Path], shards: tuple[str, ...], eval_shard: str, tmp_path: Path
) -> None:
    section = config_file(tmp_path, shards, eval_shard).evaluate
    folder = tmp_path / "model"
    shutil.copytree(trained[1], folder, ignore=shutil.ignore_patterns(RESULT_FILE))
    by_folder = evaluate_checkpoint(folder, evaluate=section, device="cpu", work=tmp_path)
    file = trained[1] / WEIGHTS_FILE
    by_file = evaluate_checkpoint(file, evaluate=section, device="cpu", work=tmp_path, model=TINY)
    assert by_folder == by_file
    assert set(by_folder) == {"zeroshot_acc1", "zeroshot_acc5"}
    with pytest.raises(InputError, match="is a file; say which open_clip model it is, with --model"):
        evaluate_checkpoint(file, evaluate=section, device="cpu", work=tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_is_measured_again_in_the_precision_of_its_training(
    trained: tuple[Job, Path],
    shards: tuple[str, ...],
    eval_shard: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained[1], folder)
    result = json.loads((folder / RESULT_FILE).read_text())
    result["settings"]["precision"] = precision
    (folder / RESULT_FILE).write_text(json.dumps(result))
    asked = []
    monkeypatch.setattr(training, "measure", lambda *_, precision: asked.append(precision) or {})
    section = config_file(tmp_path, shards, eval_shard).evaluate
    evaluate_checkpoint(folder, evaluate=section, device="cpu", work=tmp_path)
    assert asked == [precision]
    (folder / RESULT_FILE).write_text("{")
    with pytest.raises(InputError, match=r"result\.json is damaged .*; train again"):
        evaluate_checkpoint(folder, evaluate=section, device="cpu", work=tmp_path)


def test_training_makes_true_pairs_more_alike_than_others(tmp_path: Path) -> None:
    """The whole way from shards to a checkpoint, on scenes that a model learns in a few steps."""
    write_scenes(tmp_path, draw_pairs(64, 1, {"clean": 1.0}), prefix="pool")
    recipe = dataclasses.replace(RECIPE, batch_size=16, lr=4e-3)
    shard = (str(tmp_path / "00000.tar"),)
    folder = run_job(
        make_job(shard, tmp_path / "cache", recipe=recipe, samples_seen=1600), tmp_path / "model"
    )
    tasks = load_tasks(
        prepare_tasks(
            Evaluate(metric="retrieval_error", retrieval=shard), load_towers(TINY), tmp_path / "cache"
        )
    )
    after = evaluate(load_towers(f"local-dir:{folder}"), tasks)["retrieval_mrr"]
    before = evaluate(load_towers(TINY, seed=0), tasks)["retrieval_mrr"]
    assert after > 2 * before


def test_embeddings_of_the_folder_are_those_of_the_trained_model(
    trained: tuple[Job, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = []
    monkeypatch.setattr(
        training_job, "train", lambda *given, **named: kept.append(train(*given, **named)) or kept[0]
    )
    folder = run_job(dataclasses.replace(trained[0], cache=tmp_path), tmp_path / "model")
    images = np.random.default_rng(0).integers(0, 256, size=(4, 32, 32, 3), dtype=np.uint8)
    loaded = embed_images(load_towers(f"local-dir:{folder}"), images, precision="fp32")
    assert loaded == pytest.approx(embed_images(kept[0][0], images, precision="fp32"), abs=1e-6)


def test_pairs_excluded_after_the_subset_was_written_are_not_trained_on(
    shards: tuple[str, ...], eval_shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path, shards, eval_shard, TRAIN)
    write_subset(manifest(DRAWN), tmp_path / "work" / "subset", format="npy", shards=shards, samples_seen=96)
    monkeypatch.setattr(training, "read_exclude", lambda _: frozenset({uid(2), uid(5)}))
    jobs: list[Job] = []

    def look(job: Job, _: Path) -> None:
        jobs.append(job)
        raise RuntimeError

    monkeypatch.setattr(training, "run_job", look)
    with pytest.raises(RuntimeError):
        train_from_config(config, progress=print)
    left = {uid(n): r for n, r in DRAWN.items() if n not in (2, 5)}
    assert dict(zip(jobs[0].uids, jobs[0].repeats.tolist(), strict=True)) == left


def test_a_finished_model_is_measured_again_where_the_evaluation_set_changed(
    trained: tuple[Job, Path], eval_shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained[1], tmp_path / "model")
    monkeypatch.setattr(training_job, "train", refuse_to_train)
    tasks = prepare_tasks(Evaluate(zeroshot=(eval_shard,)), load_towers(TINY), tmp_path / "cache")
    folder = run_job(dataclasses.replace(trained[0], tasks=tasks), tmp_path / "model")
    content = json.loads((folder / RESULT_FILE).read_text())
    expected = evaluate(load_towers(f"local-dir:{folder}"), load_tasks(tasks), precision="fp32")
    assert content["measured"][0]["metrics"] == expected
    assert content["tasks"] == tasks_digest(tasks)


def test_two_trainings_into_one_folder_are_refused(trained: tuple[Job, Path]) -> None:
    with folder_lock(trained[1]), pytest.raises(InputError, match="another run is writing into"):
        run_job(*trained)


def test_numbers_in_the_message_are_what_was_seen(shards: tuple[str, ...], tmp_path: Path) -> None:
    """Steps are whole: 10 samples in steps of 8 are one step; and a network that is there is not trained."""
    section = Filter(shards=(shards[1],), model=TINY, samples_seen=10, batch_size=8)
    said: list[str] = []
    for _ in range(2):
        folder = train_network(
            section, tmp_path / "dfn", device="cpu", cache=tmp_path / "cache", progress=said.append
        )
    assert said == [
        f"trained {TINY} on 8 samples (10 in steps of 8)",
        f"{TINY} was already trained on 8 samples (10 in steps of 8)",
    ]
    saved = torch.load(folder / WEIGHTS_FILE, weights_only=True)
    assert saved["samples_seen"] == 8
    path = tmp_path / "config.toml"
    path.write_text(f"device = 'cpu'\n[shards]\npaths = {json.dumps(shards)}\n{TRAIN}samples_seen = 20\n")
    said.clear()
    for _ in range(2):
        train_from_config(load_training_config(path), progress=said.append)
    assert said == [
        f"trained {VIT} on 16 samples (20 in steps of 8)",
        f"{VIT} was already trained on 16 samples (20 in steps of 8)",
    ]


def test_a_training_run_asks_each_shard_for_its_state_at_its_start_and_at_its_end(
    shards: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    state = shard_index.state_of_shard
    monkeypatch.setattr(shard_index, "state_of_shard", lambda shard: (asked.append(shard), state(shard))[1])
    run_job(make_job(shards, tmp_path / "cache"), tmp_path / "model")
    assert sorted(asked) == sorted([*shards] * 2)
