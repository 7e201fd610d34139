import json
from statistics import mean

import pytest

from tests.planning.runs.importers.made import datacomp_run, open_clip_run, params, task_scores, zero_shot
from thresher.errors import InputError
from thresher.planning.runs.importers.datacomp import TASKS, TASKS_18
from thresher.planning.runs.importers.formats import import_runs

SUPPLY = {"pool": "0-30%", "unique_samples": "38.4M"}


def imported(source, **arguments):
    return import_runs([source], format="datacomp", **{"supply": SUPPLY, **arguments})


def test_there_are_38_tasks_and_18_of_them_are_those_of_the_paper():
    assert len(TASKS) == 38
    assert len(set(TASKS_18)) == 18
    assert set(TASKS_18) < set(TASKS)


def test_a_run_is_measured_by_imagenet_unless_told_otherwise(tmp_path):
    datacomp_run(tmp_path / "medium")
    (run,) = imported(tmp_path)
    accuracy = task_scores()["ImageNet 1k"]
    assert (run.error, run.metric) == (pytest.approx(1 - accuracy), "imagenet1k_error")
    assert (run.run, run.samples_seen, run.final, run.replacement) == ("medium", 12_800_000, True, True)
    assert (run.pool, run.unique_samples, run.model) == ("0-30%", 38_400_000, "ViT-B-32")
    assert run.metrics == task_scores()


@pytest.mark.parametrize(("metric", "tasks"), [("average-18", TASKS_18), ("average-38", tuple(TASKS))])
def test_the_averages_are_means_over_their_tasks(tmp_path, metric, tasks):
    datacomp_run(tmp_path / "medium")
    (run,) = imported(tmp_path, metric=metric)
    assert run.error == pytest.approx(1 - mean(task_scores()[task] for task in tasks), abs=1e-12)
    assert run.metric == f"{metric}_error"


@pytest.mark.parametrize("metric", ["ImageNet 1k", "imagenet1k", "1-imagenet1k"])
def test_a_task_goes_by_its_key_or_its_name(tmp_path, metric):
    datacomp_run(tmp_path / "medium")
    assert imported(tmp_path, metric=metric)[0].error == pytest.approx(1 - task_scores()["ImageNet 1k"])


def test_the_key_that_flickr_had_in_another_release_is_known(tmp_path):
    path = datacomp_run(tmp_path / "medium")
    old, new = TASKS["Flickr"]
    path.write_text(
        path.read_text().replace(old, new).replace('"dataset": "Flickr"', '"dataset": "Flickr30k"')
    )
    assert imported(tmp_path, metric="average-18")[0].error == pytest.approx(
        1 - mean(task_scores()[task] for task in TASKS_18)
    )


@pytest.mark.parametrize("way", ["left out", "null", "nan"])
def test_a_missing_task_is_an_error_never_an_accuracy_of_zero(tmp_path, way):
    scores = task_scores()
    scores["MSCOCO"] = {"null": None, "nan": float("nan")}.get(way)
    if way == "left out":
        del scores["MSCOCO"]
    path = datacomp_run(tmp_path / "medium", scores)
    expected = "MSCOCO" if way != "nan" else "mscoco.*main_metric is nan"
    for metric in ("average-18", "average-38", "MSCOCO"):
        with pytest.raises(InputError, match=rf"eval_results\.jsonl.*{expected}"):
            imported(path, metric=metric)
    if way != "nan":
        assert imported(path)[0].error < 1


def test_several_missing_tasks_are_counted(tmp_path):
    path = datacomp_run(tmp_path / "medium", {"ImageNet 1k": 0.3})
    with pytest.raises(
        InputError, match="no main metric of task 'CIFAR-10' and 16 more; evaluate the model on them"
    ):
        imported(path, metric="average-18")
    with pytest.raises(
        InputError, match="no main metric of task 'average'; name a task, or one of average-18"
    ):
        imported(path, metric="average")


def test_the_pickle_beside_the_results_is_never_read(tmp_path):
    path = datacomp_run(tmp_path / "medium")
    path.with_name("info.pkl").chmod(0)
    assert len(imported(tmp_path)) == 1


def test_published_results_without_params_need_the_samples_seen(tmp_path):
    path = datacomp_run(tmp_path / "medium_scale", settings=None, name="results.jsonl")
    with pytest.raises(
        InputError, match=r"no params\.txt lies beside it; give --samples-seen \(12\.8M, 128M"
    ):
        imported(path)
    (run,) = imported(path, supply={**SUPPLY, "samples_seen": "128M", "model": "ViT-B-32", "final": True})
    assert (run.samples_seen, run.final) == (128_000_000, True)


def test_checkpoints_are_mid_run_points_of_their_run(tmp_path):
    folder = tmp_path / "top10"
    for epoch in (2, 4):
        datacomp_run(folder, name=f"eval_results_epoch_{epoch}_step_-1.jsonl")
    (last,) = imported(tmp_path)
    assert (last.samples_seen, last.final) == (12_800_000, True)
    early, late = imported(tmp_path, all_points=True)
    assert (early.samples_seen, early.final, early.run) == (6_400_000, False, "top10/epoch_2_step_-1")
    assert late == last


def test_the_results_of_the_whole_run_go_before_those_of_checkpoints(tmp_path):
    datacomp_run(tmp_path / "run", {"ImageNet 1k": 0.2}, name="eval_results_epoch_4_step_-1.jsonl")
    datacomp_run(tmp_path / "run", {"ImageNet 1k": 0.3})
    assert imported(tmp_path)[0].error == pytest.approx(0.7)


def test_a_checkpoint_of_a_step_needs_the_batch_size(tmp_path):
    path = datacomp_run(tmp_path / "run", name="eval_results_epoch_-1_step_1000.jsonl")
    with pytest.raises(InputError, match="checkpoint of a step; give the batch size"):
        imported(path)
    (run,) = imported(path, samples_per_step=4096)
    assert (run.samples_seen, run.final) == (4_096_000, False)


def test_one_task_with_two_results_is_refused(tmp_path):
    path = datacomp_run(tmp_path / "run")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0], ""]))
    assert imported(path)[0].error == pytest.approx(1 - task_scores()["ImageNet 1k"])
    line = json.loads(lines[0])
    line["metrics"]["main_metric"] = 0.99
    path.write_text("\n".join([*lines, json.dumps(line), ""]))
    with pytest.raises(
        InputError, match="row 41: task 'Caltech-101' has two different results; remove one line"
    ):
        imported(path)


def test_results_of_open_clip_are_sent_to_their_own_format(tmp_path):
    path = open_clip_run(tmp_path / "run", [zero_shot(0.2)])
    with pytest.raises(InputError, match=r"row 1: has no `key` and `metrics`.*--format open_clip"):
        imported(path)


def test_runs_with_other_settings_have_other_recipes(tmp_path):
    datacomp_run(tmp_path / "a")
    datacomp_run(tmp_path / "b", settings=params(lr=0.001, batch_size=1024))
    a, b = imported(tmp_path)
    assert (a.recipe, b.recipe) == (
        "lr 0.0005, batch 4096, wd 0.2, warmup 500, cosine",
        "lr 0.001, batch 8192, wd 0.2, warmup 500, cosine",
    )
