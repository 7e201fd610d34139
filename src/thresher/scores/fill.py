"""Filling a folder from shards: every pair decoded once, every scorer fed from it, one part a shard."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.pairs import Reject
from thresher.data.writer import append_jsonl, write_json
from thresher.executor.local import WorkerPool
from thresher.executor.prefetch import Prefetch
from thresher.scores.feed import Batch, Row, Source, batches
from thresher.scores.parts import Stage, digest_of, write_rejects
from thresher.scores.resume import Job, plan_work
from thresher.scores.scorer import Pending, Scorer
from thresher.scores.summary import FolderSummary, count_folder, status_of

DECODE = "thresher.scores.decode:decode_images"
BATCHES_AHEAD = 2
BATCHES_BEHIND = 2

Write = Callable[[Job, Sequence[Row], Sequence[npt.NDArray[Any]]], None]
"""Writes the part of a finished shard: its rows, and the result of each scorer."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: shards finished of those that it has to do, pairs and seconds so far."""

    shards_done: int
    num_shards: int
    pairs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What is to be made of shards, and how.

    Attributes:
        stage: Whose folder it is.
        scorers: What every pair goes through.
        made_by: What the parts depend on, which is written into them: name -> fingerprint.
        write: Writes the part of a finished shard.
        describe: The content of the summary file.
        exclude: uids that are left out; they go to the quarantine.
        workers: Processes that decode images; 0 decodes in this process.
        progress: Called after every batch.
    """

    stage: Stage
    scorers: Sequence[Scorer]
    made_by: Mapping[str, str]
    write: Write
    describe: Callable[[FolderSummary], dict[str, Any]]
    exclude: frozenset[str]
    workers: int
    progress: Callable[[Progress], None] | None


def fill_folder(folder: Path, shards: Sequence[str], filling: Filling) -> FolderSummary:
    """Make the parts of all shards that have none yet; the caller holds the lock of the folder.

    A shard that cannot be read does not stop the others: it is named in `unreadable`, has no part, and is
    tried again by the next run.

    Raises:
        InputError: the folder holds parts of other shards, of a shard that has changed, or made by another
            scorer.
    """
    stage = filling.stage
    work = plan_work(folder, shards, filling.made_by, digest_of(filling.exclude), stage)
    if work.jobs or work.absent:
        (folder / stage.summary_file).unlink(missing_ok=True)  # it says that all is done
    for part, (shard, reason) in work.absent.items():
        write_rejects(part, [Reject(shard, "", None, stage.name, reason, 0)])
    run = _Run(work.jobs, filling, folder / stage.log_file)
    if work.jobs:
        run.work()
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
    write_json(folder / stage.summary_file, filling.describe(summary))
    return replace(summary, status=status_of(summary, stage.done))


class _Run:
    """The shards of one run on their way through the scorers, with what there is to tell about it."""

    def __init__(self, jobs: Sequence[Job], filling: Filling, log: Path) -> None:
        self._jobs = jobs
        self._filling = filling
        self._log = log
        self.shards_done = 0
        self.pairs = 0
        self.seconds = 0.0
        self.waited_seconds = 0.0
        self.unreadable: dict[str, str] = {}
        self.deaths: list[str] = []

    def work(self) -> None:
        """Do all jobs; a part is written when the last batch of its shard is through."""
        filling = self._filling
        sources = [Source(number, job.stamp.shard) for number, job in enumerate(self._jobs)]
        ahead, stage = 2 * filling.workers + 2, filling.stage.name
        started = time.perf_counter()
        with ExitStack() as stack:
            pool = WorkerPool(DECODE, workers=filling.workers)
            feed = Prefetch(
                lambda: batches(sources, filling.scorers, pool, filling.exclude, ahead=ahead, stage=stage),
                depth=BATCHES_AHEAD,
            )
            stack.enter_context(feed)
            stack.enter_context(pool)  # left first, so that nothing the feed waits for can hold it
            shard = _OpenShard(filling.scorers)
            ready = time.perf_counter()
            for batch in feed:
                self.waited_seconds += time.perf_counter() - ready
                shard.add(batch)
                self.seconds = time.perf_counter() - started
                if batch.last:
                    self._finish(self._jobs[batch.source.number], shard, batch.failure)
                    shard = _OpenShard(filling.scorers)
                if filling.progress is not None:
                    filling.progress(
                        Progress(self.shards_done, len(self._jobs), self.pairs + shard.pairs, self.seconds)
                    )
                ready = time.perf_counter()
            self.seconds = time.perf_counter() - started
            self.deaths = pool.deaths
        self._write_log(
            {"event": "run", "waited_seconds": round(self.waited_seconds, 3), "deaths": self.deaths}
        )

    def _finish(self, job: Job, shard: "_OpenShard", failure: str | None) -> None:
        rejects = shard.rejects
        if failure is not None:
            rejects = [Reject(job.stamp.shard, "", None, self._filling.stage.name, failure, 0)]
        write_rejects(job.part, rejects)
        whole = next((reject.reason for reject in rejects if not reject.key), None)
        if failure is not None or (whole is not None and not shard.rows):
            self.unreadable[job.stamp.shard] = whole or ""
        else:
            self._filling.write(job, shard.rows, shard.results())
            self.pairs += shard.pairs
        self.shards_done += 1
        self._write_log(
            {"event": "shard", "shard": job.stamp.shard, "pairs": shard.pairs, "rejects": len(rejects)}
        )

    def _write_log(self, fields: dict[str, object]) -> None:
        rate = self.pairs / self.seconds if self.seconds else 0.0
        times = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(self.seconds, 3)}
        append_jsonl(
            self._log, {**fields, **times, "pairs_so_far": self.pairs, "pairs_per_second": round(rate, 2)}
        )


class _OpenShard:
    """Rows and results of the shard that is under way."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self._scorers = scorers
        self._done: list[list[npt.NDArray[Any]]] = [[] for _ in scorers]
        self._under_way: deque[list[Pending]] = deque()

    @property
    def pairs(self) -> int:
        return len(self.rows)

    def add(self, batch: Batch) -> None:
        self.rejects.extend(batch.rejects)
        if batch.rows:
            self.rows.extend(batch.rows)
            self._under_way.append(
                [
                    scorer.score(images, prepared)
                    for scorer, (images, prepared) in zip(self._scorers, batch.inputs, strict=True)
                ]
            )
        while len(self._under_way) > (0 if batch.last else BATCHES_BEHIND):
            for done, pending in zip(self._done, self._under_way.popleft(), strict=True):
                done.append(pending())

    def results(self) -> list[npt.NDArray[Any]]:
        """The results of all rows, one array a scorer."""
        return [
            np.concatenate([np.empty(0, dtype=scorer.result), *done])
            for scorer, done in zip(self._scorers, self._done, strict=True)
        ]
