"""The score table that pools are cut from: the parts of a scores folder and one of their columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.data.digests import hasher
from thresher.data.files.quarantine import read_quarantine
from thresher.data.files.record_file import from_record, own_file
from thresher.errors import InputError, nearest
from thresher.scores.spec import SCORE
from thresher.sharded.parts import (
    PARTS_FOLDER,
    ROW_COLUMNS,
    SUMMARY_FILE,
    part_names,
    quarantine_path,
    read_part,
)

_BATCH_ROWS = 2**16


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Finished parts in the order of their shards, the column to cut by, and others that were asked for.

    `parts` are the names of their files in `folder`, `ends` the rows of all parts up to the end of each.
    """

    folder: Path
    parts: tuple[str, ...]
    column: str
    others: tuple[str, ...]
    digest: str
    ends: npt.NDArray[np.int64]

    @property
    def num_rows(self) -> int:
        """Rows of all parts."""
        return int(self.ends[-1])

    def part_of(self, row: int) -> Path:
        """The part in which a row lies, of all rows counted through."""
        return self.folder / self.parts[int(np.searchsorted(self.ends, row, side="right"))]

    def batches(self, *columns: str) -> Iterator[tuple[int, int, pa.Table]]:
        """Some thousand rows at a time: number of the part, first row in it, and the columns as in `rows`."""
        for number in range(len(self.parts)):
            yield from ((number, start, table) for start, table in self.part_batches(number, *columns))

    def part_batches(self, number: int, *columns: str) -> Iterator[tuple[int, pa.Table]]:
        """The batches of one part, each with its first row."""
        start = 0
        with _opened(self.folder / self.parts[number]) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys([*columns, self.column]))):
                table = pa.Table.from_batches([batch]).select([*columns, self.column])
                yield start, table.rename_columns([*columns, "score"])
                start += batch.num_rows

    def rows(self, *columns: str) -> Iterator[tuple[Path, pa.Table]]:
        """Each part with some of its columns (and the score, under `score`)."""
        for part in map(self.folder.joinpath, self.parts):
            table = read_part(part, SCORE, [*columns, self.column])
            yield part, table.select([*columns, self.column]).rename_columns([*columns, "score"])


@contextmanager
def _opened(part: Path) -> Iterator[pq.ParquetFile]:
    with own_file(part, SCORE.anew), pq.ParquetFile(part, pre_buffer=False) as file:  # else all of it is held
        yield file


def open_scores(folder: Path, by: str, also: Sequence[str] = ()) -> ScoreTable:
    """The score table in `folder`; `by` is a column, or the name of a scorer that filled one column.

    `also` are further columns, or scorers, that rows are chosen by.

    Raises:
        InputError: the folder holds no finished scores, or none by `by` (the text names the columns).
    """
    parts = tuple(part_names(folder))
    if not parts:
        raise InputError(f"there are no scores in {folder}; run `score` first, or check the path")
    summary = read_summary(folder)
    inside = folder / PARTS_FOLDER
    with own_file(inside / parts[0], SCORE.anew):
        schema = pq.read_schema(inside / parts[0])
    columns = [field.name for field in schema if pa.types.is_floating(field.type)]
    column = _column(folder, by, columns, summary.scorers)
    others = tuple(_column(folder, name, columns, summary.scorers) for name in also)
    digest = hasher(column.encode())
    lengths = []
    for name in parts:
        with own_file(inside / name, SCORE.anew):
            metadata = pq.read_metadata(inside / name)
            found = metadata.schema.to_arrow_schema()
        absent = [field for field in (*ROW_COLUMNS, column, *others) if field not in found.names]
        if absent:
            raise InputError(f"{inside / name} has no column {absent[0]!r}; delete it and run `score` again")
        stamps = sorted((found.metadata or {}).items())
        digest.update(repr((name, metadata.num_rows, stamps)).encode())
        lengths.append(metadata.num_rows)
    if sum(lengths) != summary.counts.pairs:
        raise InputError(
            f"{folder} holds {sum(lengths):,} pairs where {SUMMARY_FILE} says {summary.counts.pairs:,}, so "
            "parts are missing or too many; run `score` again, which makes those that are missing"
        )
    return ScoreTable(inside, parts, column, others, digest.hexdigest(), np.cumsum(lengths))


@dataclass(frozen=True, slots=True)
class FilledColumn:
    """A column of scores, and the scorer that filled it."""

    column: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class _Counts:
    pairs: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What `scores.json` says: how many pairs there are, and who filled which column."""

    counts: _Counts
    scorers: tuple[FilledColumn, ...] = ()


def read_summary(folder: Path) -> Summary:
    """The summary of a scores folder.

    Raises:
        InputError: there is none yet, or it is damaged.
    """
    path = folder / SUMMARY_FILE
    if not path.exists():
        raise InputError(f"the scoring of {folder} is not finished; run `score` again, it goes on")
    with own_file(path, "run `score` again"):
        summary: Summary = from_record(Summary, json.loads(path.read_bytes()))
        return summary


def _column(folder: Path, name: str, columns: Sequence[str], scorers: Sequence[FilledColumn]) -> str:
    of_scorer = [scorer.column for scorer in scorers if scorer.name == name]
    column: str = of_scorer[0] if name not in columns and len(of_scorer) == 1 else name
    if column not in columns and len(of_scorer) > 1:
        raise InputError(
            f"the scorer {name!r} filled {len(of_scorer)} columns of {folder}: {', '.join(of_scorer)}; name "
            "one of them"
        )
    if column not in columns:
        raise InputError(f"{folder} has no score column {name!r}; {nearest(name, columns)}")
    return column


def usable(
    part: Path, table: pa.Table, first_row: int = 0, *, without: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Which rows of a part have a score; one without is passed over only if the part's quarantine has it.

    `table` holds the rows of the part from `first_row` on. Rows `without` which it goes anyway need no score.

    Raises:
        InputError: a score is NaN or infinite and its pair is not in the quarantine.
    """
    finite: npt.NDArray[np.bool_] = np.isfinite(table.column("score").to_numpy(zero_copy_only=False))
    if finite.all():
        return finite
    known = pa.array([], pa.string())
    if quarantine_path(part).exists():
        known = read_quarantine(quarantine_path(part)).column("uid").drop_null()
    excused = pc.is_in(table.column("uid"), value_set=known).to_numpy(zero_copy_only=False)
    if without is not None:
        excused = excused | without
    wrong = np.flatnonzero(~finite & ~excused)
    if len(wrong):
        row = int(wrong[0])
        uid, score = table.column("uid")[row].as_py(), table.column("score")[row].as_py()
        shard = read_part(part, SCORE, ["shard"]).column("shard")[first_row + row].as_py()
        raise InputError(
            f"the score of pair {uid} of {shard} is {score} (row {first_row + row} of {part}, {len(wrong)} "
            "such rows there); put the uids on the exclude list, or score again with a scorer that has a "
            "value for them"
        )
    return finite
