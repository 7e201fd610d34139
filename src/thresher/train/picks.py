"""Which pairs every step trained on: an audit file that grows with a run, and a weighted subset made of it.

`picks.bin` holds one record a step: three little-endian int32 (number of the step, from 1; last step of the
cool-down branch that it belongs to, or -1 in the trunk; number of pairs), then the rows of the pairs as int32
in the order in which they were chosen. `picks.uids.parquet` holds the uid of each row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.curate.subset.write import SubsetSummary, write_subset
from thresher.data.files.atomic import write_table
from thresher.data.files.record_file import own_file
from thresher.errors import InputError

FILE = "picks.bin"
UIDS_FILE = "picks.uids.parquet"
NUMBER = np.dtype("<i4")
HEADER = 3
Rows = npt.NDArray[np.int64]

POOL = "picked"


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """The rows of one step, in the order in which they were chosen; `cooldown` is None in the trunk."""

    step: int
    cooldown: int | None
    rows: Rows


def append(folder: Path, picks: Sequence[Pick]) -> None:
    """Add the records of some steps."""
    with (folder / FILE).open("ab") as file:
        for pick in picks:
            head = (pick.step, -1 if pick.cooldown is None else pick.cooldown, len(pick.rows))
            file.write(np.concatenate([head, pick.rows]).astype(NUMBER).tobytes())


def write_uids(folder: Path, uids: Sequence[str] | pa.ChunkedArray) -> None:
    """Write the uid of every row."""
    column = uids if isinstance(uids, pa.ChunkedArray) else list(uids)
    write_table(folder / UIDS_FILE, pa.table({"uid": column}))


def read_uids(folder: Path) -> pa.ChunkedArray:
    """The uid of every row.

    Raises:
        InputError: the folder holds no picks.
    """
    if not (folder / UIDS_FILE).exists():
        raise InputError(
            f"{folder} holds no picks ({UIDS_FILE} is absent); training with --select joint or independent "
            "writes them"
        )
    with own_file(folder / UIDS_FILE, "train again"):
        return pq.read_table(folder / UIDS_FILE, columns=["uid"], partitioning=None).column("uid")


def read(folder: Path) -> Iterator[Pick]:
    """The records of a run in the order in which they were written; a torn last one is left out."""
    path = folder / FILE
    if not path.exists():
        return
    numbers = np.fromfile(path, dtype=NUMBER)
    start = 0
    while start + HEADER <= len(numbers):
        step, cooldown, count = numbers[start : start + HEADER].tolist()
        stop = start + HEADER + count
        if count < 0:
            raise InputError(f"{path} is damaged (a step has {count} pairs); train again")
        if stop > len(numbers):
            return
        rows = numbers[start + HEADER : stop].astype(np.int64)
        yield Pick(step, None if cooldown < 0 else cooldown, rows)
        start = stop


def counts(folder: Path, num_rows: int) -> npt.NDArray[np.int64]:
    """How often each row was trained on in the finished run, [num_rows]: the trunk and its last branch."""
    found = list(read(folder))
    last = max((pick.cooldown for pick in found if pick.cooldown is not None), default=None)
    chosen = [pick.rows for pick in found if pick.cooldown in (None, last)]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *chosen])
    if len(rows) and not 0 <= rows.min() <= rows.max() < num_rows:
        raise InputError(f"{folder / FILE} is damaged (it has rows beyond the {num_rows} pairs); train again")
    return np.bincount(rows, minlength=num_rows)


def picked_pairs(run: str | Path) -> pa.Table:
    """How often a finished run trained on each pair: columns `uid`, `pool`, `repeats`, most often first.

    Of several measuring points, those that the last one's model was trained on.

    Raises:
        InputError: the folder holds no picks.
    """
    uids = read_uids(Path(run))
    times = counts(Path(run), len(uids))
    if not times.any():
        raise InputError(f"{run} has picked no pairs yet; train on")
    order = np.argsort(-times, kind="stable")[: int((times > 0).sum())]
    repeats = pa.array(times[order], pa.int32())
    return pa.table({"uid": uids.take(order), "pool": [POOL] * len(order), "repeats": repeats})


def export_picks(run: str | Path, out: str | Path, *, format: str = "npy") -> SubsetSummary:
    """Write the pairs of a run as `thresher subset` does, each as often as it was trained on.

    Raises:
        InputError: the folder holds no picks, the format is none of those that need no shards, or `out` holds
            something else.
    """
    if format == "shards":
        raise InputError("picks are written as npy or parquet; reshard these with another tool")
    table = picked_pairs(run)
    seen = int(table.column("repeats").to_numpy().sum())
    return write_subset(table, out, format=format, samples_seen=seen)
