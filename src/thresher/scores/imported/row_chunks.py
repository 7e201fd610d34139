"""Fills a folder from Parquet files, some thousands of rows a part; finished parts are not made again.

Also words the warnings of an import, each with its remedy.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.atomic import append_jsonl
from thresher.data.files.quarantine import counts_by_reason, read_quarantine, write_quarantine
from thresher.data.pairs import Reject
from thresher.errors import InputError
from thresher.scores.imported.pair_ids import NO_SUCH_KEY, NO_SUCH_UID
from thresher.scores.imported.parquet_files import BadFile, ParquetSource, look_at, state_of
from thresher.sharded.parts import (
    Stage,
    Stamp,
    check_stamp,
    list_parts,
    list_quarantines,
    part_path,
    quarantine_path,
    read_stamp,
    write_rejects,
    write_stamped,
)
from thresher.tables import percent

LONGEST_STEM = 80


@dataclass(frozen=True, slots=True)
class RowChunk:
    """Rows `start` to `stop` of a source, and the part that they become."""

    start: int
    stop: int
    part: Path
    stamp: Stamp


Make = Callable[[ParquetSource, Sequence[RowChunk], int], Iterator[tuple[RowChunk, int]]]
"""Writes the parts of some pieces of a source, each of at most so many rows, in their order; yields each with
the number of its pairs."""

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all, and pairs so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a folder holds now.

    Attributes:
        files: Files that were named.
        rows: Rows of those that could be read.
        unreadable: File -> why not all of it is here; the next run tries it again.
        new_pairs: Rows that this run added.
        seconds: Time of this run.
        pairs: Rows of all parts.
        quarantine: Kind of reason -> how many rows have it, most frequent first.
        missing: Pairs of the shards that no row is about; None where no shards are given.
        unreadable_shards: Shard -> why it gave no pairs.
    """

    files: int
    rows: int
    unreadable: Mapping[str, str]
    new_pairs: int
    seconds: float
    pairs: int = 0
    quarantine: Mapping[str, int] = field(default_factory=dict)
    missing: int | None = None
    unreadable_shards: Mapping[str, str] = field(default_factory=dict)

    @property
    def quarantined(self) -> int:
        """Rows of all quarantine tables."""
        return sum(self.quarantine.values())

    @property
    def unread(self) -> dict[str, str]:
        """Files and shards of which something is missing, with the reason."""
        return {**self.unreadable, **self.unreadable_shards}

    @property
    def incomplete(self) -> bool:
        """Whether a file, a shard or everything is missing."""
        return bool(self.unread or not self.pairs)


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
    make: Make,
    *,
    stage: Stage,
    made_by: Mapping[str, str],
    rows_a_part: int,
    progress: Progress | None,
) -> Filled:
    """Make the parts that are not there yet; the caller holds the lock of the folder.

    A file that cannot be read does not stop the others.

    Args:
        folder: Where the parts go.
        paths: All files that were named.
        looked_at: What `look_at_all` found, without those that were refused since.
        make: Writes parts.
        stage: Whose folder it is.
        made_by: What the parts depend on, which is written into them.
        rows_a_part: Rows of a file that one part is made of.
        progress: Called after every part.

    Raises:
        InputError: the folder holds parts of other files, of a file that changed, or made otherwise.
    """
    sources, refused = looked_at
    unreadable = dict(refused)
    started = time.perf_counter()
    work = _plan(folder, paths, sources, unreadable, stage, made_by, rows_a_part)
    if unreadable or any(work.values()):
        (folder / stage.summary_file).unlink(missing_ok=True)  # it says that all is done
    for number, reason in unreadable.items():
        _refuse_file(folder, number, paths[number], 0, reason, stage)
    new_pairs = 0
    for done, source in enumerate(sources):
        todo = work[source.number]
        left = list(todo)
        if not todo:
            continue
        try:
            for piece, pairs in make(source, todo, rows_a_part):
                left.remove(piece)
                new_pairs += pairs
                if progress is not None:
                    progress(done, len(sources), new_pairs)
            _check_unchanged(source)
        except BadFile as error:
            unreadable[source.number] = str(error)
            _refuse_file(folder, source.number, source.path, left[0].start // rows_a_part, str(error), stage)
        _log(folder / stage.log_file, source, new_pairs, time.perf_counter() - started)
    return Filled(
        files=len(paths),
        rows=sum(source.rows for source in sources),
        unreadable={paths[number]: unreadable[number] for number in sorted(unreadable)},
        new_pairs=new_pairs,
        seconds=time.perf_counter() - started,
    )


def counted(filled: Filled, folder: Path) -> Filled:
    """The same with the counts of the whole folder as it is now."""
    counts = Counter[str]()
    for path in list_quarantines(folder):
        counts.update(counts_by_reason(read_quarantine(path)))
    return replace(
        filled,
        pairs=sum(int(pq.read_metadata(part).num_rows) for part in list_parts(folder)),
        quarantine=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
    )


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


def write_part_of(piece: RowChunk, pairs: pa.Table, rejects: pa.Table, stage: Stage) -> None:
    """Write what was refused of a piece, then the table of its pairs: a part that exists is finished."""
    place = quarantine_path(piece.part)
    if rejects.num_rows:
        write_quarantine(place, rejects)
    else:
        place.unlink(missing_ok=True)
    write_stamped(piece.part, pairs, piece.stamp, stage)


def _plan(
    folder: Path,
    paths: Sequence[str],
    sources: Sequence[ParquetSource],
    unreadable: Mapping[int, str],
    stage: Stage,
    made_by: Mapping[str, str],
    rows_a_part: int,
) -> dict[int, list[RowChunk]]:
    """The pieces of each source that have no part yet."""
    present = set(list_parts(folder))
    expected: set[Path] = set()
    work: dict[int, list[RowChunk]] = {}
    for source in sources:
        stamp = Stamp(source.path, source.state, dict(made_by), "")
        pieces = [
            RowChunk(
                start,
                min(start + rows_a_part, source.rows),
                piece_path(folder, source.number, source.path, place),
                stamp,
            )
            for place, start in enumerate(range(0, source.rows, rows_a_part))
        ]
        for piece in pieces:
            if piece.part in present:
                check_stamp(piece.part, read_stamp(piece.part, stage), stamp, stage)
        expected |= {piece.part for piece in pieces}
        work[source.number] = [piece for piece in pieces if piece.part not in present]
    strays = [
        part
        for part in sorted(present - expected)
        if int(part.name[: part.name.index("-")]) not in unreadable
    ]
    if strays:
        raise InputError(
            f"{strays[0]} is of {read_stamp(strays[0], stage).shard}, which has no such place among the "
            f"{len(paths)} files of this run; give the files that the folder was made of in their order (new "
            "ones last), or name another folder"
        )
    return work


def _refuse_file(folder: Path, number: int, path: str, place: int, reason: str, stage: Stage) -> None:
    part = piece_path(folder, number, path, place)
    write_rejects(part, [Reject(path, "", None, stage.name, reason, 0)])


def _check_unchanged(source: ParquetSource) -> None:
    state = state_of(source.path, source.beside)
    if state != source.state:
        raise InputError(
            f"{source.path} changed while it was imported (size and time were {source.state}, are {state}); "
            "wait until it is whole, delete the folder's parts of it and run again"
        )


def _log(path: Path, source: ParquetSource, pairs: int, seconds: float) -> None:
    append_jsonl(
        path,
        {
            "event": "file",
            "file": re.sub(r"[^ -~]", "?", source.path),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "pairs_so_far": pairs,
        },
    )


def status_of(filled: Filled, num_pairs: int, noun: str) -> tuple[str, ...]:
    """A sentence for each thing that a reader should act on.

    Args:
        filled: What was imported.
        num_pairs: Pairs of the shards; 0 where none are given.
        noun: What was imported, in one word.
    """
    said: list[str] = []
    if filled.unreadable:
        path, reason = next(iter(filled.unreadable.items()))
        said.append(
            f"{len(filled.unreadable)} of {filled.files} files were not taken, or not whole; the first is "
            f"{path} ({reason}); mend them and run again"
        )
    if filled.unreadable_shards:
        shard, reason = next(iter(filled.unreadable_shards.items()))
        said.append(
            f"{len(filled.unreadable_shards)} shards gave no pairs, the first is {shard} ({reason}); mend "
            "them and import into another folder"
        )
    absent = sum(filled.quarantine.get(reason, 0) for reason in (NO_SUCH_UID, NO_SUCH_KEY))
    if not filled.pairs:
        said.append(f"no {noun} were imported; look at the quarantine for the reasons")
    elif absent:
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
