"""Filling a folder from shards: every pair decoded once, every scorer fed from it, one part a shard."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.executor.local import WorkerPool
from thresher.executor.ray import RayPool
from thresher.sharded.job import FolderRun, Made, Part, make_parts, plan_shards, sum_up
from thresher.sharded.parts import digest_of
from thresher.sharded.remote import MAKER, made_on, opened_on
from thresher.sharded.shard import OpenScorers, ShardWork, keep, shards_through
from thresher.sharded.summary import FolderSummary


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: shards finished of those that it has to do, pairs and seconds so far."""

    shards_done: int
    num_shards: int
    pairs: int
    seconds: float


Describe = Callable[[FolderSummary, Mapping[str, Any], Mapping[str, str]], dict[str, Any]]
"""(counts, `about` of what was opened, what made the parts) -> content of the summary file."""


def run_stage(
    folder: Path,
    shards: Sequence[str],
    work: ShardWork,
    describe: Describe,
    *,
    executor: str,
    ray_address: str | None,
    progress: Callable[[Progress], None] | None,
) -> FolderSummary:
    """Make the parts of all shards that have none yet; the caller holds the lock of the folder.

    A shard that cannot be read does not stop the others: it is named in `unreadable`, has no part, and is
    tried again by the next run. So is a shard that changes while it is read, and one on which worker after
    worker of a cluster dies.

    Args:
        folder: Of the parts.
        shards: Tars, folders or tables of pairs.
        work: What is done to each of them.
        describe: What the summary file says.
        executor: `local` or `ray`.
        ray_address: Of the cluster; None as in `thresher.executor.cluster.connect`.
        progress: Called after every batch, on Ray after every shard.

    Raises:
        InputError: the scorers cannot be opened, or the folder holds parts of other shards, of a shard that
            has changed, or made by another scorer.
    """
    with ExitStack() as stack:
        afar: RayPool | None = None
        if executor == "ray":
            afar = stack.enter_context(
                RayPool(MAKER, settings=work, address=ray_address, cpus=max(work.workers, 1), gpu=work.gpu)
            )
            made_by, about = opened_on(afar)
        else:
            making = work.open(work.options)
            made_by, about = making.made_by, making.about
        plan = plan_shards(folder, shards, made_by, digest_of(work.exclude), work.stage)

        def look(run: FolderRun, open_pairs: int = 0) -> None:
            if progress is not None:
                pairs = run.pairs + open_pairs
                progress(Progress(run.done, len(plan.parts), pairs, run.seconds))

        def make(parts: Sequence[Part], run: FolderRun) -> Generator[Made]:
            if not run.done:
                look(run)
            if afar is None:
                return _made_here(parts, making, work, run, look)
            run.deaths = afar.deaths
            return made_on(afar, parts, made_by, work.stage)

        def after(run: FolderRun, made: Made) -> None:
            look(run)
            shard = made.part.stamp.shard
            run.log("shard", shard=shard, pairs=made.pairs, rejects=made.rejects, **_times(run))

        run = make_parts(plan, make, after)
    if plan.parts:
        run.log("run", waited_seconds=round(run.waited_seconds, 3), deaths=run.deaths, **_times(run))
    return sum_up(run, lambda summary: describe(summary, about, made_by))


def _times(run: FolderRun) -> dict[str, object]:
    return {**run.times(), "pairs_per_second": round(run.pairs / run.seconds, 2)}


def _made_here(
    parts: Sequence[Part],
    making: OpenScorers,
    work: ShardWork,
    run: FolderRun,
    look: Callable[[FolderRun, int], None],
) -> Generator[Made]:
    """Each shard once its part is written; the pairs of the one under way are told after each batch."""
    pool = WorkerPool(work.decode, workers=work.workers)
    pool.deaths = run.deaths
    through = shards_through(parts, making, pool, work)
    with closing(through), pool:  # the pool is left first, so that nothing the feed waits for can hold it
        for shard in through:
            if shard.closed:
                yield keep(shard, making, work.stage)
            else:
                look(run, len(shard.rows))
