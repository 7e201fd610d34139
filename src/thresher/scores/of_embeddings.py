"""Scores stored embeddings, without a model and without reading an image."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.lock import folder_lock
from thresher.scores.embeddings.stored import EMBED, open_embeddings
from thresher.scores.normsim import normsim
from thresher.scores.s_clip_loss import s_clip_loss
from thresher.scores.spec import (
    SCORE,
    ScorerSpec,
    arguments,
    check_columns,
    entries,
    parse_spec,
    score_table,
    scores_json,
)
from thresher.scores.vectors import Step, VectorScorer, VectorScorerFactory, clip_of_embeddings
from thresher.sharded.job import FolderPlan, FolderRun, Made, Part, make_parts, plan_parts, sum_up, write_made
from thresher.sharded.parts import (
    PARTS_FOLDER,
    ROW_COLUMNS,
    list_parts,
    num_rows,
    read_part,
    read_stamp,
    rejects_of,
)
from thresher.sharded.summary import FolderSummary

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
        sources = list_parts(embeddings.folder)
        plan = _plan(embeddings.folder, sources, scores, fingerprints)
        num_pairs = sum(len(part.rows) for part in plan.parts)

        def make(parts: Sequence[Part], run: FolderRun) -> Generator[Made]:
            done = 0

            def step(pairs: int) -> None:
                nonlocal done
                done += pairs
                if progress is not None:
                    progress(EmbeddingProgress(done / len(scorers), num_pairs, run.seconds))

            for group in _groups(parts):
                yield from _score(group, embeddings.folder, scorers, step)
                names = [part.path.name for part in group]
                run.log("group", parts=names, seconds=round(run.seconds, 3))

        summary = sum_up(
            make_parts(plan, make), lambda summary: scores_json(summary, entries(specs, fingerprints))
        )
        bare = [source.name for source in sources if "key" not in pq.read_schema(source).names]
        return replace(summary, status=(*summary.status, *_unnamed(bare)))


def _unnamed(bare: Sequence[str]) -> list[str]:
    if not bare:
        return []
    return [
        f"{len(bare)} parts of the embeddings, the first is {bare[0]}, name their pairs by uid alone, so "
        "keys and captions are empty in the scores; `cut` and `combine` work by uid all the same"
    ]


def _plan(folder: Path, sources: Sequence[Path], scores: Path, fingerprints: dict[str, str]) -> FolderPlan:
    """A part for each part of the embeddings, called like it, with the places of its pairs."""
    parts, start = [], 0
    for source in sources:
        end = start + num_rows(source, EMBED)
        stamp = replace(read_stamp(source, EMBED), scorers=fingerprints)
        parts.append(Part(scores / PARTS_FOLDER / source.name, stamp, range(start, end)))
        start = end
    return plan_parts(
        *(scores, parts, SCORE),
        sources=[part.stamp.shard for part in parts],
        stray=f"has no counterpart among the parts of {folder}, so it is of other pairs; name another folder",
    )


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Neighbouring parts of about `GROUP_PAIRS` pairs together."""
    group: list[Part] = []
    for part in parts:
        group.append(part)
        if sum(len(held.rows) for held in group) >= GROUP_PAIRS:
            yield group
            group = []
    if group:
        yield group


def _score(
    group: Sequence[Part], folder: Path, scorers: dict[str, VectorScorer], step: Step
) -> Iterator[Made]:
    """The parts of a group; what was refused when they were embedded is refused here as well."""
    places = [np.arange(part.rows.start, part.rows.stop, dtype=np.int64) for part in group]
    found = {column: scorer.score(places, step) for column, scorer in scorers.items()}
    for number, part in enumerate(group):
        source = folder / PARTS_FOLDER / part.path.name
        table = read_part(source, EMBED)
        columns = {name: _texts(table, name, part.stamp.shard) for name in ROW_COLUMNS}
        scored = score_table(columns, {column: of[number] for column, of in found.items()})
        yield write_made(part, scored, rejects_of(source), SCORE)


def _texts(table: pa.Table, name: str, shard: str) -> list[str]:
    if name in table.column_names:
        texts: list[str] = table.column(name).to_pylist()
        return texts
    return [shard if name == "shard" else ""] * table.num_rows
