"""What is done with what workers send. They stand in this process here; tests/executor has real ones."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.small_pool import contents, write_shards
from tests.watching import watched
from thresher.errors import InputError
from thresher.executor.local import TaskFailed
from thresher.executor.worker import prepare
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards

SPECS = [parse_scorer("caption"), parse_scorer("image:feature=entropy")]
Change = Callable[[Any, Any], Any]


def unchanged(_: Any, found: Any) -> Any:
    return found


class PoolHere:
    """Stands for a `RayPool`: does the tasks in this process, last ones first; `change` what comes back."""

    change: Change = staticmethod(unchanged)

    def __init__(self, function: str, *, settings: Any, **_: Any) -> None:
        self.deaths: list[str] = []
        self._function = prepare(function, settings)

    def __exit__(self, *_: object) -> None:
        pass

    def __enter__(self) -> "PoolHere":
        return self

    def close(self) -> None:
        pass

    def map(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for task in reversed(list(tasks)):
            yield task, type(self).change(task, self._function(task))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Puts workers of this process in the place of Ray's; given a function, they send what it returns."""
    monkeypatch.setattr("thresher.sharded.stage.RayPool", PoolHere)
    monkeypatch.setattr("thresher.executor.cluster.load_ray", lambda: None)
    return lambda change: monkeypatch.setattr(PoolHere, "change", staticmethod(change))


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Three good shards, and one with an image that does not decode."""
    members = [*pair_members("good", jpeg(1), "a red house"), *pair_members("bad", jpeg(2)[:200], "a dog")]
    found = write_shards(tmp_path / "in", (5, 9, 3))
    write_tar(tmp_path / "in/00003.tar", members)
    return [*found, str(tmp_path / "in/00003.tar")]


def score(shards: list[str], out: Path, executor: str = "ray") -> Any:
    return score_shards(shards, out, SPECS, workers=0, executor=executor)


def test_what_workers_send_is_what_would_be_written_here(
    tmp_path: Path, shards: list[str], workers: Callable[[Change], None]
) -> None:
    here = score(shards, tmp_path / "here", "local")
    there = score(shards, tmp_path / "there")
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert (there.num_pairs, there.num_quarantined) == (here.num_pairs, here.num_quarantined) == (18, 1)
    assert score(shards, tmp_path / "there").new_shards == 0


def test_a_shard_that_workers_die_of_is_named_and_done_by_the_next_run(
    tmp_path: Path, shards: list[str], workers: Callable[[Change], None]
) -> None:
    def change(task: Any, found: Any) -> Any:
        bad = task is not None and task.stamp.shard == shards[1]
        return TaskFailed("3 workers died of it") if bad else found

    workers(change)
    summary = score(shards, tmp_path / "out")
    assert summary.unreadable == {shards[1]: "cannot be scored: 3 workers died of it"}
    assert summary.incomplete
    assert summary.new_shards == 3
    workers(unchanged)
    assert not score(shards, tmp_path / "out").incomplete
    score(shards, tmp_path / "here", "local")
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_workers_whose_scorers_differ_are_refused(
    tmp_path: Path, shards: list[str], workers: Callable[[Change], None]
) -> None:
    def change(task: Any, found: Any) -> Any:
        return (
            found if task is None else replace(found, made_by={**found.made_by, "image": "image-0 entropy"})
        )

    workers(change)
    with pytest.raises(InputError, match=r"tar on a worker of the cluster was scored by another image"):
        score(shards, tmp_path / "out")


def test_workers_of_another_release_are_refused(
    tmp_path: Path, shards: list[str], workers: Callable[[Change], None]
) -> None:
    workers(lambda task, found: found if task is not None else replace(found, release="0.0.1"))
    with pytest.raises(InputError, match=r"have Thresher 0\.0\.1, this machine .*install the same release"):
        score(shards, tmp_path / "out")


def test_the_part_is_written_last_and_an_old_quarantine_goes(
    tmp_path: Path, shards: list[str], workers: Callable[[Change], None]
) -> None:
    score(shards[3:], tmp_path / "out")
    (tmp_path / "out/parts/00000-00003.parquet").unlink()
    write_tar(Path(shards[3]), list(pair_members("good", jpeg(1), "a red house")))
    score(shards[3:], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/parts").iterdir()] == ["00000-00003.parquet"]

    members = [*pair_members("bad", jpeg(2)[:200], "a dog"), *pair_members("good", jpeg(1), "a house")]
    write_tar(Path(shards[3]), members)
    with watched("os.rename") as renamed:
        score(shards[3:], tmp_path / "other")
    written = [
        Path(path).name.partition(".parquet.")[0] for path in renamed if str(tmp_path / "other/parts") in path
    ]
    assert written == [".00000-00003.quarantine", ".00000-00003"]
