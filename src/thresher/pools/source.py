"""The score table that pools are cut from: the parts of a scores folder and one of their columns."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.data.quarantine import read_quarantine
from thresher.errors import InputError
from thresher.scores.parts import SUMMARY_FILE, list_parts, quarantine_path
from thresher.scores.spec import ROW_COLUMNS, nearest


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Finished parts in the order of their shards, and the column to cut by."""

    parts: tuple[Path, ...]
    column: str
    digest: str

    def rows(self, *columns: str) -> Iterator[tuple[Path, pa.Table]]:
        """Each part with some of its columns (and the score, under `score`)."""
        for part in self.parts:
            with pq.ParquetFile(part) as file:
                table = file.read(columns=[*columns, self.column])
            yield part, table.select([*columns, self.column]).rename_columns([*columns, "score"])


def open_scores(folder: Path, by: str) -> ScoreTable:
    """The score table in `folder`; `by` is a column, or the name of a scorer that filled one column.

    Raises:
        InputError: the folder holds no finished scores, or none by `by` (the text names the columns).
    """
    parts = tuple(list_parts(folder))
    if not parts:
        raise InputError(f"there are no scores in {folder}; run `score` first, or check the path")
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"the scoring of {folder} is not finished; run `score` again, it goes on") from error
    except ValueError as error:
        raise InputError(f"{folder / SUMMARY_FILE} is not JSON ({error}); run `score` again") from error
    schema = pq.read_schema(parts[0])
    columns = [field.name for field in schema if pa.types.is_floating(field.type)]
    of_scorer = [scorer["column"] for scorer in summary.get("scorers", ()) if scorer["name"] == by]
    column = of_scorer[0] if by not in columns and len(of_scorer) == 1 else by
    if column not in columns:
        raise InputError(f"{folder} has no score column {by!r}; {nearest(by, columns)}")
    digest = hashlib.blake2b(column.encode(), digest_size=16)
    for part in parts:
        metadata = pq.read_metadata(part)
        found = metadata.schema.to_arrow_schema()
        absent = [name for name in (*ROW_COLUMNS, column) if name not in found.names]
        if absent:
            raise InputError(f"{part} has no column {absent[0]!r}; delete it and run `score` again")
        stamps = sorted((found.metadata or {}).items())
        digest.update(repr((part.name, metadata.num_rows, stamps)).encode())
    return ScoreTable(parts, column, digest.hexdigest())


def usable(part: Path, table: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows of a part have a score; one without is passed over only if the part's quarantine has it.

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
    wrong = np.flatnonzero(~finite & ~excused)
    if len(wrong):
        row = int(wrong[0])
        uid, score = table.column("uid")[row].as_py(), table.column("score")[row].as_py()
        with pq.ParquetFile(part) as file:
            shard = file.read(columns=["shard"]).column("shard")[row].as_py()
        raise InputError(
            f"the score of pair {uid} of {shard} is {score} (row {row} of {part}, {len(wrong)} such rows "
            "there); put the uids on the exclude list, or score again with a scorer that has a value for them"
        )
    return finite
