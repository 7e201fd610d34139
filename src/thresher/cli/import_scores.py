"""`thresher import-scores`: scores that others computed; it never loads torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import Json, argument, as_tuple, flag, option
from thresher.cli.progress import bar
from thresher.cli.text import answer, quarantine_lines
from thresher.tables import duration, rate

if TYPE_CHECKING:
    from thresher.scores.imported.row_chunks import Filled

Uid = Annotated[str | None, option("COLUMN", "Column of the uids (32 hexadecimal digits).  [default: uid]")]
Key = Annotated[
    str | None,
    option(
        "COLUMN",
        "Column of keys or image paths, in place of uids; needs --shards.  [default: key or image_path, "
        "where there is no uid]",
    ),
]
PairShards = Annotated[
    list[str] | None,
    option(
        "SHARDS",
        "Shards of the pairs: rows about other pairs are left out, and pairs without a row are counted.",
    ),
]


def import_scores(
    sources: Annotated[
        list[str], argument("SOURCES", "Parquet files, or folders of them; patterns in quotes.")
    ],
    out: Annotated[Path, option("SCORES", "Folder for the scores.")],
    column: Annotated[
        list[str] | None,
        option(
            "[NAME=]COLUMN",
            "A column of scores, and what to call it. Repeat it.  [default: DataComp's CLIP scores "
            "where they are there, else every column of floating-point numbers]",
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        option(
            "basic|laion",
            "A published filter applied to the columns that are there: a column of 1 (kept) and 0.",
        ),
    ] = None,
    carry: Annotated[
        list[str] | None, option("COLUMN", "Another column to keep as it is, such as sha256.")
    ] = None,
    uid: Uid = None,
    key: Key = None,
    shards: PairShards = None,
    first: Annotated[
        bool, flag("--first", "Of rows of one uid with other scores take the first; else they are refused.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import scores that others computed, from Parquet files.

    Reads DataComp's metadata (uid, text,
    clip_l14_similarity_score, ...), the tables that img2dataset leaves beside its shards, and any Parquet
    file with a column of uids. Rows find their pair by uid, or by a key that the shards resolve; their order
    means nothing.

    Writes a folder of scores as `thresher score` does: one or several Parquet tables a file into
    SCORES/parts, and SCORES/scores.json. Called again, it continues with what is unfinished; changed
    files and other columns are refused.

    A row without a uid or a score, about a pair that the shards do not hold, or with a uid that an earlier
    row of the file has, goes to the quarantine with its reason. A file that cannot be read is named, and the
    exit code is 1.

    Examples:
        thresher import-scores metadata --out scores
        thresher import-scores metadata --column clip=clip_l14_similarity_score --shards shards --out scores
        thresher import-scores 'metadata/*.parquet' --rule basic --carry sha256 --out scores
    """
    from thresher.data.patterns import expand
    from thresher.scores.imported.scores import import_scores as run

    with bar("import") as step:
        made = run(
            sources,
            out,
            columns=as_tuple(column),
            rules=as_tuple(rule),
            carry=as_tuple(carry),
            uid=uid,
            key=key,
            shards=expand(shards) if shards else (),
            first=first,
            progress=lambda done, total, pairs: step(done, total, f"{pairs:,} pairs"),
        )
    what = f"scores ({', '.join(made.columns)})"
    answer_import(out, made.filled, what, {"columns": list(made.columns)}, made.status, as_json)


def answer_import(
    out: Path,
    filled: "Filled",
    what: str,
    facts: Mapping[str, object],
    status: Sequence[str],
    as_json: bool,
) -> None:
    """Say that pairs have `what` now, or for programs the counts and `facts`."""
    summary = filled.summary
    record = {
        "out": str(out),
        "files": summary.num_shards,
        "rows": filled.rows,
        "pairs": summary.num_pairs,
        "quarantined": summary.num_quarantined,
        "quarantine": dict(summary.quarantine),
        "unreadable": dict(summary.unreadable),
        "this_run": {"pairs": summary.new_pairs, "seconds": round(summary.seconds, 3)},
        "status": list(status),
        **facts,
        "pairs_without_a_row": filled.missing,
    }
    lines = [f"{summary.num_pairs:,} pairs of {summary.num_shards:,} files have {what} in {out}"]
    if summary.new_pairs:
        lines.append(
            f"this run imported {summary.new_pairs:,} pairs in {duration(summary.seconds)} "
            f"({rate(summary.new_pairs, summary.seconds)})"
        )
    lines += quarantine_lines(summary.num_quarantined, summary.quarantine)
    answer(record, "\n".join(lines), as_json, warnings=status, undone=filled.incomplete)
