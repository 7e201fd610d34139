"""Scores that others computed, from Parquet files into a scores folder that `cut` takes.

DataComp's metadata is such a table, and so is any Parquet file with a column of uids. Rows find their pair by
uid (or by key, in the shards); their order in the file means nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.data.writer import write_json
from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.importers.joining import JOINED, Joining, join, joined
from thresher.importers.parquet_files import find
from thresher.importers.pieces import Filled, Progress, check_some_usable, fill, look_at_all
from thresher.importers.repeats import Repeats, repeats
from thresher.importers.score_columns import Column, check, choose
from thresher.importers.score_parts import IMPORT_SCORES, REMEDY, ScoreWriter
from thresher.importers.status import status_of
from thresher.scores.parts import list_parts

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
        filled = fill(
            folder,
            paths,
            (usable, refused),
            ScoreWriter(chosen, tuple(carry), joining, first).make,
            stage=IMPORT_SCORES,
            made_by={**{column.name: column.fingerprint for column in chosen}, JOINED: joining.mark},
            rows_a_part=ROWS_A_PART,
            progress=progress,
        )
        return _finish(folder, filled, chosen, joining, first)


def _finish(
    folder: Path, filled: Filled, columns: Sequence[Column], joining: Joining, first: bool
) -> ScoreImport:
    names = tuple(column.name for column in columns)
    repeated = repeats(list_parts(folder), names, IMPORT_SCORES)
    if repeated.differing and not first:
        (folder / IMPORT_SCORES.summary_file).unlink(missing_ok=True)
        raise InputError(f"{repeated.example} (rows that disagree so: {repeated.differing}); {REMEDY}")
    filled = joined(filled, folder, joining, IMPORT_SCORES)
    num_pairs = 0 if joining.pairs is None else len(joining.pairs)
    write_json(folder / IMPORT_SCORES.summary_file, _content(filled, columns, repeated, num_pairs))
    return ScoreImport(
        filled=filled,
        columns=names,
        repeats=repeated,
        status=(*status_of(filled, num_pairs, "scores"), *_repeated(repeated)),
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
    return {
        "schema": "thresher.scores",
        "version": 1,
        "scorers": [
            {"column": column.name, "name": column.source, "options": {}, "fingerprint": column.fingerprint}
            for column in columns
        ],
        "shards": filled.files,
        "counts": {"pairs": filled.pairs, "quarantined": filled.quarantined},
        "quarantine": dict(filled.quarantine),
        "unreadable": [{"shard": name, "reason": reason} for name, reason in filled.unread.items()],
        "imported": imported,
    }
