"""Takes one shard through the scorers and makes its part, the same on every machine."""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.location import is_remote
from thresher.data.pairs import Reject
from thresher.executor.local import WorkerPool
from thresher.sharded.feed import Batch, batches
from thresher.sharded.job import Made, Part, write_failure, write_made
from thresher.sharded.parts import Stage, why_changed, write_rejects
from thresher.sharded.scorer import Pending, Row, Scorer

DECODE = "thresher.sharded.decode:decode_images"
BATCHES_AHEAD = 3
BATCHES_BEHIND = 2

Item = TypeVar("Item")

TableOf = Callable[[Part, Sequence[Row], Sequence[npt.NDArray[Any]]], pa.Table]
"""Table of a finished shard: its rows, and the result of each scorer. May leave a file beside the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenScorers:
    """Open scorers and what is made with them.

    Attributes:
        scorers: What every pair goes through.
        made_by: What the parts depend on, which is written into them: name -> fingerprint.
        table: Gives the table of a finished shard.
        about: What else the summary file says of the scorers: plain data.
    """

    scorers: Sequence[Scorer]
    made_by: Mapping[str, str]
    table: TableOf
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWork:
    """What is done to shards: plain data, so that it can travel to other machines.

    Attributes:
        stage: Whose folder it is.
        open: Opens the scorers, wherever the work is done: a function of a module, called with `options`.
        options: Plain data.
        exclude: uids that are left out; they go to the quarantine.
        workers: Processes that decode images; on Ray beside every worker. 0 decodes in the scorers' process.
        gpu: Whether the scorers want a GPU where there is one.
        need_caption: Whether a pair without a caption is refused.
        decode: Function of the decode processes, as `package.module:function`.
    """

    stage: Stage
    open: Callable[[Any], OpenScorers]
    options: Any
    exclude: frozenset[str]
    workers: int
    gpu: bool
    need_caption: bool = True
    decode: str = field(default_factory=lambda: DECODE)


class OpenShard:
    """Rows and results of a shard; `closed` once its last batch is through."""

    def __init__(self, scorers: Sequence[Scorer], part: Part) -> None:
        self.part = part
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
    parts: Sequence[Part], making: OpenScorers, pool: WorkerPool, work: ShardWork
) -> Generator[OpenShard]:
    """The shard under way after each of its batches; the caller closes `pool` before this iterator."""
    shards = [part.stamp.shard for part in parts]
    scorers = making.scorers
    ahead = 2 * work.workers + 2
    made = batches(
        *(shards, scorers, pool, work.exclude),
        ahead=ahead,
        stage=work.stage.name,
        need_caption=work.need_caption,
    )
    with closing(prefetched(made, depth=BATCHES_AHEAD)) as feed:
        shard: OpenShard | None = None
        ready = perf_counter()
        for batch in feed:
            waited = perf_counter() - ready
            if shard is None or shard.closed:
                shard = OpenShard(scorers, parts[batch.number])
            shard.waited_seconds += waited
            shard.add(batch)
            yield shard
            ready = perf_counter()


def prefetched(items: Generator[Item], *, depth: int) -> Generator[Item]:
    """The items, made by a thread of its own, at most `depth` of them ahead.

    An error in the generator is raised where the items are taken. Closing stops the thread.
    """
    end: Any = object()
    thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        held = deque(thread.submit(next, items, end) for _ in range(depth))
        while True:
            held.append(thread.submit(next, items, end))
            if (item := held.popleft().result()) is end:
                return
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
        items.close()


def keep(shard: OpenShard, making: OpenScorers, stage: Stage) -> Made:
    """Write the files of a shard that is through; after a lost connection another try may help.

    There is no part of one that could not be read to its end, gave nothing, or changed on the way.
    """
    part, rows, rejects = shard.part, shard.rows, shard.rejects
    failure = shard.failure or why_changed(part.stamp)
    nothing = None if rows else next((reject.reason for reject in rejects if not reject.key), None)
    if failure is not None:
        made = write_failure(part, failure, stage)
    elif nothing is not None:
        write_rejects(part.path, rejects)
        made = Made(part, 0, len(rejects), nothing)
    else:
        made = write_made(part, making.table(part, rows, shard.results()), rejects, stage)
    again = shard.failure is not None and is_remote(part.stamp.shard)
    return replace(made, waited_seconds=shard.waited_seconds, again=again)
