"""Filling a folder from shards: every pair decoded once, every scorer fed from it, one part a shard."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thresher.data.files.atomic import append_jsonl, write_json
from thresher.data.pairs import Reject
from thresher.executor.local import WorkerPool
from thresher.sharded.parts import Stage, digest_of, write_rejects
from thresher.sharded.remote import RemoteSettings, RemoteStage
from thresher.sharded.resume import Job, plan_work
from thresher.sharded.shard import Done, OpenScorers, keep, shards_through
from thresher.sharded.summary import FolderSummary, count_folder, status_of

PAUSES_S = (1.0, 10.0)
"""Before a remote shard that could not be read is tried again."""

DECODE = "thresher.sharded.decode:decode_images"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: shards finished of those that it has to do, pairs and seconds so far."""

    shards_done: int
    num_shards: int
    pairs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageJob:
    """What is to be made of shards, and where.

    Attributes:
        stage: Whose folder it is.
        open: Opens the scorers, wherever the work is done: a function of a module, called with `options`.
        options: Plain data.
        describe: (counts, `about` of what was opened, what made the parts) -> content of the summary file.
        exclude: uids that are left out; they go to the quarantine.
        workers: Processes that decode images; on Ray beside every worker. 0 decodes in the scorers' process.
        executor: `local` or `ray`.
        ray_address: Of the cluster; None as in `thresher.executor.cluster.connect`.
        gpu: Whether the scorers want a GPU where there is one.
        progress: Called after every batch, on Ray after every shard.
    """

    stage: Stage
    open: Callable[[Any], OpenScorers]
    options: Any
    describe: Callable[[FolderSummary, Mapping[str, Any], Mapping[str, str]], dict[str, Any]]
    exclude: frozenset[str]
    workers: int
    executor: str
    ray_address: str | None
    gpu: bool
    progress: Callable[[Progress], None] | None


def run_stage(folder: Path, shards: Sequence[str], filling: StageJob) -> FolderSummary:
    """Make the parts of all shards that have none yet; the caller holds the lock of the folder.

    A shard that cannot be read does not stop the others: it is named in `unreadable`, has no part, and is
    tried again by the next run. So is a shard that changes while it is read, and one on which worker after
    worker of a cluster dies.

    Raises:
        InputError: the scorers cannot be opened, or the folder holds parts of other shards, of a shard that
            has changed, or made by another scorer.
    """
    stage = filling.stage
    with ExitStack() as stack:
        afar: RemoteStage | None = None
        if filling.executor == "ray":
            afar = stack.enter_context(RemoteStage(_settings(filling), filling.ray_address))
            made_by, about = afar.opened()
        else:
            making = filling.open(filling.options)
            made_by, about = making.made_by, making.about
        work = plan_work(folder, shards, made_by, digest_of(filling.exclude), stage)
        if work.jobs or work.absent:
            (folder / stage.summary_file).unlink(missing_ok=True)  # it says that all is done
        for part, (shard, reason) in work.absent.items():
            write_rejects(part, [Reject(shard, "", None, stage.name, reason, 0)])
        run = _Run(len(work.jobs), filling, folder / stage.log_file)
        if work.jobs and afar is not None:
            run.deaths = afar.deaths
            run.work(work.jobs, lambda jobs: afar.done(jobs, made_by))
        elif work.jobs:
            run.work(work.jobs, lambda jobs: _done_here(jobs, making, filling, run))
    unreadable = dict(work.absent.values()) | run.unreadable
    order = {shard: number for number, shard in enumerate(shards)}
    num_pairs, num_quarantined, reasons = count_folder(folder)
    summary = FolderSummary(
        num_shards=len(shards),
        num_pairs=num_pairs,
        num_quarantined=num_quarantined,
        quarantine=reasons,
        unreadable=dict(sorted(unreadable.items(), key=lambda item: order[item[0]])),
        new_shards=run.shards_done - len(run.unreadable),
        new_pairs=run.pairs,
        seconds=run.seconds,
        waited_seconds=run.waited_seconds,
        deaths=tuple(run.deaths),
    )
    write_json(folder / stage.summary_file, filling.describe(summary, about, made_by))
    return replace(summary, status=status_of(summary, stage.done))


def _settings(filling: StageJob) -> RemoteSettings:
    return RemoteSettings(
        stage=filling.stage,
        open=filling.open,
        options=filling.options,
        decode=DECODE,
        exclude=filling.exclude,
        workers=filling.workers,
        gpu=filling.gpu,
    )


def _done_here(jobs: Sequence[Job], making: OpenScorers, filling: StageJob, run: "_Run") -> Generator[Done]:
    """Each shard once its part is written; the run hears of the one under way after each batch."""
    pool = WorkerPool(DECODE, workers=filling.workers)
    pool.deaths = run.deaths
    through = shards_through(
        jobs, making, pool, exclude=filling.exclude, ahead=2 * filling.workers + 2, stage=filling.stage
    )
    with closing(through), pool:  # the pool is left first, so that nothing the feed waits for can hold it
        for shard in through:
            if shard.closed:
                yield keep(shard, making, filling.stage)
            else:
                run.look(len(shard.rows))


class _Run:
    """The shards of one run as they get done, with what there is to tell about it."""

    def __init__(self, num_shards: int, filling: StageJob, log: Path) -> None:
        self._num_shards = num_shards
        self._tell = filling.progress
        self._log = log
        self._started = 0.0
        self.shards_done = 0
        self.pairs = 0
        self.seconds = 0.0
        self.waited_seconds = 0.0
        self.unreadable: dict[str, str] = {}
        self.deaths: list[str] = []

    def work(self, jobs: Sequence[Job], do: Callable[[Sequence[Job]], Generator[Done]]) -> None:
        """Take every shard as it gets done; those that were lost on the way are tried again at the end."""
        self._started = time.perf_counter()
        self.look(0)
        for pause in (*PAUSES_S, None):
            again: list[Job] = []
            with closing(do(jobs)) as all_done:
                for done in all_done:
                    if done.again and pause is not None:
                        again.append(done.job)
                    else:
                        self._take(done)
            if not again or pause is None:
                break
            time.sleep(pause)
            jobs = again
        self.seconds = time.perf_counter() - self._started
        self._write_log(
            {"event": "run", "waited_seconds": round(self.waited_seconds, 3), "deaths": self.deaths}
        )

    def look(self, open_pairs: int) -> None:
        """Say how far the run is, with so many pairs of shards that are under way."""
        self.seconds = time.perf_counter() - self._started
        if self._tell is not None:
            pairs = self.pairs + open_pairs
            self._tell(Progress(self.shards_done, self._num_shards, pairs, self.seconds))

    def _take(self, done: Done) -> None:
        shard = done.job.stamp.shard
        self.shards_done += 1
        self.pairs += done.pairs
        self.waited_seconds += done.waited_seconds
        if done.failure is not None:
            self.unreadable[shard] = done.failure
        self.look(0)
        self._write_log({"event": "shard", "shard": shard, "pairs": done.pairs, "rejects": done.rejects})

    def _write_log(self, fields: dict[str, object]) -> None:
        rate = self.pairs / self.seconds if self.seconds else 0.0
        times = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(self.seconds, 3)}
        append_jsonl(
            self._log, {**fields, **times, "pairs_so_far": self.pairs, "pairs_per_second": round(rate, 2)}
        )
