"""`thresher picks`: the pairs that a run chose, as a subset."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, option
from thresher.cli.text import answer


def picks(
    run: Annotated[Path, argument("RUN", "Folder that `thresher train` wrote.")],
    out: Annotated[Path, option("DIR", "Folder for the subset.")],
    format: Annotated[str, option("FORMAT", "npy (as DataComp reads it) or parquet.")] = "npy",
    as_json: Json = False,
) -> None:
    """Turn the pairs that a run chose into a subset.

    The subset repeats every pair as often as the run trained on it. Another model that trains on the subset
    without selection then sees the same pairs equally often.

    Reads RUN/picks.bin and RUN/picks.uids.parquet, which training with --select joint or independent writes.
    Writes DIR as `thresher subset` does.

    Examples:
        thresher picks work/train --out chosen
        thresher picks work/train --out chosen --format parquet
    """
    from thresher.train.picks import export_picks

    summary = export_picks(run, out, format=format)
    record = {"folder": str(summary.folder), "unique": summary.num_unique, "rows": summary.num_rows}
    answer(record, f"{summary.num_unique} pairs, {summary.num_rows} draws, in {summary.folder}", as_json)
