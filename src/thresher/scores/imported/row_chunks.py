"""Fills a folder from Parquet files, some thousands of rows a part; finished parts are not made again.

What is imported of the rows beside their pairs is a `Payload`. Also words the warnings of an import, each
with its remedy.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from thresher.errors import InputError
from thresher.scores.imported.joining import Joining
from thresher.scores.imported.pair_ids import NO_SUCH_KEY, NO_SUCH_UID, Naming, Rows
from thresher.scores.imported.parquet_files import BadFile, ParquetSource, Sources, state_of
from thresher.scores.imported.shard_pairs import write_missing_pairs
from thresher.sharded.job import (
    FolderPlan,
    FolderRun,
    Made,
    Part,
    make_parts,
    plan_parts,
    sum_up,
    write_failure,
    write_made,
)
from thresher.sharded.parts import Stage, Stamp, list_parts, part_path
from thresher.sharded.summary import FolderSummary
from thresher.tables import percent

JOINED = "joined by"
"""Name under which a part's stamp says how its rows found their pairs."""

LONGEST_STEM = 80

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all, and pairs so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What is imported of rows beside their pairs.

    Attributes:
        stage: Whose folder it is.
        made_by: What its parts depend on, besides how rows find their pairs: name -> fingerprint.
        rows_a_part: Rows of a file that one part is made of.
        read: (a file, how its rows tell their pair, first rows of pieces) -> of each of these pieces, in
            rising order, the first row, its columns, and what else is read of it.
        take: (path of a part, its rows, what else was read) -> the columns of the part for all rows, of which
            it refuses those that it cannot take. May leave a file of the others beside the part.
    """

    stage: Stage
    made_by: Mapping[str, str]
    rows_a_part: int
    read: Callable[[ParquetSource, Naming, frozenset[int]], Iterator[tuple[int, pa.Table, Any]]]
    take: Callable[[Path, Rows, Any], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a folder holds now.

    Attributes:
        summary: Its counts; what are shards there are files here.
        rows: Rows of the files that could be read.
        pairs_in_shards: Pairs of the shards.
        missing: Those of them that no row is about; None where no shards are given.
        unreadable_shards: Shard -> why it gave no pairs.
    """

    summary: FolderSummary
    rows: int
    pairs_in_shards: int = 0
    missing: int | None = None
    unreadable_shards: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> FolderSummary:
        """The counts, with the shards beside the files of which something is missing."""
        return replace(self.summary, unreadable={**self.summary.unreadable, **self.unreadable_shards})

    @property
    def incomplete(self) -> bool:
        """Whether a file, a shard or everything is missing."""
        return self.told.incomplete

    @property
    def status(self) -> tuple[str, ...]:
        """A sentence for each thing that a reader should act on."""
        said = list(self.summary.status)
        if self.unreadable_shards:
            shard, reason = next(iter(self.unreadable_shards.items()))
            said.insert(
                1 if self.summary.unreadable else 0,  # after the files
                f"{len(self.unreadable_shards)} shards gave no pairs, the first is {shard} ({reason}); mend "
                "them and import into another folder",
            )
        absent = sum(self.summary.quarantine.get(reason, 0) for reason in (NO_SUCH_UID, NO_SUCH_KEY))
        if absent and self.summary.num_pairs:
            said.append(
                f"{absent:,} of {self.rows:,} rows ({percent(absent / self.rows, 1)}) are about pairs that "
                "the shards do not hold; they are in the quarantine, and pools are cut from the others"
            )
        if self.missing:
            said.append(
                f"{self.missing:,} of {self.pairs_in_shards:,} pairs of the shards have no row in the "
                "tables; they are in the quarantine and will be in no pool"
            )
        return tuple(said)


def import_stage(noun: str, differs: Callable[[Mapping[str, str], Mapping[str, str]], str | None]) -> Stage:
    """The stage that imports what `noun` says; `differs` tells parts apart that found their pairs alike."""

    def otherwise(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
        difference = differs(found, now)
        if difference is None and found.get(JOINED) != now[JOINED]:
            difference = (
                "was joined to other shards, or by other columns of uid or key, or carries other columns"
            )
        return difference and f"{difference}; name another folder, or delete this one to import again"

    return Stage(
        name=f"import-{noun}",
        done="imported",
        noun=noun,
        differs=otherwise,
        exclude_remedy="name another folder",
        sources="files",
        unread="were not taken, or not whole; the first is",
        nothing=f"no {noun} were",
    )


def fill_row_chunks(
    folder: Path, sources: Sources, joining: Joining, payload: Payload, progress: Progress | None
) -> FolderRun:
    """Make the parts that are not there yet; the caller holds the lock of the folder.

    A file that cannot be read does not stop the others. `progress` is called after every part.

    Raises:
        InputError: the folder holds parts of other files, of a file that changed, or made otherwise.
    """

    def make(parts: Sequence[Part], run: FolderRun) -> Generator[Made]:
        of_file: dict[int, list[Part]] = {}
        for part in parts:
            of_file.setdefault(_number(part.path), []).append(part)
        for number, source in enumerate(sources.usable):
            left = of_file.get(source.number)
            if not left:
                continue
            try:
                for made in _write(source, tuple(left), joining, payload):
                    left.remove(made.part)
                    yield made
                    if progress is not None:
                        progress(number, len(sources.usable), run.pairs)
                _check_unchanged(source)
            except BadFile as error:
                yield write_failure(left[0], str(error), payload.stage)
            run.log("file", file=re.sub(r"[^ -~]", "?", source.path), **run.times())

    return make_parts(_plan(folder, sources, joining, payload), make)


def filled(
    run: FolderRun, sources: Sources, joining: Joining, describe: Callable[[Filled], dict[str, Any]]
) -> Filled:
    """What a folder holds that was filled, which is written to its summary file.

    Pairs of the shards that no row is about go to the quarantine.
    """
    missing, pairs, plan = None, joining.pairs, run.plan
    if pairs is not None:
        count = len(plan.sources)
        missing = write_missing_pairs(plan.folder, list_parts(plan.folder), pairs, plan.stage, count)

    def found(summary: FolderSummary) -> Filled:
        return Filled(
            summary=summary,
            rows=sources.rows,
            pairs_in_shards=0 if pairs is None else len(pairs),
            missing=missing,
            unreadable_shards={} if pairs is None else pairs.unreadable,
        )

    return found(sum_up(run, lambda summary: describe(found(summary))))


def _write(
    source: ParquetSource, parts: Sequence[Part], joining: Joining, payload: Payload
) -> Iterator[Made]:
    """Write some parts of a file, in their order."""
    naming, by_start = joining.namings[source.number], {part.rows.start: part for part in parts}
    for start, table, more in payload.read(source, naming, frozenset(by_start)):
        rows = Rows(table, naming, joining.pairs, source.path, start)
        made = payload.take(by_start[start].path, rows, more)
        kept = made.take(pa.array(np.flatnonzero(rows.kept)))
        yield write_made(by_start[start], kept, rows.quarantine(payload.stage.name), payload.stage)


def piece_path(folder: Path, number: int, path: str, place: int) -> Path:
    """Path of the part of the piece at `place` of file `number`.

    >>> piece_path(Path("scores"), 3, "metadata/0a1b.parquet", 2).as_posix()
    'scores/parts/00003-0a1b.00002.parquet'
    """
    stem = path.rstrip("/").rpartition("/")[2].removesuffix(".parquet")[:LONGEST_STEM]
    return part_path(folder, number, f"{stem}.{place:05d}")


def _plan(folder: Path, sources: Sources, joining: Joining, payload: Payload) -> FolderPlan:
    made_by = {**payload.made_by, JOINED: joining.mark}
    parts = [
        Part(
            piece_path(folder, source.number, source.path, place),
            Stamp(source.path, source.state, made_by, ""),
            range(start, min(start + payload.rows_a_part, source.rows)),
        )
        for source in sources.usable
        for place, start in enumerate(range(0, source.rows, payload.rows_a_part))
    ]
    paths, refused = sources.paths, sources.refused
    return plan_parts(
        *(folder, parts, payload.stage),
        sources=paths,
        absent={piece_path(folder, at, paths[at], 0): (paths[at], why) for at, why in refused.items()},
        belongs=lambda part: _number(part) in refused,
    )


def _number(part: Path) -> int:
    return int(part.name[: part.name.index("-")])


def _check_unchanged(source: ParquetSource) -> None:
    state = state_of(source.path, source.beside)
    if state != source.state:
        raise InputError(
            f"{source.path} changed while it was imported (size and time were {source.state}, are {state}); "
            "wait until it is whole, delete the folder's parts of it and run again"
        )
