"""`thresher mixture`: the best shares of domains, from a table of runs on mixtures; it never loads torch."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, as_tuple, assignments, option
from thresher.cli.text import answer


def mixture(
    tables: Annotated[
        list[Path], argument("TABLES", "One CSV with shares and losses, or two: shares, then losses.")
    ],
    out: Annotated[Path, option("MIX.json", "File for the shares.")],
    weight: Annotated[
        list[str] | None,
        option("LOSS=NUMBER", "Weight of a loss in the mean; repeat it. [default: all losses alike]"),
    ] = None,
    size: Annotated[
        str | None,
        option("PARAMS", "Model to plan for, such as 1.3B. [default: the largest of the table]"),
    ] = None,
    key: Annotated[
        str | None,
        option("COLUMN", "Column that joins two files. [default: index, run, run_id or name]"),
    ] = None,
    seed: Annotated[int, option("N", "Seed of the search and of the draws.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Say which shares of domains are best, from runs on mixes.

    Reads tables as RegMix, mixing laws and Olmix leave them: a row a run, a column a domain's share
    (train_web, share_web, ...; or shares in the run's name), one or many losses (metric/web_val_loss,
    web_loss, ...), and perhaps the model's size. All losses are fitted, with how their errors go together,
    and the mix with the lowest weighted mean is looked for among mixes of those that were run.

    In such runs nothing repeats. Where pools wear out, take `thresher fit` and `thresher plan`.

    Writes MIX.json and prints the mix beside the best one that was run, and the chance that it is better.

    Examples:
        thresher mixture config.csv target.csv --out mix.json
        thresher mixture runs.csv --size 1B --weight web=2 --weight code=1 --out mix.json
    """
    from dataclasses import asdict

    from thresher.budget import parse_count
    from thresher.data.files.atomic import write_json
    from thresher.planning.runs.importers.mixtures import read_mixtures
    from thresher.planning.shares.best import best_shares

    runs = read_mixtures(tables, key=key)
    weights = assignments(as_tuple(weight), "--weight")
    found = best_shares(
        runs, weights=weights or None, size=None if size is None else parse_count(size), seed=seed
    )
    record = {"schema": "thresher.mixture", "version": 1, **asdict(found)}
    write_json(out, record)
    answer(record, str(found), as_json, warnings=runs.notes)
