"""A job that fills a folder part by part: what is finished stays, what is not is made.

`plan_parts` compares the folder with what is asked for, `make_parts` makes what is absent, and `sum_up`
counts the folder and writes its summary file, which so is there only when all is done.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from thresher.data.files.atomic import append_jsonl, write_json
from thresher.data.pairs import Reject
from thresher.errors import InputError
from thresher.sharded.parts import (
    Stage,
    Stamp,
    check_stamp,
    list_parts,
    list_quarantines,
    part_path,
    read_stamp,
    shard_state,
    write_rejects,
    write_stamped,
)
from thresher.sharded.summary import FolderSummary, count_folder, status_of

PAUSES_S = (1.0, 10.0)
"""Before a part is tried again whose shard lies elsewhere and could not be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part to be made: its path, what it will say that it was made of, and which rows of that go into it.

    `rows` is empty where a shard is taken as a whole.
    """

    path: Path
    stamp: Stamp
    rows: range = range(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPlan:
    """What a run has to do.

    Attributes:
        folder: Where the parts go.
        stage: Whose folder it is.
        sources: Shards or files of the run, in their order.
        parts: Those that are still to be made.
        absent: Path of a part -> the source that cannot even be looked at, and why.
        strays: Files of an earlier run that have to go.
    """

    folder: Path
    stage: Stage
    sources: Sequence[str]
    parts: Sequence[Part]
    absent: Mapping[Path, tuple[str, str]] = field(default_factory=dict)
    strays: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A part that is through: its pairs and what was refused.

    `failure` says why nothing of it was kept, None when all went well; `again` that another try may help;
    `waited_seconds` is how long the scorers waited for pairs.
    """

    part: Part
    pairs: int
    rejects: int
    failure: str | None = None
    waited_seconds: float = 0.0
    again: bool = False


class FolderRun:
    """The parts of one run as they get made, with what there is to tell about it."""

    def __init__(self, plan: FolderPlan) -> None:
        self.plan = plan
        self.done = 0
        self.made: list[Path] = []
        self.pairs = 0
        self.waited_seconds = 0.0
        self.unreadable = dict(plan.absent.values())
        self.deaths: list[str] = []
        self._started = time.perf_counter()
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """Time of the work so far."""
        return (self._ended or time.perf_counter()) - self._started

    def take(self, made: Made) -> None:
        """Count a part that is through."""
        self.done += 1
        self.pairs += made.pairs
        self.waited_seconds += made.waited_seconds
        if made.failure is None:
            self.made.append(made.part.path)
        else:
            self.unreadable[made.part.stamp.shard] = made.failure

    def end(self) -> None:
        """Stop the clock, and name what could not be read in the order of the sources."""
        self._ended = time.perf_counter()
        order = dict.fromkeys(self.plan.sources)
        self.unreadable = {name: self.unreadable[name] for name in order if name in self.unreadable}

    def log(self, event: str, **fields: object) -> None:
        """Write a line to the log of the stage."""
        append_jsonl(self.plan.folder / f"{self.plan.stage.noun}.log.jsonl", {"event": event, **fields})

    def times(self) -> dict[str, object]:
        """When it is, how long the work takes so far, and how many pairs are done."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"time": now, "seconds": round(self.seconds, 3), "pairs_so_far": self.pairs}


Make = Callable[[Sequence[Part], FolderRun], Generator[Made]]
"""Writes parts, and gives each once it is written."""


def plan_parts(
    folder: Path,
    parts: Sequence[Part],
    stage: Stage,
    *,
    sources: Sequence[str],
    absent: Mapping[Path, tuple[str, str]] | None = None,
    belongs: Callable[[Path], bool] = lambda _: False,
    stray: str | None = None,
) -> FolderPlan:
    """Compare the folder with the parts that it should have.

    Args:
        folder: Where the parts go.
        parts: All parts of the run.
        stage: Whose folder it is.
        sources: What they are made of.
        absent: Path of a part -> the source that cannot even be looked at, and why.
        belongs: Whether a part that is not among them may stand in the folder all the same.
        stray: What is wrong with one that may not, to stand after its path.

    Raises:
        InputError: the folder holds a part that is not among these, or one of a source that has changed, or
            that was made otherwise.
    """
    absent = absent or {}
    present = set(list_parts(folder))
    strays = sorted(present - {part.path for part in parts} - set(absent))
    for path in strays:
        if not belongs(path):
            raise InputError(f"{path} {stray or _place_of(path, stage, len(sources))}")
    for part in parts:
        if part.path in present:
            check_stamp(part.path, read_stamp(part.path, stage), part.stamp, stage)
    due = [part for part in parts if part.path not in present]
    return FolderPlan(folder=folder, stage=stage, sources=sources, parts=due, absent=absent)


def _place_of(stray: Path, stage: Stage, num_sources: int) -> str:
    return (
        f"is of {read_stamp(stray, stage).shard}, which has no such place among the {num_sources} "
        f"{stage.sources} of this run; give the {stage.sources} that the folder was made of in their order "
        "(new ones last), or name another folder"
    )


def plan_shards(
    folder: Path, shards: Sequence[str], made_by: Mapping[str, str], exclude: str, stage: Stage
) -> FolderPlan:
    """Compare the folder with shards, one part each; `exclude` is the digest of the exclude list.

    Raises:
        InputError: the folder holds a part of a shard that is not in this run, of a shard that has changed,
            or made by something else or with another exclude list.
    """
    parts: list[Part] = []
    absent: dict[Path, tuple[str, str]] = {}
    for number, shard in enumerate(shards):
        path = part_path(folder, number, shard)
        try:
            parts.append(Part(path, Stamp(shard, shard_state(shard), dict(made_by), exclude)))
        except OSError as error:
            absent[path] = (shard, f"cannot be read: {error.strerror or type(error).__name__}")
    return plan_parts(folder, parts, stage, sources=shards, absent=absent)


def plan_anew(folder: Path, parts: Sequence[Part], stage: Stage) -> FolderPlan:
    """Make all the parts, whatever is there; what is not among them has to go."""
    paths = {part.path for part in parts}
    strays = [path for path in (*list_parts(folder), *list_quarantines(folder)) if path not in paths]
    sources = [part.stamp.shard for part in parts]
    return FolderPlan(folder=folder, stage=stage, sources=sources, parts=parts, strays=strays)


def make_parts(
    plan: FolderPlan, make: Make, after: Callable[[FolderRun, Made], None] = lambda _, __: None
) -> FolderRun:
    """Make the parts that are not there yet; the caller holds the lock of the folder.

    One that fails does not stop the others, and the next run tries it again. `after` is called with each that
    is through; those that were lost on the way are tried again at the end.
    """
    run = FolderRun(plan)
    if plan.parts or plan.absent:
        (plan.folder / plan.stage.summary_file).unlink(missing_ok=True)  # it says that all is done
    for path in plan.strays:
        path.unlink()
    for path, (source, reason) in plan.absent.items():
        write_rejects(path, [Reject(source, "", None, plan.stage.name, reason, 0)])
    parts = plan.parts
    for pause in (*PAUSES_S, None):
        if not parts:
            break
        again: list[Part] = []
        with closing(make(parts, run)) as all_made:
            for made in all_made:
                if made.again and pause is not None:
                    again.append(made.part)
                else:
                    run.take(made)
                    after(run, made)
        if again:
            time.sleep(pause or 0.0)
        parts = again
    run.end()
    return run


def write_made(part: Part, table: pa.Table, rejects: Sequence[Reject] | pa.Table, stage: Stage) -> Made:
    """Write what was refused of a part, then its table: a part that exists is finished."""
    write_rejects(part.path, rejects)
    write_stamped(part.path, table, part.stamp, stage)
    return Made(part, int(table.num_rows), len(rejects))


def write_failure(part: Part, failure: str, stage: Stage) -> Made:
    """Write why there is no such part."""
    write_rejects(part.path, [Reject(part.stamp.shard, "", None, stage.name, failure, 0)])
    return Made(part, 0, 1, failure)


def sum_up(run: FolderRun, describe: Callable[[FolderSummary], dict[str, Any]]) -> FolderSummary:
    """Count the folder and write what `describe` says of it to its summary file.

    Raises:
        InputError: parts that this run has made are gone.
    """
    plan = run.plan
    lost = sorted(set(run.made) - set(list_parts(plan.folder)))
    if lost:
        raise InputError(
            f"{len(lost)} parts of {plan.folder} went away while it was filled, the first is {lost[0].name}; "
            "run again, which makes them anew"
        )
    num_pairs, num_quarantined, reasons = count_folder(plan.folder, plan.stage)
    summary = FolderSummary(
        num_shards=len(plan.sources),
        num_pairs=num_pairs,
        num_quarantined=num_quarantined,
        quarantine=reasons,
        unreadable=run.unreadable,
        new_shards=len(run.made),
        new_pairs=run.pairs,
        seconds=run.seconds,
        waited_seconds=run.waited_seconds,
        deaths=tuple(run.deaths),
        folder=plan.folder,
    )
    write_json(plan.folder / plan.stage.summary_file, describe(summary))
    return replace(summary, status=status_of(summary, plan.stage))
