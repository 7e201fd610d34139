"""Scores that others computed, from Parquet files into a scores folder that `cut` takes.

DataComp's metadata is such a table, and so is any Parquet file with a column of uids. Rows find their pair by
uid (or by key, in the shards); their order in the file means nothing.

Writing a part of imported scores: the pairs of some rows with their scores.
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
from thresher.scores.imported.joining import (
    JOINED,
    OTHER_JOIN,
    Joining,
    Repeats,
    difference,
    join,
    joined,
    repeats,
)
from thresher.scores.imported.pair_ids import Named, Naming, Verdicts, name_rows, refuse_repeats
from thresher.scores.imported.parquet_files import ParquetSource, find, read_rows
from thresher.scores.imported.row_chunks import (
    Filled,
    Progress,
    check_some_usable,
    fill_row_chunks,
    import_stage,
    import_status,
    look_at_all,
)
from thresher.scores.spec import scores_json
from thresher.sharded.job import FolderRun, Made, Part, write_made
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
    paths = find(sources)
    folder = Path(out)
    with folder_lock(folder):
        usable, refused = look_at_all(paths)
        check_some_usable(paths, usable, refused)
        chosen = choose(usable, columns, rules)
        for source in usable:
            check(source, chosen, carry)
        joining = join(usable, folder, uid=uid, key=key, shards=shards, also=carry)
        run = fill_row_chunks(
            folder,
            paths,
            (usable, refused),
            ScoreWriter(chosen, tuple(carry), joining, first).write,
            stage=IMPORT_SCORES,
            made_by={**{column.name: column.fingerprint for column in chosen}, JOINED: joining.mark},
            rows_a_part=ROWS_A_PART,
            progress=progress,
        )
        return _finish(run, sum(source.rows for source in usable), chosen, joining, first)


def _finish(
    run: FolderRun, rows: int, columns: Sequence[Column], joining: Joining, first: bool
) -> ScoreImport:
    folder, names = run.plan.folder, tuple(column.name for column in columns)
    repeated = repeats(list_parts(folder), names, IMPORT_SCORES)
    if repeated.differing and not first:
        (folder / IMPORT_SCORES.summary_file).unlink(missing_ok=True)
        raise InputError(f"{repeated.example} (rows that disagree so: {repeated.differing}); {REMEDY}")
    num_pairs = 0 if joining.pairs is None else len(joining.pairs)
    filled = joined(run, joining, rows, lambda filled: _content(filled, columns, repeated, num_pairs))
    return ScoreImport(
        filled=filled,
        columns=names,
        repeats=repeated,
        status=(*import_status(filled, num_pairs), *_repeated(repeated)),
    )


def _repeated(found: Repeats) -> list[str]:
    if not found.rows:
        return []
    differ = f" ({found.differing:,} of them with other scores)" if found.differing else ""
    return [
        f"rows whose uid stands in an earlier part: {found.rows:,}{differ}; `cut` takes the first of each"
    ]


def _content(filled: Filled, columns: Sequence[Column], repeated: Repeats, num_pairs: int) -> dict[str, Any]:
    """The content of `scores.json`: nothing in it depends on when or how often the run was stopped."""
    imported: dict[str, Any] = {"rows": filled.rows, "rows_of_an_earlier_uid": repeated.rows}
    if filled.missing is not None:
        imported |= {"pairs_in_shards": num_pairs, "pairs_without_a_row": filled.missing}
    scorers = [
        {"column": column.name, "name": column.source, "options": {}, "fingerprint": column.fingerprint}
        for column in columns
    ]
    return {**scores_json(filled.told, scorers), "imported": imported}


def _other_columns(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    remedy = "name another folder, or delete this one to import again"
    if set(found) != set(now):
        had, has = (", ".join(sorted(set(names) - {JOINED})) for names in (found, now))
        return f"has the scores {had}, this run imports {has}; {remedy}"
    differing = [name for name in now if found[name] != now[name]]
    if differing == [JOINED]:
        return f"{OTHER_JOIN}; {remedy}"
    return f"has another {differing[0]}; {remedy}" if differing else None


REMEDY = "leave one of them out, or take the first of such rows with --first"

IMPORT_SCORES = import_stage("scores", _other_columns)


class ScoreWriter:
    """Makes parts of the pieces of files."""

    def __init__(
        self,
        columns: Sequence[Column],
        carry: tuple[str, ...],
        joining: Joining,
        first: bool,
    ) -> None:
        self._columns = columns
        self._carry = carry
        self._joining = joining
        self._first = first

    def write(self, source: ParquetSource, parts: Sequence[Part], rows_a_part: int) -> Iterator[Made]:
        """Write some parts of a file, in their order."""
        naming = self._joining.namings[source.number]
        read = columns_read(source, self._columns, self._carry, naming)
        by_start = {part.rows.start: part for part in parts}
        for start, table in read_rows(source.path, read, rows_a_part, frozenset(by_start)):
            yield self._write(source.path, by_start[start], table, naming)

    def _write(self, path: str, part: Part, table: pa.Table, naming: Naming) -> Made:
        verdicts = Verdicts(table.num_rows)
        named = name_rows(table, naming, self._joining.pairs, path, verdicts)
        scores = {column.name: scores_of(table, column) for column in self._columns}
        judge(scores, verdicts)
        self._check_repeats(path, named, scores, refuse_repeats(named, part.rows.start, verdicts))
        kept = pa.array(np.flatnonzero(verdicts.kept))
        made = named.table.take(kept)
        for name, values in scores.items():
            made = made.append_column(name, pa.array(values).take(kept))
        for name in self._carry:
            made = made.append_column(name, table.column(name).take(kept))
        rejects = verdicts.quarantine(named.table, named.known, path, part.rows.start, IMPORT_SCORES.name)
        return write_made(part, made, rejects, IMPORT_SCORES)

    def _check_repeats(
        self,
        path: str,
        named: Named,
        scores: dict[str, npt.NDArray[np.float32]],
        repeated: Sequence[tuple[int, int]],
    ) -> None:
        if self._first:
            return
        for row, earlier in repeated:
            for name, values in scores.items():
                one, other = float(values[earlier]), float(values[row])
                if one != other and not (np.isnan(one) and np.isnan(other)):
                    uid = named.table.column("uid")[row].as_py()
                    raise InputError(f"{difference(uid, name, (one, other), (path, path))}; {REMEDY}")
