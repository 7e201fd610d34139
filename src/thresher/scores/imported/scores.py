"""Scores that others computed, from Parquet files into a scores folder that `cut` takes.

DataComp's metadata is such a table, and so is any Parquet file with a column of uids. Rows find their pair by
uid (or by key, in the shards); their order in the file means nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.scores.imported.columns import Column, check, choose, columns_read, judge, scores_of
from thresher.scores.imported.joining import Repeats, difference, join, repeats
from thresher.scores.imported.pair_ids import Naming, Rows
from thresher.scores.imported.parquet_files import ParquetSource, find, look_at_all, read_rows
from thresher.scores.imported.row_chunks import (
    JOINED,
    Filled,
    Payload,
    Progress,
    fill_row_chunks,
    filled,
    import_stage,
)
from thresher.scores.spec import scores_json
from thresher.sharded.parts import list_parts

ROWS_A_PART = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreImport:
    """What was imported.

    Attributes:
        filled: Counts of the folder.
        columns: The columns of scores.
        repeats: Rows whose uid stands in an earlier part.
        status: Sentences on what needs attention.
    """

    filled: Filled
    columns: tuple[str, ...]
    repeats: Repeats
    status: tuple[str, ...]


def import_scores(
    sources: Sequence[str],
    out: str | Path,
    *,
    columns: Sequence[str] = (),
    rules: Sequence[str] = (),
    carry: Sequence[str] = (),
    uid: str | None = None,
    key: str | None = None,
    shards: Sequence[str] = (),
    first: bool = False,
    progress: Progress | None = None,
) -> ScoreImport:
    """Write a scores folder from Parquet files; a file that is finished in `out` is not read again.

    Args:
        sources: Parquet files, folders, globs or brace patterns; on going on with a folder, new ones last.
        out: Folder for `parts/`, `scores.json` and `scores.log.jsonl`.
        columns: `COLUMN` or `NAME=COLUMN` for each column of scores. Left out: DataComp's scores where a file
            has them, else every column of floating-point numbers.
        rules: Published rules (keys of `thresher.scores.rules.RULES`), a column of 1 and 0 each.
        carry: Further columns that are kept as they are, such as `sha256`.
        uid: Column of the uids; `uid` when left out.
        key: Column of keys or image paths, which the shards resolve to uids; used where no uid is named.
        shards: Names from `expand`. With them, only rows about their pairs are taken.
        first: Take the first of rows whose uid is the same and whose scores differ, where they are refused
            otherwise.
        progress: Called after every part.

    Returns:
        Counts, and sentences on what is missing. A damaged file does not stop the others.

    Raises:
        InputError: a column is absent or holds no numbers, no row has a uid, one uid has two scores, or the
            folder holds something else.
    """
    paths, folder = find(sources), Path(out)
    with folder_lock(folder):
        seen = look_at_all(paths)
        seen.check()
        chosen = choose(seen.usable, columns, rules)
        for source in seen.usable:
            check(source, chosen, carry)
        joining = join(seen.usable, folder, uid=uid, key=key, shards=shards, also=carry)
        run = fill_row_chunks(folder, seen, joining, _payload(chosen, carry, first), progress)
        names = tuple(column.name for column in chosen)
        repeated = repeats(list_parts(folder), names, IMPORT_SCORES)
        if repeated.differing and not first:
            (folder / IMPORT_SCORES.summary_file).unlink(missing_ok=True)
            raise InputError(f"{repeated.example} (rows that disagree so: {repeated.differing}); {REMEDY}")
        now = filled(run, seen, joining, lambda now: _content(now, chosen, repeated))
        status = (*now.status, *_repeated(repeated))
        return ScoreImport(filled=now, columns=names, repeats=repeated, status=status)


def _repeated(found: Repeats) -> list[str]:
    if not found.rows:
        return []
    differ = f" ({found.differing:,} of them with other scores)" if found.differing else ""
    return [
        f"rows whose uid stands in an earlier part: {found.rows:,}{differ}; `cut` takes the first of each"
    ]


def _content(now: Filled, columns: Sequence[Column], repeated: Repeats) -> dict[str, Any]:
    """The content of `scores.json`: nothing in it depends on when or how often the run was stopped."""
    imported: dict[str, Any] = {"rows": now.rows, "rows_of_an_earlier_uid": repeated.rows}
    if now.missing is not None:
        imported |= {"pairs_in_shards": now.pairs_in_shards, "pairs_without_a_row": now.missing}
    scorers = [
        {"column": column.name, "name": column.source, "options": {}, "fingerprint": column.fingerprint}
        for column in columns
    ]
    return {**scores_json(now.told, scorers), "imported": imported}


def _other_columns(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    if set(found) != set(now):
        had, has = (", ".join(sorted(set(names) - {JOINED})) for names in (found, now))
        return f"has the scores {had}, this run imports {has}"
    other = next((name for name in now if name != JOINED and found[name] != now[name]), None)
    return other and f"has another {other}"


REMEDY = "leave one of them out, or take the first of such rows with --first"

IMPORT_SCORES = import_stage("scores", _other_columns)


def _payload(columns: Sequence[Column], carry: Sequence[str], first: bool) -> Payload:
    """The scores of rows, and what is carried of them."""

    def read(
        source: ParquetSource, naming: Naming, starts: frozenset[int]
    ) -> Iterator[tuple[int, pa.Table, None]]:
        wanted = columns_read(source, columns, carry, naming)
        for start, table in read_rows(source.path, wanted, ROWS_A_PART, starts):
            yield start, table, None

    def take(_: Path, rows: Rows, __: None) -> pa.Table:
        scores = {column.name: scores_of(rows.table, column) for column in columns}
        judge(scores, rows)
        repeated = rows.refuse_repeats()
        if not first:
            _check_repeats(rows, scores, repeated)
        made = rows.pairs
        for name, values in scores.items():
            made = made.append_column(name, pa.array(values))
        for name in carry:
            made = made.append_column(name, rows.table.column(name))
        return made

    made_by = {column.name: column.fingerprint for column in columns}
    return Payload(stage=IMPORT_SCORES, made_by=made_by, rows_a_part=ROWS_A_PART, read=read, take=take)


def _check_repeats(
    rows: Rows, scores: Mapping[str, npt.NDArray[np.float32]], repeated: Sequence[tuple[int, int]]
) -> None:
    for row, earlier in repeated:
        for name, values in scores.items():
            one, other = float(values[earlier]), float(values[row])
            if one != other and not (np.isnan(one) and np.isnan(other)):
                uid = rows.pairs.column("uid")[row].as_py()
                files = (rows.path, rows.path)
                raise InputError(f"{difference(uid, name, (one, other), files)}; {REMEDY}")
