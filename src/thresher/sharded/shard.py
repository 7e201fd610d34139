"""Takes one shard through the scorers and makes its part, the same on every machine."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.files.location import is_remote
from thresher.data.pairs import Reject
from thresher.executor.local import WorkerPool
from thresher.executor.prefetch import Prefetch
from thresher.sharded.feed import Batch, ShardSource, batches
from thresher.sharded.parts import Stage, write_rejects
from thresher.sharded.resume import Job, why_changed
from thresher.sharded.row import Row
from thresher.sharded.scorer import Pending, Scorer

BATCHES_AHEAD = 2
BATCHES_BEHIND = 2

Write = Callable[[Job, Sequence[Row], Sequence[npt.NDArray[Any]]], None]
"""Writes the part of a finished shard: its rows, and the result of each scorer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenScorers:
    """Open scorers and what is made with them.

    Attributes:
        scorers: What every pair goes through.
        made_by: What the parts depend on, which is written into them: name -> fingerprint.
        write: Writes the part of a finished shard.
        about: What else the summary file says of the scorers: plain data.
    """

    scorers: Sequence[Scorer]
    made_by: Mapping[str, str]
    write: Write
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """A shard that is through: its pairs and what was refused of them.

    `failure` says why nothing of it was kept, None when all went well; `again` that another try may help;
    `waited_seconds` is how long the scorers waited for pairs.
    """

    job: Job
    pairs: int
    rejects: int
    failure: str | None
    waited_seconds: float = 0.0
    again: bool = False


class OpenShard:
    """Rows and results of a shard; `closed` once its last batch is through."""

    def __init__(self, scorers: Sequence[Scorer], job: Job) -> None:
        self.job = job
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.closed = False
        self.failure: str | None = None
        self.waited_seconds = 0.0
        self._scorers = scorers
        self._done: list[list[npt.NDArray[Any]]] = [[] for _ in scorers]
        self._under_way: deque[list[Pending]] = deque()

    def add(self, batch: Batch) -> None:
        """Hand a batch to the scorers, and take what they have finished."""
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
        self.closed, self.failure = batch.last, batch.failure

    def results(self) -> list[npt.NDArray[Any]]:
        """The results of all rows, one array a scorer."""
        return [
            np.concatenate([np.empty(0, dtype=scorer.result), *done])
            for scorer, done in zip(self._scorers, self._done, strict=True)
        ]


def shards_through(
    jobs: Sequence[Job],
    making: OpenScorers,
    pool: WorkerPool,
    *,
    exclude: frozenset[str],
    ahead: int,
    stage: Stage,
) -> Generator[OpenShard]:
    """The shard under way after each of its batches; the caller closes `pool` before this iterator."""
    sources = [ShardSource(number, job.stamp.shard) for number, job in enumerate(jobs)]
    scorers = making.scorers

    def feeding() -> Iterator[Batch]:
        return batches(sources, scorers, pool, exclude, ahead=ahead, stage=stage.name)

    with Prefetch(feeding, depth=BATCHES_AHEAD) as feed:
        shard: OpenShard | None = None
        ready = perf_counter()
        for batch in feed:
            waited = perf_counter() - ready
            if shard is None or shard.closed:
                shard = OpenShard(scorers, jobs[batch.source.number])
            shard.waited_seconds += waited
            shard.add(batch)
            yield shard
            ready = perf_counter()


def keep(shard: OpenShard, making: OpenScorers, stage: Stage) -> Done:
    """Write the files of a shard that is through: what was refused, then the part, if there is to be one.

    There is none of a shard that could not be read to its end, gave nothing, or changed on the way.
    """
    job, rejects = shard.job, shard.rejects
    failure = shard.failure or why_changed(job.stamp)
    if failure is not None:
        rejects = [Reject(job.stamp.shard, "", None, stage.name, failure, 0)]
    elif not shard.rows:
        failure = next((reject.reason for reject in rejects if not reject.key), None)
    write_rejects(job.part, rejects)
    if failure is not None:
        lost = shard.failure is not None and is_remote(job.stamp.shard)  # a connection, maybe
        return Done(job, 0, len(rejects), failure, shard.waited_seconds, again=lost)
    making.write(job, shard.rows, shard.results())
    return Done(job, len(shard.rows), len(rejects), None, shard.waited_seconds)
