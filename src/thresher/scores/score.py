"""Scoring shards: every pair decoded once, every scorer fed from it, one table a shard."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thresher.data.pairs import Reject
from thresher.data.writer import append_jsonl, write_json
from thresher.errors import InputError
from thresher.executor.local import WorkerPool
from thresher.executor.lock import folder_lock
from thresher.executor.prefetch import Prefetch
from thresher.scores import open_scorer
from thresher.scores.feed import Batch, Row, Source, batches
from thresher.scores.parts import LOG_FILE, SUMMARY_FILE, digest_of, write_part, write_rejects
from thresher.scores.resume import Job, plan_work
from thresher.scores.scorer import Pending, Scorer
from thresher.scores.spec import ROW_COLUMNS, ScorerSpec, check_columns
from thresher.scores.summary import ScoreSummary, count_folder, status_of, summary_json

DECODE = "thresher.scores.decode:decode_images"
BATCHES_AHEAD = 2
BATCHES_BEHIND = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scoring run is: shards finished of those that it has to do, pairs and seconds so far."""

    shards_done: int
    num_shards: int
    pairs: int
    seconds: float


def score_shards(
    shards: Sequence[str],
    out: str | Path,
    specs: Sequence[ScorerSpec],
    *,
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    progress: Callable[[Progress], None] | None = None,
) -> ScoreSummary:
    """Score every pair of the shards with every scorer; a shard that is finished in `out` is not done again.

    Args:
        shards: Names from `expand`; on going on with a folder, new ones stand after the old ones.
        out: Folder for `parts/`, `scores.json` and `scores.log.jsonl`.
        specs: Scorers, from `parse_scorer`.
        exclude: uids that are not scored; they go to the quarantine.
        workers: Processes that decode images; 0 decodes in this process. Scorers of captions need none.
        progress: Called after every batch.

    Returns:
        Counts over the whole folder and the times of this run. A shard that cannot be read does not stop the
        others: it is named in `unreadable`, has no part, and is tried again by the next run.

    Raises:
        InputError: a scorer cannot be opened, another run holds the folder, or the folder holds scores of
            other shards, of a shard that has changed, or by another scorer.
    """
    check_columns(specs)
    if not shards:
        raise InputError("no shards are given to score; name tar files, tables or folders of images")
    folder = Path(out)
    with folder_lock(folder):
        scorers = {spec.column: open_scorer(spec) for spec in specs}
        fingerprints = {column: scorer.fingerprint for column, scorer in scorers.items()}
        work = plan_work(folder, shards, fingerprints, digest_of(exclude))
        if work.jobs or work.absent:
            (folder / SUMMARY_FILE).unlink(missing_ok=True)  # it says that all is done
        for part, (shard, reason) in work.absent.items():
            write_rejects(part, [Reject(shard, "", None, "score", reason, 0)])
        run = _Run(work.jobs, scorers, folder / LOG_FILE, progress)
        if work.jobs:
            run.score(exclude, workers)
        unreadable = dict(work.absent.values()) | run.unreadable
        order = {shard: number for number, shard in enumerate(shards)}
        num_pairs, num_quarantined, reasons = count_folder(folder)
        summary = ScoreSummary(
            num_shards=len(shards),
            num_pairs=num_pairs,
            num_quarantined=num_quarantined,
            quarantine=reasons,
            unreadable=dict(sorted(unreadable.items(), key=lambda item: order[item[0]])),
            scored_shards=run.shards_done - len(run.unreadable),
            scored_pairs=run.pairs,
            seconds=run.seconds,
            waited_seconds=run.waited_seconds,
            deaths=tuple(run.deaths),
        )
        write_json(folder / SUMMARY_FILE, summary_json(summary, specs, fingerprints))
    return replace(summary, status=status_of(summary))


class _Run:
    """The shards of one run on their way through the scorers, with what there is to tell about it."""

    def __init__(
        self,
        jobs: Sequence[Job],
        scorers: Mapping[str, Scorer],
        log: Path,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._jobs = jobs
        self._scorers = scorers
        self._log = log
        self._progress = progress
        self.shards_done = 0
        self.pairs = 0
        self.seconds = 0.0
        self.waited_seconds = 0.0
        self.unreadable: dict[str, str] = {}
        self.deaths: list[str] = []

    def score(self, exclude: frozenset[str], workers: int) -> None:
        """Score all jobs; a part is written when the last batch of its shard is scored."""
        sources = [Source(number, job.stamp.shard) for number, job in enumerate(self._jobs)]
        scorers = list(self._scorers.values())
        ahead = 2 * workers + 2
        started = time.perf_counter()
        with ExitStack() as stack:
            pool = WorkerPool(DECODE, workers=workers)
            feed = Prefetch(
                lambda: batches(sources, scorers, pool, exclude, ahead=ahead), depth=BATCHES_AHEAD
            )
            stack.enter_context(feed)
            stack.enter_context(pool)  # left first, so that nothing the feed waits for can hold it
            shard = _OpenShard(scorers)
            ready = time.perf_counter()
            for batch in feed:
                self.waited_seconds += time.perf_counter() - ready
                shard.add(batch)
                self.seconds = time.perf_counter() - started
                if batch.last:
                    self._finish(self._jobs[batch.source.number], shard, batch.failure)
                    shard = _OpenShard(scorers)
                if self._progress is not None:
                    self._progress(
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
            rejects = [Reject(job.stamp.shard, "", None, "score", failure, 0)]
        write_rejects(job.part, rejects)
        whole = next((reject.reason for reject in rejects if not reject.key), None)
        if failure is not None or (whole is not None and not shard.rows):
            self.unreadable[job.stamp.shard] = whole or ""
        else:
            columns = {name: [getattr(row, name) for row in shard.rows] for name in ROW_COLUMNS}
            write_part(job.part, columns, dict(zip(self._scorers, shard.scores(), strict=True)), job.stamp)
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
    """Rows and scores of the shard that is being scored."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self._scorers = scorers
        self._done: list[list[npt.NDArray[np.float32]]] = [[] for _ in scorers]
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

    def scores(self) -> list[npt.NDArray[np.float32]]:
        """Float32 scores of all rows, one array a scorer."""
        nothing = np.empty(0, dtype=np.float32)
        return [np.concatenate([nothing, *done]) for done in self._done]
