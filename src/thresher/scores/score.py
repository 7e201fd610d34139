"""Scoring shards: every pair decoded once, every scorer fed from it, one table a shard."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.scores import open_scorer
from thresher.scores.feed import Row
from thresher.scores.fill import Filling, Progress, fill_folder
from thresher.scores.parts import SCORE, write_part
from thresher.scores.resume import Job
from thresher.scores.spec import ROW_COLUMNS, ScorerSpec, check_columns
from thresher.scores.summary import FolderSummary, summary_json

__all__ = ["Progress", "score_shards"]


def score_shards(
    shards: Sequence[str],
    out: str | Path,
    specs: Sequence[ScorerSpec],
    *,
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    progress: Callable[[Progress], None] | None = None,
) -> FolderSummary:
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

        def write(job: Job, rows: Sequence[Row], scores: Sequence[npt.NDArray[Any]]) -> None:
            columns = {name: [getattr(row, name) for row in rows] for name in ROW_COLUMNS}
            write_part(job.part, columns, dict(zip(scorers, scores, strict=True)), job.stamp)

        filling = Filling(
            stage=SCORE,
            scorers=list(scorers.values()),
            made_by=fingerprints,
            write=write,
            describe=lambda summary: summary_json(summary, specs, fingerprints),
            exclude=exclude,
            workers=workers,
            progress=progress,
        )
        return fill_folder(folder, shards, filling)
