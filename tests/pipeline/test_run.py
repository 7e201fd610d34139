import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.killing import kill_when_ready
from tests.small_pool import contents
from tests.small_run import CONFIG, make_inputs, walk
from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.pipeline.demo import summary
from thresher.pipeline.run import Outcome, measured_order
from thresher.planning.runs.ledger import read_runs
from thresher.train import loop

STAGES = ("filter", "scores", "pools", "trials", "subset", "train")
WHOLE = ("laws.json", "plan.json", "runs.jsonl", "quarantine.parquet", "report.html")


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    """Probes get the threads that there are cores for; the same everywhere here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda _: {0})
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def outcome(config: Path, said: list[str]) -> Outcome:
    return walk(config, said.append)


@pytest.fixture
def changeable(config: Path, outcome: Outcome, tmp_path: Path) -> Iterator[Path]:
    """The config; when the test is over, it and the workdir are as they were.

    In the same place, since results name the shards that they are of.
    """
    shutil.copytree(outcome.workdir, tmp_path / "kept")
    yield config
    shutil.rmtree(outcome.workdir)
    (tmp_path / "kept").rename(outcome.workdir)
    config.write_text(CONFIG)


def times(work: Path, *names: str) -> dict[Path, int]:
    paths = [path for name in names for path in (work / name).rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in paths if not path.name.endswith(".log.jsonl")}


@pytest.mark.slow
def test_every_stage_leaves_its_files(outcome: Outcome) -> None:
    work = outcome.workdir
    assert all((work / name).is_dir() for name in STAGES)
    assert all((work / name).is_file() for name in WHOLE)
    assert outcome.report == work / "report.html"
    assert sum(outcome.pools.sizes.values()) == outcome.scores.num_pairs == 400


@pytest.mark.slow
def test_the_ledger_holds_probes_checks_and_verification(outcome: Outcome) -> None:
    roles = [run.role for run in outcome.runs]
    assert roles[:15] == ["fit"] * 6 + ["check"] * 3 + ["fit"] * 6
    assert set(roles[15:]) == {"verify"}
    ordered = measured_order(outcome.runs, outcome.plan)
    assert list(ordered) == [144, 288]
    assert all(runs == sorted(runs, key=lambda run: run.error) for runs in ordered.values())


@pytest.mark.slow
def test_every_stage_says_that_it_is_finished(outcome: Outcome, said: list[str]) -> None:
    stages = list(dict.fromkeys(sentence.split(":")[0].split()[0] for sentence in said))
    for earlier, later in zip(
        ("filter", "score", "cut", "probe", "plan", "verify", "subset", "trained"),
        ("score", "cut", "probe", "plan", "verify", "subset", "trained", "report"),
        strict=True,
    ):
        assert stages.index(earlier) < stages.index(later)


@pytest.mark.slow
def test_the_demo_says_what_was_planned_and_found(outcome: Outcome, config: Path) -> None:
    text = summary(outcome, config.parent)
    assert all(budget.decision in text for budget in outcome.plan.budgets)
    assert "0-40%: " in text
    assert "wrong " in text
    assert str(outcome.report) in text


@pytest.mark.slow
def test_a_second_walk_does_nothing(outcome: Outcome, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "make_optimizer", lambda *_: pytest.fail("something is trained again"))
    before, bytes_before = times(outcome.workdir, *STAGES), contents(outcome.workdir)
    again = walk(config)
    after = times(outcome.workdir, *STAGES)
    # with the same bytes
    rewritten = {"scores/scores.json", "subset/meta.json", "subset/subset.npy", "trials/quarantine.parquet"}
    changed = {path.relative_to(outcome.workdir).as_posix() for path in before if after[path] != before[path]}
    assert changed <= rewritten
    assert set(after) == set(before)
    assert contents(outcome.workdir) == bytes_before
    assert again.plan == outcome.plan


@pytest.mark.slow
def test_other_pools_set_the_old_runs_aside(changeable: Path) -> None:
    work = changeable.parent / "work"
    old = (work / "runs.jsonl").read_bytes()
    changeable.write_text(
        CONFIG.replace("edges = [0.4, 1.0]", "edges = [0.5, 1.0]").replace("verify = true", "")
    )
    outcome = walk(changeable)
    (aside,) = work.glob("old-trials-*")
    assert (aside / "runs.jsonl").read_bytes() == old
    assert list(aside.rglob("result.json"))
    assert {run.pool for run in outcome.runs if run.pool} == {"0-50%", "50-100%"}
    assert {pool.name for pool in outcome.laws.pools} == {"0-50%", "50-100%"}


@pytest.mark.slow
def test_another_recipe_is_fitted_on_its_own_runs(changeable: Path) -> None:
    changeable.write_text(CONFIG.replace("[probe]", "[probe]\nlr = 3e-3").replace("verify = true", ""))
    outcome = walk(changeable)
    recipes = {run.recipe for run in read_runs(changeable.parent / "work" / "runs.jsonl")}
    assert len(recipes) == 2
    assert outcome.laws.recipe in recipes
    assert {run.recipe for run in outcome.runs} == {outcome.laws.recipe}
    assert len(outcome.laws.points) == 12


@pytest.mark.slow
def test_other_formats_and_recipes_set_the_old_subset_and_training_aside(changeable: Path) -> None:
    work = changeable.parent / "work"
    changeable.write_text(CONFIG.replace("[train]", '[subset]\nformat = "parquet"\n[train]\nlr = 1e-4'))
    walk(changeable)
    assert (work / "subset" / "subset.parquet").exists()
    assert (work / "train" / "result.json").exists()
    (old,) = work.glob("old-subset-*")
    assert (old / "subset.npy").exists()
    assert len(list(work.glob("old-train-*/result.json"))) == 1
    assert not list(work.glob("old-scores-*"))


@pytest.mark.slow
def test_a_run_goes_on_when_its_exclude_list_grows(changeable: Path) -> None:
    work = changeable.parent / "work"
    uids = sorted(json.loads((changeable.parent / "planted.json").read_text()))[:3]
    (changeable.parent / "optouts.txt").write_text("\n".join(uids))
    changeable.write_text(CONFIG.replace('paths = ["pool"]', 'paths = ["pool"]\nexclude = "optouts.txt"'))
    before = times(work, "scores/parts", "filter")
    outcome = walk(changeable)
    assert not set(uids) & set(pq.read_table(work / "pools" / "pools.parquet")["uid"].to_pylist())
    assert sum(outcome.pools.sizes.values()) == 397
    assert times(work, "scores/parts", "filter") == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [5, pytest.param(12, marks=pytest.mark.soak)])
def test_a_killed_walk_goes_on_and_ends_with_the_same_bytes(
    changeable: Path, outcome: Outcome, number: int
) -> None:
    expected = contents(outcome.workdir)
    shutil.rmtree(outcome.workdir)
    kill_when_ready("tests.small_run", changeable, number)
    walk(changeable)
    found = contents(outcome.workdir)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_two_walks_in_one_folder_at_a_time_are_refused(tmp_path: Path) -> None:
    config = make_inputs(tmp_path)
    with folder_lock(tmp_path / "work"), pytest.raises(InputError, match="another run is writing into"):
        walk(config)


def test_a_pool_without_shards_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = make_inputs(tmp_path, CONFIG.replace('paths = ["pool"]', 'paths = ["pol"]'))
    with pytest.raises(InputError, match="there is no file or folder"):
        walk(config)
    left = [path.name for path in (tmp_path / "work").iterdir() if not path.name.startswith(".")]
    assert left == []
