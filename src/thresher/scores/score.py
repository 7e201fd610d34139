"""Scoring shards: every pair decoded once, every scorer fed from it, one table a shard."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.executor.run import check_executor
from thresher.scores.registry import SCORERS, open_scorers
from thresher.scores.spec import SCORE, ScorerSpec, check_columns, entries, score_table, scores_json
from thresher.sharded.job import Part
from thresher.sharded.parts import ROW_COLUMNS
from thresher.sharded.scorer import Row
from thresher.sharded.shard import OpenScorers, ShardWork
from thresher.sharded.stage import Progress, run_stage
from thresher.sharded.summary import FolderSummary


def score_shards(
    shards: Sequence[str],
    out: str | Path,
    specs: Sequence[ScorerSpec],
    *,
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    executor: str = "local",
    ray_address: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FolderSummary:
    """Score every pair of the shards with every scorer; a shard that is finished in `out` is not done again.

    Args:
        shards: Names from `expand`; on going on with a folder, new ones stand after the old ones.
        out: Folder for `parts/`, `scores.json` and `scores.log.jsonl`.
        specs: Scorers, from `parse_scorer`.
        exclude: uids that are not scored; they go to the quarantine.
        workers: Processes that decode images, on Ray beside every worker; 0 decodes in the scorers' process.
            Scorers of captions need none.
        executor: `local`, in this process, or `ray`, by as many workers as fit on a Ray cluster. The parts
            are the same to the byte.
        ray_address: `host:port` of the cluster's head, or `auto`; None takes RAY_ADDRESS, or starts a Ray on
            this machine that ends with the run.
        progress: Called after every batch, on Ray after every shard.

    Returns:
        Counts over the whole folder and the times of this run. A shard that cannot be read does not stop the
        others: it is named in `unreadable`, has no part, and is tried again by the next run. So is a shard
        that changes while it is read, or on which worker after worker of a cluster dies.

    Raises:
        InputError: a scorer cannot be opened, another run holds the folder, or the folder holds scores of
            other shards, of a shard that has changed, or by another scorer.
        MissingExtra: the executor, a scorer or a path needs a package that is not installed.
    """
    check_columns(specs)
    check_executor(executor, ray_address)
    if not shards:
        raise InputError("no shards are given to score; name tar files, tables or folders of images")
    folder = Path(out)
    work = ShardWork(
        stage=SCORE,
        open=open_scoring,
        options=tuple(specs),
        exclude=exclude,
        workers=workers,
        gpu=any(wants_gpu(spec) for spec in specs),
    )
    with folder_lock(folder):
        return run_stage(
            *(folder, shards, work),
            lambda summary, _, fingerprints: scores_json(summary, entries(specs, fingerprints)),
            executor=executor,
            ray_address=ray_address,
            progress=progress,
        )


def open_scoring(specs: Sequence[ScorerSpec]) -> OpenScorers:
    """The scorers of the specs, ready to fill the columns of parts."""
    scorers = open_scorers(specs)

    def table(_: Part, rows: Sequence[Row], scores: Sequence[npt.NDArray[Any]]) -> pa.Table:
        columns = {name: [getattr(row, name) for row in rows] for name in ROW_COLUMNS}
        return score_table(columns, dict(zip(scorers, scores, strict=True)))

    return OpenScorers(
        scorers=list(scorers.values()),
        made_by={column: scorer.fingerprint for column, scorer in scorers.items()},
        table=table,
    )


def wants_gpu(spec: ScorerSpec) -> bool:
    """Whether a scorer has a model that would use a GPU where there is one.

    >>> from thresher.scores.registry import parse_scorer
    >>> wants_gpu(parse_scorer("clip")), wants_gpu(parse_scorer("clip:device=cpu")), wants_gpu(
    ...     parse_scorer("caption")
    ... )
    (True, False, False)
    """
    factory = SCORERS[spec.name]
    return "device" in inspect.signature(factory).parameters and dict(spec.options).get("device") != "cpu"
