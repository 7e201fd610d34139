"""How the rows of imported tables find their pairs: columns that name them, and the shards that hold them.

Uids that stand in several parts of a scores folder, and whether their scores agree.

Within a part a uid stands once. Marks of eight bytes are compared first, so the check holds that much a pair,
and of about `ROWS_AT_ONCE` pairs at once.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thresher.data.uids import uid_bytes
from thresher.scores.imported.pair_ids import Naming, naming_of
from thresher.scores.imported.parquet_files import BadFile, ParquetSource, read_rows
from thresher.scores.imported.shard_pairs import ShardPairs, joined_by, pairs_of
from thresher.scores.imported.vectors import read_text
from thresher.sharded.parts import Stage, num_rows, read_part, read_stamp
from thresher.tables import decimal

INDEX = "index"
"""Folder, beside the parts, that keeps the index of the shards."""

ROWS_AT_ONCE = 2**26
NAMES_AT_ONCE = 65_536
SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How rows find their pairs.

    Attributes:
        namings: By the number of each source.
        pairs: The pairs of the shards; None without shards.
        mark: What stands for both in the stamp of a part.
    """

    namings: Mapping[int, Naming]
    pairs: ShardPairs | None
    mark: str


def join(
    sources: Sequence[ParquetSource],
    folder: Path,
    *,
    uid: str | None,
    key: str | None,
    shards: Sequence[str],
    also: Sequence[str] = (),
) -> Joining:
    """Look into the sources and index the shards; `also` are further settings that parts depend on.

    Raises:
        InputError: a source does not say which pair a row is about.
    """
    namings = {source.number: naming_of(source, uid=uid, key=key, pairs=bool(shards)) for source in sources}
    by_key = any(naming.uid is None for naming in namings.values())
    pairs = pairs_of(shards, cache=folder / INDEX, by_key=by_key) if shards else None
    contested = pairs.contest(_names(sources, namings)) if pairs is not None and by_key else ""
    settings = [uid, key, *also, *([contested] if contested else [])]
    return Joining(namings=namings, pairs=pairs, mark=joined_by(shards, settings))


def _names(
    sources: Sequence[ParquetSource], namings: Mapping[int, Naming]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Files and the names of their rows, where these tell their pair; damaged ones come later anyway."""
    for source in sources:
        naming = namings[source.number]
        if naming.uid is None and naming.key is not None:
            starts = frozenset(range(0, source.rows, NAMES_AT_ONCE))
            with contextlib.suppress(BadFile):
                for _, table in read_rows(source.path, [naming.key], NAMES_AT_ONCE, starts):
                    yield source.path, read_text(table.column(naming.key))[0].to_pylist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How often a uid stands where it stood before.

    Attributes:
        rows: Rows whose uid stands in an earlier part.
        differing: Those of them whose scores are not those of the first.
        example: A sentence about the first of `differing`; empty without one.
    """

    rows: int
    differing: int
    example: str


def repeats(parts: Sequence[Path], columns: Sequence[str], stage: Stage) -> Repeats:
    """Compare rows of equal uid in all parts; scores agree when they are the same numbers, or both NaN."""
    suspects = _suspects(parts, stage)
    if not len(suspects):
        return Repeats(rows=0, differing=0, example="")
    uids, places, values = [], [], []
    for number, part in enumerate(parts):
        table = read_part(part, stage, ["uid", *columns])
        found = uid_bytes(table.column("uid"))
        rows = np.flatnonzero(np.isin(_marks(found), suspects))
        uids.append(found[rows])
        places.append(np.full(len(rows), number))
        scores = [table.column(name).to_numpy()[rows] for name in columns]
        values.append(np.stack(scores, axis=1) if scores else np.empty((len(rows), 0)))
    uid, place, value = np.concatenate(uids), np.concatenate(places), np.concatenate(values)
    _, first, number_of = np.unique(uid, return_index=True, return_inverse=True)
    firsts = first[number_of]
    again = firsts != np.arange(len(uid))
    unlike = again & ~((value == value[firsts]) | (np.isnan(value) & np.isnan(value[firsts]))).all(axis=1)
    if not unlike.any():
        return Repeats(rows=int(again.sum()), differing=0, example="")
    row = int(np.flatnonzero(unlike)[0])
    one, other = value[firsts[row]], value[row]
    column = int(np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))[0])
    files = [read_stamp(parts[int(place[at])], stage).shard for at in (firsts[row], row)]
    example = difference(
        uid[row].ljust(16, b"\0").hex(), columns[column], (one[column], other[column]), files
    )
    return Repeats(rows=int(again.sum()), differing=int(unlike.sum()), example=example)


def difference(uid: str, column: str, values: Sequence[float], files: Sequence[str]) -> str:
    """How two rows of one uid disagree, as the beginning of a sentence."""
    where = f"in {files[0]} and" if files[0] != files[1] else "and"
    return f"uid {uid} has {column} {decimal(values[0])} {where} {decimal(values[1])} in {files[1]}"


def _suspects(parts: Sequence[Path], stage: Stage) -> npt.NDArray[np.uint64]:
    """Marks of uids that several rows have (and, as good as never, of two uids with one mark), sorted."""
    total = sum(num_rows(part, stage) for part in parts)
    turns = max(-(-total // ROWS_AT_ONCE), 1)
    found = []
    for turn in range(turns):
        marks = np.empty(total if turns == 1 else 2 * ROWS_AT_ONCE, dtype=np.uint64)
        count = 0
        for part in parts:
            some = _marks(uid_bytes(read_part(part, stage, ["uid"]).column("uid")))
            if turns > 1:
                some = some[(some >> np.uint64(40)) % np.uint64(turns) == turn]
            marks[count : count + len(some)] = some
            count += len(some)
        marks = marks[:count]
        marks.sort()
        found.append(np.unique(marks[1:][marks[1:] == marks[:-1]]))
    return np.sort(np.concatenate(found))


def _marks(uids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint64]:
    """Eight bytes for each uid that are spread evenly, even where the uids count up."""
    words: npt.NDArray[np.uint64] = uids.view("<u8").reshape(-1, 2)
    mixed: npt.NDArray[np.uint64] = (words[:, 0] ^ (words[:, 1] * SPREAD)) * SPREAD
    return mixed ^ (mixed >> np.uint64(32))
