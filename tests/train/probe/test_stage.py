import shutil
from pathlib import Path

import pytest

from tests.probing import PROBE, evaluation, make_source, shards
from thresher.curate.pools.record import load_pools
from thresher.data.files.quarantine import read_quarantine
from thresher.errors import InputError
from thresher.planning.runs.ledger import read_runs
from thresher.train.probe import stage as probe_module
from thresher.train.probe.stage import (
    jobs_of,
    measuring_points,
    open_bench,
    plan_trials,
    recipe_of,
    run_probes,
)
from thresher.train.probe.trials import TrialContext
from thresher.train.settings import Probe

NAMES = ("best", "middle", "worst")
SIZES = {"best": 100, "middle": 300, "worst": 600}


def settings(**given: object) -> Probe:
    return Probe.model_validate({"batch_size": 16} | given)


def test_every_pool_is_probed_at_every_share_and_checks_at_the_first() -> None:
    trials = plan_trials(NAMES, settings(fractions=(0.5, 0.25), seeds=(0, 1)), [1000], SIZES)
    found = [(trial.seed, trial.fraction, trial.role, tuple(trial.weights)) for trial in trials]
    one_seed = [
        *((0.5, "fit", (name,)) for name in NAMES),
        (0.5, "fit", NAMES),
        (0.5, "check", ("best", "middle")),
        *((0.25, "fit", (name,)) for name in NAMES),
    ]
    assert found == [(seed, *one) for seed in (0, 1) for one in one_seed]
    assert len({trial.name for trial in trials}) == len(trials)


def test_check_mixes_are_drawn_by_the_sizes_of_their_pools() -> None:
    mixes = [trial for trial in plan_trials(NAMES, settings(), [10_000], SIZES) if len(trial.weights) > 1]
    assert [trial.role for trial in mixes] == ["fit", "check"]
    assert mixes[0].weights == pytest.approx({"best": 0.1, "middle": 0.3, "worst": 0.6})
    assert mixes[1].weights == {"best": 0.25, "middle": 0.75}


def test_of_two_pools_the_one_mix_is_a_check() -> None:
    trials = plan_trials(NAMES[:2], settings(), [10_000], SIZES)
    assert [trial.role for trial in trials if len(trial.weights) > 1] == ["check"]


def test_given_check_mixes_are_normalised_in_the_order_of_the_pools() -> None:
    given = ({"worst": 1, "best": 3}, {"middle": 2})
    trials = plan_trials(NAMES, settings(checks=given), [10_000], SIZES)
    checks = [trial.weights for trial in trials if trial.role == "check"]
    assert checks == [{"best": 0.75, "worst": 0.25}, {"middle": 1.0}]
    assert list(checks[0]) == ["best", "worst"]


def test_a_check_mix_of_an_unknown_pool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="check mix names pool 'bst'; the pools are best, middle, worst"):
        plan_trials(NAMES, settings(checks=({"bst": 1.0},)), [10_000], SIZES)


def test_a_probe_measures_at_its_share_of_every_target_so_that_pairs_repeat_as_often() -> None:
    assert measuring_points(settings(scale=0.5), [4000, 1000, 1000]) == (500, 2000)
    assert measuring_points(settings(scale=0.125), [4000, 1000]) == (125, 500)
    assert measuring_points(settings(scale=0.125), [4000, 8]) == (16, 500)  # a batch at least


def test_targets_and_samples_of_the_section_come_before_the_budgets() -> None:
    assert measuring_points(settings(targets=(800,), scale=0.5), [4000]) == (400,)
    assert measuring_points(settings(samples=(64, 32, 64)), [4000]) == (32, 64)


def test_warm_up_is_a_share_of_the_smallest_point_of_all_probes() -> None:
    probe = settings(scale=0.25, warmup=0.1, lr=0.01, flip=True)
    recipe = recipe_of(plan_trials(NAMES, probe, [4000, 800], SIZES), probe)
    assert recipe.warmup_samples == 20
    assert (recipe.lr, recipe.flip, recipe.batch_size) == (0.01, True, 16)


def test_as_many_probes_run_at_a_time_as_there_are_cores_or_as_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert jobs_of(settings(), "cpu") == 3
    assert jobs_of(settings(jobs=2), "cpu") == 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"))


def make_bench(
    source: Path, work: Path, *, lr: float = 1e-3, exclude: frozenset[str] = frozenset()
) -> TrialContext:
    pools = load_pools(source / "pools")
    probe = PROBE.model_copy(update={"lr": lr})
    trials = plan_trials(pools.names, probe, (), pools.sizes)
    return open_bench(
        pools,
        shards(source),
        recipe=recipe_of(trials, probe),
        probe=probe,
        evaluate=evaluation(source),
        work=work,
        device="cpu",
        exclude=exclude,
    )


def test_excluded_pairs_are_in_no_pool(source: Path, tmp_path: Path) -> None:
    whole = make_bench(source, tmp_path)
    gone = frozenset(whole.members["0-40%"][:3])
    left = make_bench(source, tmp_path, exclude=gone)
    assert left.members["0-40%"] == whole.members["0-40%"][3:]
    assert left.members["40-100%"] == whole.members["40-100%"]


def test_trials_have_a_folder_for_what_makes_them(source: Path, tmp_path: Path) -> None:
    bench = make_bench(source, tmp_path)
    uid = bench.members["0-40%"][0]
    others = [
        make_bench(source, tmp_path, lr=1e-4).folder,
        make_bench(source, tmp_path, exclude=frozenset({uid})).folder,
    ]
    assert make_bench(source, tmp_path).folder == bench.folder
    assert len({bench.folder, *others}) == 3
    assert {folder.parent for folder in (bench.folder, *others)} == {tmp_path / "trials"}


def test_cores_are_shared_out_over_the_jobs(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(probe_module, "jobs_of", lambda *_: 3)
    assert make_bench(source, tmp_path).threads == 2


def test_probing_fills_the_ledger(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    said: list[str] = []
    runs = run_probes(
        source / "pools",
        shards(source),
        tmp_path / "runs.jsonl",
        probe=PROBE.model_copy(update={"fractions": (0.5,), "checks": ()}),
        evaluate=evaluation(source),
        targets=(),
        work=tmp_path,
        device="cpu",
        progress=said.append,
    )
    assert runs == read_runs(tmp_path / "runs.jsonl")
    assert [run.samples_seen for run in runs] == [80, 160] * 2
    assert len(said) == 2


def test_probes_that_would_only_guess_are_made_longer(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "left_chance", lambda runs, _: runs[-1].samples_seen > 100)
    said: list[str] = []
    options = {"samples": None, "targets": (640,), "fractions": (1.0,), "checks": ()}
    probes = [
        run_probes(
            source / "pools",
            shards(source),
            tmp_path / "runs.jsonl",
            probe=PROBE.model_copy(update={**options, "scale": scale}),
            evaluate=evaluation(source),
            targets=(),
            work=tmp_path,
            device="cpu",
            progress=said.append,
        )
        for scale in (1 / 16, 1 / 16, 1 / 4)
    ]
    assert probes[0] == probes[1] == probes[2] == read_runs(tmp_path / "runs.jsonl")
    assert {run.samples_seen for run in probes[0]} == {160}
    assert [text for text in said if "guessing" in text] == 2 * [
        "after 40 samples a probe does no better than guessing: all are made longer, scale is 0.25"
    ]


def test_pairs_that_no_probe_can_use_are_listed_beside_the_trials(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "source")
    shard = Path(shards(tmp_path / "source")[0])
    data = shard.read_bytes()
    start = data.index(b"\xff\xd8\xff")
    shard.write_bytes(data[: start + 100] + bytes(200) + data[start + 300 :])
    make_bench(tmp_path / "source", tmp_path / "out")
    (row,) = read_quarantine(tmp_path / "out" / "trials" / "quarantine.parquet").to_pylist()
    assert (row["shard"], row["stage"]) == (str(shard), "decode")
