import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.killing import kill_when_ready
from tests.probing import PROBE, make_source, open_small_bench, probe, shards
from tests.small_pool import contents
from thresher.curate.pools.record import Pools
from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.models.evaluation.sets import smallest_error
from thresher.planning.runs.ledger import read_runs
from thresher.train.loop import Measurement
from thresher.train.probe import trials as trials_module
from thresher.train.probe.trials import RESULT_FILE, Trial, TrialContext, default_jobs, run_trials

Open = tuple[TrialContext, list[Trial], Pools]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all probes are done, one after the other, without a stop."""
    out = tmp_path_factory.mktemp("finished")
    probe(source, out)
    return out


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the trials that are trained from now on, none of which is."""
    trained: list[str] = []

    def record(recipe: object, pairs: object, points: object, folder: Path, **_: object) -> None:
        trained.append(folder.name)
        raise RuntimeError(f"{folder.name} is trained")

    monkeypatch.setattr(trials_module, "train", record)
    return trained


def ledger(folder: Path) -> bytes:
    return (folder / "runs.jsonl").read_bytes()


def test_the_ledger_has_every_measurement_in_the_order_of_the_trials(source: Path, finished: Path) -> None:
    _, trials, pools = open_small_bench(source, finished)
    runs = read_runs(finished / "runs.jsonl")
    assert [(run.run, run.samples_seen) for run in runs] == [(t.name, n) for t in trials for n in t.points]
    assert [run.role for run in runs] == ["fit"] * 4 + ["check"] * 2 + ["fit"] * 4
    best, worst = pools.names
    assert [run.pool for run in runs[::2]] == [best, worst, None, best, worst]


def test_a_line_says_how_many_pairs_there_were_and_what_it_cost(source: Path, finished: Path) -> None:
    bench, _, pools = open_small_bench(source, finished)
    best, worst = pools.names
    runs = read_runs(finished / "runs.jsonl")
    assert [run.unique_samples for run in runs[::2]] == [80, 120, {best: 80, worst: 120}, 40, 60]
    assert [run.pool_samples for run in runs[::2]] == [80, 120, {best: 80, worst: 120}, 80, 120]
    assert runs[4].weights == {best: 0.4, worst: 0.6}
    assert {run.recipe for run in runs} == {bench.recipe.label}
    assert all(run.flops / run.samples_seen == runs[0].flops / 80 for run in runs)
    assert all(run.error == 1 - run.metrics["zeroshot_acc1"] for run in runs)
    assert all("text_to_image_R@5" in run.metrics for run in runs)


def test_finished_trials_are_not_trained_again(source: Path, finished: Path, no_training: list[str]) -> None:
    before = ledger(finished)
    assert [run.error for run in probe(source, finished)] == [
        run.error for run in read_runs(finished / "runs.jsonl")
    ]
    assert not no_training
    assert ledger(finished) == before


def test_a_lost_end_of_the_ledger_is_written_again(
    source: Path, finished: Path, no_training: list[str]
) -> None:
    before = ledger(finished)
    (finished / "runs.jsonl").write_bytes(before[: before.rfind(b"\n", 0, -1) - 20])
    probe(source, finished)
    assert not no_training
    assert ledger(finished) == before


def test_only_what_is_new_is_trained(source: Path, finished: Path, no_training: list[str]) -> None:
    with pytest.raises(RuntimeError, match=r"-s1-.* is trained"):
        probe(source, finished, PROBE.model_copy(update={"seeds": (0, 1)}))
    assert len(no_training) == 1


def test_a_result_of_another_recipe_is_not_taken_for_this_one(
    source: Path, finished: Path, no_training: list[str]
) -> None:
    with pytest.raises(RuntimeError, match=r"-s0-.* is trained"):
        probe(source, finished, PROBE.model_copy(update={"lr": 1e-4}))
    assert len(no_training) == 1


def test_trials_finish_in_any_order_and_are_written_in_theirs(
    source: Path, finished: Path, tmp_path: Path, no_training: list[str]
) -> None:
    """A later trial that is done already waits for an earlier one, here for good."""
    bench, trials, _ = open_small_bench(source, finished)
    done = sorted((bench.folder / trial.name / RESULT_FILE).stat().st_mtime_ns for trial in trials)
    assert len(done) == len(trials)
    result = bench.folder / trials[1].name / RESULT_FILE
    kept = result.read_bytes()
    result.unlink()
    with pytest.raises(RuntimeError, match=f"{trials[1].name} is trained"):
        run_trials(bench, trials, tmp_path / "runs.jsonl", jobs=1)
    result.write_bytes(kept)
    assert {run.run for run in read_runs(tmp_path / "runs.jsonl")} == {trials[0].name}


def test_probes_of_shards_that_changed_are_refused(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "source"
    shutil.copytree(source, copy)
    open_small_bench(copy, tmp_path / "out")
    os.utime(shards(copy)[0], ns=(1, 1))
    with pytest.raises(InputError, match=r"holds another set of probes \(it differs in shards\)"):
        open_small_bench(copy, tmp_path / "out")


def test_a_result_of_another_trial_is_refused(source: Path, finished: Path, tmp_path: Path) -> None:
    bench, trials, _ = open_small_bench(source, finished)
    result = bench.folder / trials[0].name / RESULT_FILE
    kept = result.read_text()
    result.write_text(kept.replace('"role": "fit"', '"role": "check"'))
    with pytest.raises(InputError, match=r"holds another probe \(it differs in trial\.role\)"):
        run_trials(bench, trials, tmp_path / "runs.jsonl", jobs=1)
    result.write_text(kept)


def test_a_pool_never_names_a_folder_elsewhere(source: Path, finished: Path, tmp_path: Path) -> None:
    bench, trials, pools = open_small_bench(source, finished)
    name = "a/../../../../victim"
    members = {name: bench.members[pools.names[0]]}
    trial = dataclasses.replace(trials[0], weights={name: 1.0})
    with pytest.raises(InputError, match="cannot be part of a folder's name"):
        run_trials(dataclasses.replace(bench, members=members), [trial], tmp_path / "runs.jsonl", jobs=1)


def test_a_result_is_told_as_soon_as_it_is_there(source: Path, finished: Path) -> None:
    told: list[str] = []
    probe(source, finished, progress=told.append)
    assert len(told) == 5
    assert told[0].startswith("fit-0-40-f1-s0-")
    assert told[0].endswith("after 160 samples")


def test_a_pool_smaller_than_a_batch_is_refused_before_anything_is_trained(
    source: Path, finished: Path, no_training: list[str]
) -> None:
    bench, trials, _ = open_small_bench(source, finished)
    small = dataclasses.replace(trials[0], fraction=0.1)
    with pytest.raises(InputError, match=r"0.1 of pool 0-40% are 8 pairs, fewer than a batch of 16"):
        run_trials(bench, [*trials, small], finished / "runs.jsonl", jobs=1)
    assert not no_training


def test_the_same_trial_twice_is_refused(source: Path, finished: Path) -> None:
    bench, trials, _ = open_small_bench(source, finished)
    with pytest.raises(InputError, match="two probes are the same"):
        run_trials(bench, [*trials, trials[0]], finished / "runs.jsonl", jobs=1)


def test_a_trial_is_known_by_all_that_makes_it() -> None:
    trial = Trial(role="fit", weights={"0-40%": 1.0}, fraction=1.0, points=(160,), seed=0)
    changes = [
        {"role": "check"},
        {"weights": {"0-40%": 0.5, "40-100%": 0.5}},
        {"weights": {"0-40%": 0.4, "40-100%": 0.6}},
        {"fraction": 0.5},
        {"points": (160, 320)},
        {"seed": 1},
    ]
    names = [trial.name, *(dataclasses.replace(trial, **change).name for change in changes)]
    assert len(set(names)) == len(names)
    assert all("/" not in name and "%" not in name for name in names)


def test_threads_are_those_of_the_bench_while_it_trains_and_the_old_ones_after(
    source: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trials, _ = open_small_bench(source, finished)
    seen = []

    def look(*_: object, **__: object) -> tuple[None, list[Measurement]]:
        seen.append(torch.get_num_threads())
        return None, [Measurement(samples_seen=160, flops=1.0, metrics={"zeroshot_acc1": 0.5})]

    monkeypatch.setattr(trials_module, "train", look)
    before = torch.get_num_threads()
    bench = dataclasses.replace(bench, threads=before + 1, folder=tmp_path)
    run_trials(bench, trials[-1:], tmp_path / "runs.jsonl", jobs=1)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number", "jobs"),
    [
        ("trace", 7, 1),
        pytest.param("line", 3, 1, marks=pytest.mark.soak),
        pytest.param("progress", 3, 2, marks=pytest.mark.soak),
    ],
)
def test_killed_probes_go_on_and_end_with_the_same_bytes(
    source: Path, finished: Path, tmp_path: Path, moment: str, number: int, jobs: int
) -> None:
    """Also where three of five were made by processes, two at a time, with as many threads each."""
    kill_when_ready("tests.probing", moment, number, jobs, source, tmp_path)
    before = read_runs(tmp_path / "runs.jsonl") if (tmp_path / "runs.jsonl").exists() else []
    assert len(before) < 10
    probe(source, tmp_path)
    assert ledger(tmp_path) == ledger(finished)
    assert not list(tmp_path.rglob("*.tmp"))
    bench, trials, _ = open_small_bench(source, finished)
    for trial in trials:
        folder = bench.folder / trial.name
        assert contents(tmp_path / folder.relative_to(finished)) == contents(folder)


def test_results_are_stable_json(finished: Path) -> None:
    for path in finished.rglob(RESULT_FILE):
        content = json.loads(path.read_text())
        assert (content["schema"], content["version"]) == ("thresher.trial", 1)
        assert [m["samples_seen"] for m in content["measured"]] == [80, 160]


def test_a_pair_whose_image_does_not_decode_is_in_no_pool(source: Path, tmp_path: Path) -> None:
    """Scoring by caption alone never looked at the image."""
    shutil.copytree(source, tmp_path / "source")
    shard = Path(shards(tmp_path / "source")[0])
    data = shard.read_bytes()
    start = data.index(b"\xff\xd8\xff")
    shard.write_bytes(data[: start + 100] + bytes(200) + data[start + 300 :])
    bench, trials, pools = open_small_bench(tmp_path / "source", tmp_path / "out")
    assert sum(map(len, bench.members.values())) == sum(pools.sizes.values()) - 1
    (run, _) = run_trials(bench, trials[2:3], tmp_path / "runs.jsonl", jobs=1)
    assert sum(run.unique_samples.values()) == 199


def test_one_named_gpu_runs_one_trial_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [default_jobs(device) for device in ("cuda", "cuda:1")] == [4, 1]


def test_a_perfect_model_has_the_error_of_half_a_sample(
    source: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trials, _ = open_small_bench(source, finished)
    perfect = [Measurement(samples_seen=160, flops=1.0, metrics={"zeroshot_acc1": 1.0})]
    monkeypatch.setattr(trials_module, "train", lambda *_, **__: (None, perfect))
    bench = dataclasses.replace(bench, folder=tmp_path)
    (run,) = run_trials(bench, trials[-1:], tmp_path / "runs.jsonl", jobs=1)
    assert run.error == smallest_error(bench.tasks) > 0


def test_two_calls_on_one_ledger_are_refused(source: Path, finished: Path, tmp_path: Path) -> None:
    bench, trials, _ = open_small_bench(source, finished)
    with folder_lock(tmp_path / "trials"), pytest.raises(InputError, match="another run is writing into"):
        run_trials(bench, trials, tmp_path / "runs.jsonl", jobs=1)
