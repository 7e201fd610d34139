"""`thresher combine`: several scores into one."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import Json, argument, option
from thresher.cli.text import answer
from thresher.tables import columns as in_columns

if TYPE_CHECKING:
    from thresher.scores.combine.combine import Combination
    from thresher.scores.combine.learned import Measured


def combine(
    scores: Annotated[list[Path], argument("SCORES", "Scores folders; the rows of the first are kept.")],
    out: Annotated[Path, option("COMBINED", "Folder for the combined scores.")],
    columns: Annotated[
        str | None, option("COLUMNS", "Columns to combine: clip,dfn.  [default: those of --model]")
    ] = None,
    method: Annotated[
        str | None,
        option(
            "METHOD",
            "rank (mean share of pairs below), product, or learned.  [default: learned with --labels or "
            "--model, else rank]",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        option(
            "LABELS",
            "Labelled pairs to learn from, TSV, CSV or Parquet: uid, label (1 or 0, match or no-match) "
            "and perhaps group, what pairs share, such as the image.",
        ),
    ] = None,
    model: Annotated[
        Path | None, option("MODEL.json", "Apply what was learned before, in place of --labels.")
    ] = None,
    name: Annotated[str, option("COLUMN", "Column of the combined score.")] = "combined",
    l2: Annotated[float, option("PENALTY", "Penalty on large weights of what is learned.", min=0)] = 1.0,
    as_json: Json = False,
) -> None:
    """Combine several score columns into one.

    The folders are joined by uid; a uid that is missing in one of them is named. `rank` gives each pair the
    mean share of pairs that it is better than. `product` multiplies the scores, so that a 0 in one (basic,
    laion) rules a pair out. `learned` fits a logistic regression on the ranks to labelled pairs, and reports
    how well it separates good from bad pairs that it has not seen, next to every column alone.

    Reads the folders. Writes a scores folder with the columns and the combined one, for `thresher cut`, and
    with `learned` COMBINED/model.json. A pair without a score in one of the columns goes to the quarantine.

    Examples:
        thresher combine scores b32-scores --columns clip,s_clip_loss,caption_score --out combined
        thresher combine scores --columns clip,basic --method product --out combined
        thresher combine scores --columns clip,dfn --labels labels.tsv --out combined
        thresher combine new-scores --model combined/model.json --out new-combined
    """
    from thresher.scores.combine.combine import LEARNED
    from thresher.scores.combine.combine import combine as make

    made = make(
        scores,
        out,
        columns=[column.strip() for column in columns.split(",")] if columns else (),
        method=method or (LEARNED if labels or model else "rank"),
        labels=labels,
        model=model,
        name=name,
        l2=l2,
    )
    answer(_record(made), _text(made), as_json, warnings=made.status)


def _record(made: "Combination") -> dict[str, object]:
    record: dict[str, object] = {
        "out": str(made.folder),
        "column": made.column,
        "pairs": made.num_pairs,
        "quarantined": made.num_quarantined,
        "status": list(made.status),
    }
    if made.model is not None:
        record["weights"] = {column.name: column.weight for column in made.model.columns}
        record["held_out"] = asdict(made.model.held_out)
    return record


def _text(made: "Combination") -> str:
    lines = [f"{made.num_pairs:,} pairs have the score {made.column} in {made.folder}"]
    if made.model is None:
        return lines[0]
    held = made.model.held_out
    lines.append(
        f"AUC on {held.num_pairs:,} labelled pairs ({held.num_good:,} good, {held.num_groups:,} groups), "
        "each scored by a model that had not seen its fold:"
    )
    rows = [
        (column.name, f"{column.weight:+.3f}", *_said(held.columns[column.name]))
        for column in made.model.columns
    ]
    rows += [(made.column, "", *_said(held.combined)), (f"gain over {held.best}", "", *_said(held.gain))]
    return "\n".join([*lines, in_columns(("column", "weight", "AUC", "standard error"), rows)])


def _said(measured: "Measured") -> tuple[str, str]:
    return f"{measured.value:.4f}", f"{measured.standard_error:.4f}"
