"""Fills a folder from Parquet files, some thousands of rows a part; finished parts are not made again.

Also words the warnings of an import, each with its remedy.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from thresher.errors import InputError
from thresher.scores.imported.pair_ids import NO_SUCH_KEY, NO_SUCH_UID
from thresher.scores.imported.parquet_files import BadFile, ParquetSource, look_at, state_of
from thresher.sharded.job import FolderPlan, FolderRun, Made, Part, make_parts, plan_parts, write_failure
from thresher.sharded.parts import Stage, Stamp, part_path
from thresher.sharded.summary import FolderSummary
from thresher.tables import percent

LONGEST_STEM = 80

Write = Callable[[ParquetSource, Sequence[Part], int], Iterator[Made]]
"""Writes some parts of a source, each of at most so many rows, and gives them in their order."""

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all, and pairs so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a folder holds now.

    Attributes:
        summary: Its counts; what are shards there are files here.
        rows: Rows of the files that could be read.
        missing: Pairs of the shards that no row is about; None where no shards are given.
        unreadable_shards: Shard -> why it gave no pairs.
    """

    summary: FolderSummary
    rows: int
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


def import_stage(noun: str, differs: Callable[[Mapping[str, str], Mapping[str, str]], str | None]) -> Stage:
    """The stage that imports what `noun` says."""
    return Stage(
        name=f"import-{noun}",
        done="imported",
        noun=noun,
        differs=differs,
        exclude_remedy="name another folder",
        sources="files",
        unread="were not taken, or not whole; the first is",
        nothing=f"no {noun} were",
    )


def look_at_all(
    paths: Sequence[str], beside: Sequence[Sequence[str]] = ()
) -> tuple[list[ParquetSource], dict[int, str]]:
    """The files that can be read, and the places of those that cannot, with the reason.

    Args:
        paths: The files.
        beside: For each of them the files that belong to it.
    """
    sources, unreadable = [], {}
    for number, path in enumerate(paths):
        try:
            sources.append(look_at(number, path, beside[number] if beside else ()))
        except BadFile as error:
            unreadable[number] = str(error)
    return sources, unreadable


def fill_row_chunks(
    folder: Path,
    paths: Sequence[str],
    looked_at: tuple[Sequence[ParquetSource], Mapping[int, str]],
    write: Write,
    *,
    stage: Stage,
    made_by: Mapping[str, str],
    rows_a_part: int,
    progress: Progress | None,
) -> FolderRun:
    """Make the parts that are not there yet; the caller holds the lock of the folder.

    A file that cannot be read does not stop the others.

    Args:
        folder: Where the parts go.
        paths: All files that were named.
        looked_at: What `look_at_all` found, without those that were refused since.
        write: Writes parts.
        stage: Whose folder it is.
        made_by: What the parts depend on, which is written into them.
        rows_a_part: Rows of a file that one part is made of.
        progress: Called after every part.

    Raises:
        InputError: the folder holds parts of other files, of a file that changed, or made otherwise.
    """
    sources, refused = looked_at

    def make(parts: Sequence[Part], run: FolderRun) -> Generator[Made]:
        of_file: dict[int, list[Part]] = {}
        for part in parts:
            of_file.setdefault(_number(part.path), []).append(part)
        for number, source in enumerate(sources):
            left = of_file.get(source.number)
            if not left:
                continue
            try:
                for made in write(source, tuple(left), rows_a_part):
                    left.remove(made.part)
                    yield made
                    if progress is not None:
                        progress(number, len(sources), run.pairs)
                _check_unchanged(source)
            except BadFile as error:
                yield write_failure(left[0], str(error), stage)
            run.log("file", file=re.sub(r"[^ -~]", "?", source.path), **run.times())

    return make_parts(_plan(folder, paths, sources, refused, stage, made_by, rows_a_part), make)


def check_some_usable(
    paths: Sequence[str], usable: Sequence[ParquetSource], refused: Mapping[int, str]
) -> None:
    """Refuse to begin where no file can be taken.

    Raises:
        InputError: naming the first file and why.
    """
    if not usable:
        number = min(refused)
        raise InputError(
            f"none of the {len(paths)} files can be taken; the first is {paths[number]} ({refused[number]})"
        )


def piece_path(folder: Path, number: int, path: str, place: int) -> Path:
    """Path of the part of the piece at `place` of file `number`.

    >>> piece_path(Path("scores"), 3, "metadata/0a1b.parquet", 2).as_posix()
    'scores/parts/00003-0a1b.00002.parquet'
    """
    stem = path.rstrip("/").rpartition("/")[2].removesuffix(".parquet")[:LONGEST_STEM]
    return part_path(folder, number, f"{stem}.{place:05d}")


def _plan(
    folder: Path,
    paths: Sequence[str],
    sources: Sequence[ParquetSource],
    refused: Mapping[int, str],
    stage: Stage,
    made_by: Mapping[str, str],
    rows_a_part: int,
) -> FolderPlan:
    parts = [
        Part(
            piece_path(folder, source.number, source.path, place),
            Stamp(source.path, source.state, dict(made_by), ""),
            range(start, min(start + rows_a_part, source.rows)),
        )
        for source in sources
        for place, start in enumerate(range(0, source.rows, rows_a_part))
    ]
    return plan_parts(
        *(folder, parts, stage),
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


def import_status(filled: Filled, num_pairs: int) -> tuple[str, ...]:
    """A sentence for each thing that a reader should act on; `num_pairs` are those of the shards, or 0."""
    said = list(filled.summary.status)
    if filled.unreadable_shards:
        shard, reason = next(iter(filled.unreadable_shards.items()))
        said.insert(
            1 if filled.summary.unreadable else 0,  # after the files
            f"{len(filled.unreadable_shards)} shards gave no pairs, the first is {shard} ({reason}); mend "
            "them and import into another folder",
        )
    absent = sum(filled.summary.quarantine.get(reason, 0) for reason in (NO_SUCH_UID, NO_SUCH_KEY))
    if absent and filled.summary.num_pairs:
        said.append(
            f"{absent:,} of {filled.rows:,} rows ({percent(absent / filled.rows, 1)}) are about pairs that "
            "the shards do not hold; they are in the quarantine, and pools are cut from the others"
        )
    if filled.missing:
        said.append(
            f"{filled.missing:,} of {num_pairs:,} pairs of the shards have no row in the tables; they are in "
            "the quarantine and will be in no pool"
        )
    return tuple(said)
