"""Scores stored embeddings, without a model and without reading an image."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.atomic import append_jsonl, write_json
from thresher.data.files.lock import folder_lock
from thresher.data.files.quarantine import read_quarantine, write_quarantine
from thresher.errors import InputError
from thresher.scores.embeddings.parts import EMBED
from thresher.scores.embeddings.stored import Places, StoredEmbeddings, open_embeddings
from thresher.scores.normsim import normsim
from thresher.scores.parts import SCORE, write_part
from thresher.scores.s_clip_loss import s_clip_loss
from thresher.scores.spec import ScorerSpec, arguments, check_columns, parse_spec, summary_json
from thresher.scores.vectors import VectorScorer, VectorScorerFactory, clip_of_embeddings
from thresher.sharded.parts import PARTS_FOLDER, Stamp, check_stamp, list_parts, quarantine_path, read_stamp
from thresher.sharded.row import ROW_COLUMNS
from thresher.sharded.summary import FolderSummary, count_folder, status_of

__all__ = ["VECTOR_SCORERS", "EmbeddingProgress", "parse_vector_scorer", "score_embeddings"]

VECTOR_SCORERS: dict[str, VectorScorerFactory] = {
    "clip": clip_of_embeddings,
    "s-clip-loss": s_clip_loss,
    "normsim": normsim,
}
"""Name of a scorer of embeddings -> the function that takes its options."""

GROUP_PAIRS = 65_536
"""Pairs whose parts are scored together, so that what they are compared with is read once for all."""


@dataclass(frozen=True, slots=True)
class EmbeddingProgress:
    """How far a run is: pairs scored by every scorer of those that it has to score, and seconds so far."""

    pairs: float
    num_pairs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the embeddings, the part of the scores that is made of it, and its places."""

    source: Path
    out: Path
    places: Places
    stamp: Stamp


def parse_vector_scorer(text: str) -> ScorerSpec:
    """The scorer of embeddings that `NAME` or `NAME:key=value,key=value` stands for.

    Raises:
        InputError: a scorer or option that does not exist (the text names the nearest known one).

    >>> parse_vector_scorer("s-clip-loss:repeats=5").column
    's_clip_loss'
    """
    return parse_spec(text, VECTOR_SCORERS)


def score_embeddings(
    folder: str | Path,
    out: str | Path,
    specs: Sequence[ScorerSpec],
    *,
    progress: Callable[[EmbeddingProgress], None] | None = None,
) -> FolderSummary:
    """Score every pair of an embeddings folder; parts that are finished in `out` are not done again.

    Args:
        folder: What `thresher embed` wrote, finished. Its quarantine is taken over, so that every pair of the
            shards has a row or a reason.
        out: Folder for `parts/`, `scores.json` and `scores.log.jsonl`, as `score_shards` writes them.
        specs: Scorers, from `parse_vector_scorer`.
        progress: Called with every tile that is done.

    Returns:
        Counts over the whole folder and the times of this run.

    Raises:
        InputError: the embeddings are not finished, a scorer cannot be opened, another run holds the folder,
            or it holds scores of other embeddings or by another scorer.
    """
    check_columns(specs)
    embeddings = open_embeddings(folder)
    scores = Path(out)
    with folder_lock(scores):
        scorers = {
            spec.column: VECTOR_SCORERS[spec.name](**arguments(spec, VECTOR_SCORERS))(embeddings)
            for spec in specs
        }
        fingerprints = {column: scorer.fingerprint for column, scorer in scorers.items()}
        parts = _plan(embeddings, scores, fingerprints)
        due = [part for part in parts if not part.out.exists()]
        if due:
            (scores / SCORE.summary_file).unlink(missing_ok=True)  # it says that all is done
        clock = _Clock(sum(len(part.places) for part in due), len(scorers), progress)
        for group in _groups(due):
            _score(group, scorers, clock)
            append_jsonl(
                scores / SCORE.log_file,
                {
                    "event": "group",
                    "parts": [part.out.name for part in group],
                    "seconds": round(clock.seconds, 3),
                },
            )
        num_pairs, num_quarantined, reasons = count_folder(scores)
        summary = FolderSummary(
            num_shards=len(parts),
            num_pairs=num_pairs,
            num_quarantined=num_quarantined,
            quarantine=reasons,
            unreadable={},
            new_shards=len(due),
            new_pairs=clock.num_pairs,
            seconds=clock.seconds,
        )
        write_json(scores / SCORE.summary_file, summary_json(summary, specs, fingerprints))
        bare = [part.source.name for part in parts if "key" not in pq.read_schema(part.source).names]
        return replace(summary, status=(*status_of(summary, SCORE.done), *_unnamed(bare)))


def _unnamed(bare: Sequence[str]) -> list[str]:
    if not bare:
        return []
    return [
        f"{len(bare)} parts of the embeddings, the first is {bare[0]}, name their pairs by uid alone, so "
        "keys and captions are empty in the scores; `cut` and `combine` work by uid all the same"
    ]


def _plan(embeddings: StoredEmbeddings, scores: Path, fingerprints: dict[str, str]) -> list[_Part]:
    """All parts, in order; those that are there already were made of the same embeddings and scorers."""
    sources = list_parts(embeddings.folder)
    strays = {part.name for part in list_parts(scores)} - {source.name for source in sources}
    if strays:
        raise InputError(
            f"{scores / PARTS_FOLDER / min(strays)} has no counterpart among the parts of "
            f"{embeddings.folder}, so it is of other pairs; name another folder"
        )
    parts, start = [], 0
    for source in sources:
        end = start + int(pq.read_metadata(source).num_rows)
        found = read_stamp(source, EMBED)
        stamp = Stamp(found.shard, found.state, fingerprints, found.exclude)
        out = scores / PARTS_FOLDER / source.name
        if out.exists():
            check_stamp(out, read_stamp(out, SCORE), stamp, SCORE)
        parts.append(_Part(source, out, np.arange(start, end, dtype=np.int64), stamp))
        start = end
    return parts


def _groups(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Neighbouring parts of about `GROUP_PAIRS` pairs together."""
    group: list[_Part] = []
    for part in parts:
        group.append(part)
        if sum(len(held.places) for held in group) >= GROUP_PAIRS:
            yield group
            group = []
    if group:
        yield group


def _score(group: Sequence[_Part], scorers: dict[str, VectorScorer], clock: "_Clock") -> None:
    places = [part.places for part in group]
    found = {column: scorer.score(places, clock.step) for column, scorer in scorers.items()}
    for number, part in enumerate(group):
        refused = quarantine_path(part.source)
        if refused.exists():
            write_quarantine(quarantine_path(part.out), read_quarantine(refused))
        table = pq.read_table(part.source, partitioning=None)
        columns = {name: _texts(table, name, part.stamp.shard) for name in ROW_COLUMNS}
        write_part(part.out, columns, {column: of[number] for column, of in found.items()}, part.stamp)


def _texts(table: pa.Table, name: str, shard: str) -> list[str]:
    if name in table.column_names:
        texts: list[str] = table.column(name).to_pylist()
        return texts
    return [shard if name == "shard" else ""] * table.num_rows


class _Clock:
    """Time and progress of one run."""

    def __init__(
        self, num_pairs: int, num_scorers: int, progress: Callable[[EmbeddingProgress], None] | None
    ) -> None:
        self.num_pairs = num_pairs
        self._num_scorers = num_scorers
        self._progress = progress
        self._done = 0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def step(self, pairs: int) -> None:
        self._done += pairs
        if self._progress is not None:
            self._progress(EmbeddingProgress(self._done / self._num_scorers, self.num_pairs, self.seconds))
