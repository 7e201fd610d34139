"""Score columns of several folders, joined by uid.

Shapes: n pairs (rows of the first folder), C columns.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.digests import hasher
from thresher.data.files.record_file import own_file
from thresher.data.uids import UidRows, uid_bytes
from thresher.errors import InputError, nearest
from thresher.scores.read import open_scores, read_summary
from thresher.scores.spec import SCORE
from thresher.sharded.parts import list_parts, read_part


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Score columns side by side.

    Attributes:
        parts: Parts of the first folder, whose rows these are, in order.
        starts: First row of each part, and n.
        uids: Of each row, dtype `S16`.
        values_nC: Scores, float32; NaN where a folder has NaN.
        scorers: Of each column what its folder's `scores.json` says: column, name, options, fingerprint.
        left_over: Rows of the other folders that the first one has not.
        digest: Changes whenever a table does.
    """

    parts: tuple[Path, ...]
    starts: npt.NDArray[np.int64]
    uids: npt.NDArray[np.bytes_]
    values_nC: npt.NDArray[np.float32]
    scorers: tuple[dict[str, Any], ...]
    left_over: int
    digest: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(str(scorer["column"]) for scorer in self.scorers)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Column -> fingerprint of its scorer; empty where its folder does not say."""
        return {str(scorer["column"]): str(scorer.get("fingerprint", "")) for scorer in self.scorers}


def join(folders: Sequence[Path], columns: Sequence[str]) -> Joined:
    """The columns for every row of the first folder; the order of the others' rows does not matter.

    Of equal uids in another folder the first row counts.

    Raises:
        InputError: a folder is not finished, a column is in none of them or in two, or a uid of the first
            folder is missing in another one that a column comes from.
    """
    places = {column: _place(folders, column) for column in columns}
    first = folders[0]
    parts = tuple(list_parts(first))
    uids_of = [uid_bytes(_uids(part)) for part in parts]
    starts = np.cumsum([0, *(len(found) for found in uids_of)]).astype(np.int64)
    uids = np.concatenate([np.empty(0, "S16"), *uids_of])
    values_nC = np.empty((len(uids), len(columns)), dtype=np.float32)
    digest, left_over = hasher(), 0
    for folder in dict.fromkeys([first, *(folders[place] for place in places.values())]):
        wanted = [column for column in columns if folders[places[column]] == folder]
        rows = None
        if folder != first:
            rows, unused = _rows(folder, uids, first)
            left_over += unused
        for column in wanted:
            table = open_scores(folder, column)
            digest.update(table.digest.encode())
            scores = [of.column("score").to_numpy(zero_copy_only=False) for _, of in table.rows()]
            whole = np.concatenate([np.empty(0, np.float32), *scores])
            values_nC[:, columns.index(column)] = whole if rows is None else whole[rows]
    if first not in {folders[place] for place in places.values()}:
        digest.update(open_scores(first, _columns(first)[0]).digest.encode())
    scorers = tuple(_scorer(folders[places[column]], column) for column in columns)
    return Joined(parts, starts, uids, values_nC, scorers, left_over, digest.hexdigest())


def _place(folders: Sequence[Path], column: str) -> int:
    """Number of the folder that has the column."""
    having = [number for number, folder in enumerate(folders) if column in _columns(folder)]
    if not having:
        known = [name for folder in folders for name in _columns(folder)]
        named = ", ".join(str(folder) for folder in folders)
        raise InputError(f"there is no score column {column!r} in {named}; {nearest(column, known)}")
    if len(having) > 1:
        one, other = (folders[number] for number in having[:2])
        raise InputError(
            f"{one} and {other} both have a column {column!r}; leave one of the folders out, or score again "
            "with as=NAME"
        )
    return having[0]


def _columns(folder: Path) -> list[str]:
    parts = list_parts(folder)
    if not parts:
        raise InputError(f"there are no scores in {folder}; run `score` first, or check the path")
    with own_file(parts[0], SCORE.anew):
        return [field.name for field in pq.read_schema(parts[0]) if pa.types.is_floating(field.type)]


def _rows(folder: Path, wanted: npt.NDArray[np.bytes_], first: Path) -> tuple[npt.NDArray[np.int64], int]:
    """Where in the rows of a folder each uid stands, and how many of its rows nobody asked for."""
    uids = np.concatenate([np.empty(0, "S16"), *(uid_bytes(_uids(part)) for part in list_parts(folder))])
    rows = UidRows(uids).find(wanted)
    missing = rows < 0
    if missing.any():
        uid = wanted[missing][0].ljust(16, bytes(1)).hex()  # numpy cuts the zeros at its end
        others = int(missing.sum()) - 1
        raise InputError(
            f"pair {uid} of {first} has no row in {folder}, like {others} others of "
            f"{len(wanted)}; score their shards there as well, or name {folder} first to keep its pairs only"
        )
    return rows, len(uids) - len(np.unique(rows))


def _uids(part: Path) -> pa.ChunkedArray:
    return read_part(part, SCORE, ["uid"]).column("uid")


def _scorer(folder: Path, column: str) -> dict[str, Any]:
    found = (asdict(one) for one in read_summary(folder).scorers if one.column == column)
    return next(found, {"column": column, "name": column})
