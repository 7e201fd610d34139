"""The pairs that really lie in shards, found by the uid or by the name that another tool knows them by.

The pairs of the shards that no row of the imported tables is about.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.data.digests import digest, number_of
from thresher.data.files.quarantine import refused_rows, write_quarantine
from thresher.data.shard_index import index_shard
from thresher.data.uids import UidRows, uid_bytes
from thresher.sharded.parts import Stage, list_quarantines, part_path, quarantine_path, shard_state

COLUMNS = ("uid", "key", "shard", "caption")
ABSENT = -1  # as `UidRows` has it
AMBIGUOUS = -2

Places = npt.NDArray[np.int64]

NAME = "pairs-without-a-row"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardPairs:
    """The pairs of some shards; a pair is addressed by its place.

    Attributes:
        table: uid, key, shard and caption of each, in the order of shards and of pairs in them.
        unreadable: Shard -> why none of its pairs is here.
    """

    table: pa.Table
    unreadable: dict[str, str]
    _uids: UidRows = field(repr=False)
    _keys: npt.NDArray[np.uint64] = field(repr=False)  # sorted marks of the keys, with the place of each
    _by_key: Places = field(repr=False)
    _contested: npt.NDArray[np.bool_] = field(repr=False)
    _found: "dict[str, array[int]]" = field(
        default_factory=dict, repr=False
    )  # file -> place of each of its rows

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def of_uids(self, uids: pa.Array | pa.ChunkedArray) -> Places:
        """Place of each uid, the first of a uid that stands twice; `ABSENT` where there is none."""
        return self._uids.find(uid_bytes(uids))

    def of_names(self, names: Sequence[str], file: str = "", start: int = 0) -> Places:
        """Place of the pair of each key, file name or path; `ABSENT`, or `AMBIGUOUS` where two have the key.

        Names of rows from `start` on of a file that `contest` has seen are not looked up again.

        A path is taken for the longest ending of it that is a key, with its extension or without. A pair that
        paths of several folders end in is ambiguous as well: which of them it is, nothing says.
        """
        found = self._found.get(file, array("q"))[start : start + len(names)]
        found.extend(self._of_name(name)[0] for name in names[len(found) :])
        places = np.array(found, dtype=np.int64)
        places[(places >= 0) & self._contested[places]] = AMBIGUOUS
        return places

    def contest(self, names: Iterable[tuple[str, Sequence[str]]]) -> str:
        """Look through the names of all tables, by file, for pairs that paths of several folders end in.

        Returns:
            A digest of these pairs; empty where there are none.
        """
        folders = np.zeros(len(self), dtype=np.uint64)
        for file, piece in names:
            for place, folder in map(self._of_name, piece):
                self._found.setdefault(file, array("q")).append(place)
                if place >= 0 and folder:
                    mark = _mark(folder)
                    self._contested[place] |= folders[place] not in (0, mark)
                    folders[place] = mark
        return digest(np.flatnonzero(self._contested).tolist()) if self._contested.any() else ""

    def _of_name(self, name: str) -> tuple[int, str]:
        """The place, and the folder in which the path has what is the pair's key."""
        for key, folder in _readings(name):
            mark = _mark(key)
            first = int(np.searchsorted(self._keys, mark, side="left"))
            last = int(np.searchsorted(self._keys, mark, side="right"))
            places = self._by_key[first:last]
            same = [place for place in places.tolist() if self.table.column("key")[place].as_py() == key]
            if same:
                uids = {self.table.column("uid")[place].as_py() for place in same}
                return (same[0] if len(uids) == 1 else AMBIGUOUS), folder
        return ABSENT, ""


def pairs_of(shards: Sequence[str], *, cache: Path | None, by_key: bool) -> ShardPairs:
    """The pairs of the shards; their keys can be asked for only with `by_key`.

    Args:
        shards: Names from `expand`.
        cache: Folder in which the index of each shard is kept.
        by_key: Whether `of_names` will be called.
    """
    tables, unreadable = [], {}
    for shard in shards:
        table, rejects, _ = index_shard(shard, cache)
        tables.append(table.select(COLUMNS))
        if not table.num_rows:
            reasons = rejects.filter(pc.equal(rejects.column("key"), "")).column("reason").to_pylist()
            unreadable[shard] = reasons[0] if reasons else "the shard holds no pairs"
    joined = pa.concat_tables(tables)
    marks = np.empty(0, dtype=np.uint64)
    if by_key:
        marks = np.array([_mark(key) for key in joined.column("key").to_pylist()], dtype=np.uint64)
    order = np.argsort(marks, kind="stable")
    return ShardPairs(
        table=joined,
        unreadable=unreadable,
        _uids=UidRows(uid_bytes(joined.column("uid"))),
        _keys=marks[order],
        _by_key=order,
        _contested=np.zeros(joined.num_rows, dtype=np.bool_),
    )


def joined_by(shards: Sequence[str], settings: Sequence[str | None]) -> str:
    """A digest of how rows find their pairs: some settings, and the shards with their state."""
    return digest(*settings, *((shard, _state(shard)) for shard in shards))


def _state(shard: str) -> str:
    try:
        return shard_state(shard)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _mark(key: str) -> np.uint64:
    return np.uint64(number_of(key.encode("utf-8", "surrogatepass")))


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """What the name may be a key as, and the folder before that: with its extension and without.

    >>> list(_readings("a/b.jpg"))
    [('a/b.jpg', ''), ('a/b', ''), ('b.jpg', 'a'), ('b', 'a')]
    """
    parts = name.split("/")
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        stem, dot, _ = parts[-1].rpartition(".")
        folder = parts[start - 1] if start else ""
        yield tail, folder
        if dot and stem:
            yield "/".join([*parts[start:-1], stem]), folder


def write_missing_pairs(
    folder: Path, parts: Sequence[Path], pairs: ShardPairs, stage: Stage, num_files: int
) -> int:
    """Put the pairs of the shards that no row is about, not even a refused one, into a quarantine table.

    Returns:
        How many they are.
    """
    path = quarantine_path(part_path(folder, num_files, NAME))
    for old in path.parent.glob(f"*-{NAME}.quarantine.parquet"):
        if old != path:
            old.unlink()
    found = np.zeros(len(pairs), dtype=np.bool_)
    refused = [table for table in list_quarantines(folder) if table != path]
    for table in (*parts, *refused):
        with pq.ParquetFile(table) as file:
            places = pairs.of_uids(file.read(columns=["uid"]).column("uid").drop_null())
        found[places[places >= 0]] = True
    found |= pairs.of_uids(pairs.table.column("uid")) != np.arange(len(pairs))  # a uid that stood before
    missing = np.flatnonzero(~found)
    if not len(missing):
        path.unlink(missing_ok=True)
        return 0
    rows = pairs.table.take(pa.array(missing))
    reasons = ["no row of the tables is about this pair"] * len(missing)
    write_quarantine(path, refused_rows(rows, stage.name, reasons, missing))
    return len(missing)
