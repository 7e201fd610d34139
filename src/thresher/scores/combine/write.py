"""The scores folder that a combination leaves.

Shapes: n pairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.quarantine import read_quarantine
from thresher.data.pairs import Reject
from thresher.scores.combine.joined import Joined
from thresher.scores.parts import SCORE
from thresher.sharded.parts import (
    PARTS_FOLDER,
    list_parts,
    list_quarantines,
    quarantine_path,
    read_stamp,
    write_rejects,
    write_stamped,
)
from thresher.sharded.row import ROW_COLUMNS
from thresher.sharded.summary import count_folder


def write_parts(
    folder: Path, joined: Joined, scores_n: npt.NDArray[np.float64], name: str, made_of: str
) -> None:
    """The rows that have a score, in parts as those of the first folder; the others go to the quarantine."""
    names = {part.name for part in joined.parts}
    for path in [*list_parts(folder), *list_quarantines(folder)]:
        if path.name not in names:
            path.unlink()
    for number, source in enumerate(joined.parts):
        rows = slice(int(joined.starts[number]), int(joined.starts[number + 1]))
        part = folder / PARTS_FOLDER / source.name
        table = pq.read_table(source, columns=list(ROW_COLUMNS), partitioning=None)
        for column, values_n in zip(joined.columns, joined.values_nC[rows].T, strict=True):
            table = table.append_column(column, pa.array(np.ascontiguousarray(values_n)))
        table = table.append_column(name, pa.array(scores_n[rows].astype(np.float32)))
        absent = np.flatnonzero(np.isnan(scores_n[rows]))
        write_rejects(part, [*_before(source), *_rejects(table, absent, joined.columns)])
        stamp = read_stamp(source, SCORE)
        stamp = replace(stamp, scorers={**joined.fingerprints, name: made_of})
        write_stamped(part, table.filter(pa.array(~np.isnan(scores_n[rows]))), stamp, SCORE)


def _before(source: Path) -> list[Reject]:
    """What was refused when the rows were scored."""
    path = quarantine_path(source)
    if not path.exists():
        return []
    rows = read_quarantine(path).to_pylist()
    return [
        Reject(*(row[name] for name in ("shard", "key", "uid", "stage", "reason", "offset"))) for row in rows
    ]


def _rejects(table: pa.Table, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> list[Reject]:
    found = []
    for row in rows.tolist():
        of = {name: table.column(name)[row].as_py() for name in (*ROW_COLUMNS, *columns)}
        absent = [name for name in columns if not np.isfinite(of[name])]
        found.append(
            Reject(
                of["shard"],
                of["key"],
                of["uid"],
                "combine",
                f"no score: {', '.join(absent)} is not finite",
                row,
            )
        )
    return found


def summary_of(folder: Path, joined: Joined, method: str, name: str, made_of: str) -> dict[str, Any]:
    """The content of `scores.json`: the scorers of the columns, and the combination as one more."""
    num_pairs, num_quarantined, reasons = count_folder(folder)
    own = {
        "column": name,
        "name": "combine",
        "options": {"columns": ",".join(joined.columns), "method": method},
        "fingerprint": made_of,
    }
    return {
        "schema": "thresher.scores",
        "version": 1,
        "scorers": [*joined.scorers, own],
        "shards": len(joined.parts),
        "counts": {"pairs": num_pairs, "quarantined": num_quarantined},
        "quarantine": reasons,
        "unreadable": [],
    }
