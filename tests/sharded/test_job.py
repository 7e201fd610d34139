import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from tests.small_pool import write_shards
from thresher.errors import InputError
from thresher.sharded import job
from thresher.sharded.job import FolderPlan, FolderRun, Made, Part, make_parts, plan_shards, write_failure
from thresher.sharded.parts import Stage, part_path, rejects_of, shard_state, why_changed, write_stamped

STAGE = Stage(
    name="score",
    done="scored",
    noun="scores",
    differs=lambda made, now: None if made == now else "was made by another scorer",
    exclude_remedy="name another folder",
)


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    return [str(path) for path in write_shards(tmp_path / "in", (2, 3))]


def planned(folder: Path, shards: list[str], *, scorer: str = "a", exclude: str = "") -> FolderPlan:
    return plan_shards(folder, shards, {"clip": scorer}, exclude, STAGE)


def finish(work: FolderPlan) -> None:
    """Write the part of the first shard that is still to be done."""
    part = work.parts[0]
    part.path.parent.mkdir(parents=True, exist_ok=True)
    write_stamped(part.path, pa.table({"clip": [0.5]}), part.stamp, STAGE)


def test_a_shard_with_a_part_is_done(tmp_path: Path, shards: list[str]) -> None:
    work = planned(tmp_path, shards)
    assert [part.stamp.shard for part in work.parts] == shards
    finish(work)
    assert [part.path for part in planned(tmp_path, shards).parts] == [part_path(tmp_path, 1, shards[1])]


def test_a_run_adds_up_what_its_parts_took_and_names_what_failed_in_the_order_of_the_shards(
    tmp_path: Path, shards: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 103.0, 107.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    run = FolderRun(planned(tmp_path, shards))
    first, second = run.plan.parts
    run.take(Made(second, 0, 1, "is torn", waited_seconds=0.5))
    run.take(Made(first, 2, 0, waited_seconds=0.25))
    run.take(Made(first, 0, 1, "is gone"))
    assert (run.done, len(run.made), run.pairs, run.waited_seconds) == (3, 1, 2, 0.75)
    assert run.seconds == 3.0
    run.end()
    assert list(run.unreadable.items()) == [(shards[0], "is gone"), (shards[1], "is torn")]
    assert run.seconds == run.seconds == 7.0


def test_a_part_that_another_try_may_help_is_tried_again_at_the_end(
    tmp_path: Path, shards: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    tried: list[list[str]] = []

    def make(parts: Sequence[Part], run: FolderRun) -> Iterator[Made]:
        tried.append([part.stamp.shard for part in parts])
        for part in parts:
            lost = part.stamp.shard == shards[0] and len(tried) < 3
            yield Made(part, 0, 1, "is away", again=True) if lost else Made(part, 1, 0)

    run = make_parts(planned(tmp_path, shards), make)
    assert tried == [shards, shards[:1], shards[:1]]
    assert pauses == list(job.PAUSES_S)
    assert 0.5 < pauses[0] < pauses[1] < 60  # a store that is away has time to come back
    assert (run.done, len(run.made), run.unreadable) == (2, 2, {})


def test_what_could_not_be_made_is_one_row_of_the_quarantine(tmp_path: Path, shards: list[str]) -> None:
    part = planned(tmp_path, shards).parts[0]
    assert write_failure(part, "is torn", STAGE) == Made(part, 0, 1, "is torn")
    (row,) = rejects_of(part.path).to_pylist()
    assert (row["shard"], row["uid"], row["stage"], row["reason"]) == (shards[0], None, "score", "is torn")


def test_a_part_that_was_made_of_something_else_is_refused(tmp_path: Path, shards: list[str]) -> None:
    finish(planned(tmp_path, shards))
    with pytest.raises(InputError, match="was made by another scorer"):
        planned(tmp_path, shards, scorer="b")
    with pytest.raises(InputError, match="was scored with another exclude list; name another folder"):
        planned(tmp_path, shards, exclude="0123")
    os.utime(shards[0], ns=(0, 0))
    with pytest.raises(InputError, match="changed since it was scored"):
        planned(tmp_path, shards)


def test_a_part_of_no_shard_of_the_run_is_refused(tmp_path: Path, shards: list[str]) -> None:
    finish(planned(tmp_path, shards))
    with pytest.raises(InputError, match="has no such place among the 1 shards of this run"):
        planned(tmp_path, shards[1:])


def test_a_shard_that_cannot_be_looked_at_is_absent_and_the_others_are_planned(
    tmp_path: Path, shards: list[str]
) -> None:
    gone = str(tmp_path / "gone.tar")
    work = planned(tmp_path, [shards[0], gone, shards[1]])
    assert [part.stamp.shard for part in work.parts] == shards
    assert work.absent == {part_path(tmp_path, 1, gone): (gone, "cannot be read: No such file or directory")}


def test_a_shard_that_changes_while_it_is_read_is_told(tmp_path: Path, shards: list[str]) -> None:
    stamp = planned(tmp_path, shards).parts[0].stamp
    assert why_changed(stamp) is None
    os.utime(shards[0], ns=(0, 0))
    assert f"are {shard_state(shards[0])}); run again" in str(why_changed(stamp))
    Path(shards[0]).unlink()
    assert why_changed(stamp) == "was taken away while it was read: No such file or directory"
