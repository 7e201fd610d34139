"""The scores folder that a combination leaves.

Shapes: n pairs.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.quarantine import from_rejects
from thresher.data.pairs import Reject
from thresher.scores.combine.joined import Joined
from thresher.scores.parts import SCORE
from thresher.sharded.job import Made, Part, Run, make_parts, plan_anew, write_made
from thresher.sharded.parts import PARTS_FOLDER, read_stamp, rejects_of
from thresher.sharded.row import ROW_COLUMNS


def write_parts(
    folder: Path, joined: Joined, scores_n: npt.NDArray[np.float64], name: str, made_of: str
) -> Run:
    """The rows that have a score, in parts as those of the first folder; the others go to the quarantine."""
    parts = []
    for number, source in enumerate(joined.parts):
        stamp = replace(read_stamp(source, SCORE), scorers={**joined.fingerprints, name: made_of})
        rows = range(int(joined.starts[number]), int(joined.starts[number + 1]))
        parts.append(Part(folder / PARTS_FOLDER / source.name, stamp, rows))

    def make(parts: Sequence[Part], _: Run) -> Generator[Made]:
        for source, part in zip(joined.parts, parts, strict=True):
            rows = slice(part.rows.start, part.rows.stop)
            table = pq.read_table(source, columns=list(ROW_COLUMNS), partitioning=None)
            for column, values_n in zip(joined.columns, joined.values_nC[rows].T, strict=True):
                table = table.append_column(column, pa.array(np.ascontiguousarray(values_n)))
            table = table.append_column(name, pa.array(scores_n[rows].astype(np.float32)))
            absent_n = np.isnan(scores_n[rows])
            refused = from_rejects(_rejects(table, np.flatnonzero(absent_n), joined.columns))
            rejects = pa.concat_tables([rejects_of(source), refused]).combine_chunks()
            yield write_made(part, table.filter(pa.array(~absent_n)), rejects, SCORE)

    return make_parts(plan_anew(folder, parts, SCORE), make)


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
