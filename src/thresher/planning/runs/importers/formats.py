"""The formats that runs can be imported from, and the one call that imports them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.errors import InputError
from thresher.planning.runs.importers import datacomp, open_clip, table, wandb
from thresher.planning.runs.importers.overrides import Supplied, complete, read_facts, with_seeds
from thresher.planning.runs.importers.records import Found, Metric, Wanted, parse_metric
from thresher.planning.runs.importers.sized_names import one_recipe
from thresher.planning.runs.ledger import check_runs
from thresher.planning.runs.record import Run

Reader = Callable[[Path, Wanted], Iterator[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one kind of source is read.

    Attributes:
        read: Its measurements, in a fixed order.
        metric: What becomes the error where nobody says; None where somebody has to.
        takes: Arguments of `import_runs` beyond the metric that mean something here.
    """

    read: Reader
    metric: Metric | None
    takes: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "open_clip": Format(
        read=open_clip.read, metric=open_clip.DEFAULT_METRIC, takes=("all_points", "samples_per_epoch")
    ),
    "datacomp": Format(
        read=datacomp.read,
        metric=datacomp.DEFAULT_METRIC,
        takes=("all_points", "samples_per_epoch", "samples_per_step"),
    ),
    "wandb": Format(
        read=wandb.read,
        metric=None,
        takes=("all_points", "samples_per_epoch", "samples_per_step", "columns", "where", "average_over"),
    ),
    "table": Format(
        read=table.read,
        metric=None,
        takes=("samples_per_epoch", "samples_per_step", "columns", "where", "average_over"),
    ),
}
"""Name of a format to how it is read."""


def import_runs(
    sources: Sequence[Path | str],
    *,
    format: str,
    metric: str | Sequence[str] = (),
    metric_name: str | None = None,
    supply: Mapping[str, Any] | None = None,
    facts: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    where: Sequence[str] = (),
    average_over: str | None = None,
    all_points: bool = False,
    samples_per_step: int | None = None,
    samples_per_epoch: int | None = None,
    number_seeds: bool = False,
    sizes_apart: bool = False,
    remark: Callable[[str], None] | None = None,
) -> list[Run]:
    """Runs that another tool finished, in the order of the sources.

    Args:
        sources: Files, or for `open_clip` and `datacomp` also folders with runs anywhere below them.
        format: A name in `FORMATS`.
        metric: What becomes the error: `val_loss` as it is, `1-acc1` and `100-top1` for accuracies
            (fractions, per cent). Several: the first that a row has. For `datacomp` a task, `average-18` or
            `average-38`.
        metric_name: Name of the error in the ledger; `acc1_error` for 1 - acc1 by default.
        supply: Field of a run to a value for all runs, or to values by name: of the pool for
            `unique_samples` and `pool_samples`, of the model for `params`, of the run for the others. Names
            may hold `*` and `?`. Stronger than the source, except that it makes no mid-run point a final
            one.
        facts: A CSV with the column `run` and fields of a run; stronger than `supply`.
        columns: Field of a run to the column that holds it; columns called like a field need no entry.
        where: Conditions on rows, `COLUMN=VALUE` or `COLUMN!=VALUE`. Several values of one column are
            alternatives; all columns have to agree.
        average_over: Column with task names; the error of a run is its mean over all tasks of the table.
        all_points: Every measurement of a run, the earlier ones marked `final=False`, not only the last.
        samples_per_step: Samples seen in one step, where a source counts steps (`columns={"step": ...}`).
        samples_per_epoch: Samples seen in one epoch, likewise.
        number_seeds: Runs that differ in nothing but the error are repeats with other seeds; number them,
            from 0 in the order of the source. Otherwise they are refused.
        sizes_apart: Pools whose names differ in a size alone (LAION-80M, LAION-2B) stay pools of their own.
            Otherwise they are one pool, of which runs have more or fewer unique samples.
        remark: Told in a sentence which pools became one.

    Raises:
        InputError: naming file, row and remedy: something is missing, is no number, is out of range, stands
            there twice or is in another unit than the rest.
    """
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r}; use one of {', '.join(FORMATS)}")
    chosen = FORMATS[format]
    _check_taken(
        format,
        {
            "columns": columns,
            "where": where,
            "average_over": average_over,
            "all_points": all_points,
            "samples_per_step": samples_per_step,
            "samples_per_epoch": samples_per_epoch,
        },
    )
    wanted = Wanted(
        metrics=_metrics(format, (metric,) if isinstance(metric, str) else tuple(metric)),
        metric_name=metric_name,
        columns=columns or {},
        where=tuple(where),
        average_over=average_over,
        all_points=all_points,
        samples_per_epoch=samples_per_epoch,
    )
    supplied = Supplied(
        values=supply or {},
        facts=read_facts(Path(facts)) if facts is not None else {},
        samples_per_step=samples_per_step,
        samples_per_epoch=samples_per_epoch,
    )
    found = [one for source in sources for one in chosen.read(Path(source), wanted)]
    if not found:
        raise InputError("no source was named; name a file or folder with finished runs")
    placed = complete(found, supplied)
    if not sizes_apart:
        placed, joined = one_recipe(placed)
        if remark is not None:
            for sentence in joined:
                remark(sentence)
    if number_seeds:
        placed = with_seeds(placed)
    check_runs(placed)
    return [run for _, run in placed]


def _check_taken(name: str, given: Mapping[str, object]) -> None:
    unused = [argument for argument, value in given.items() if value and argument not in FORMATS[name].takes]
    if unused:
        others = [other for other, format in FORMATS.items() if unused[0] in format.takes]
        raise InputError(
            f"{unused[0].replace('_', '-')} means nothing for the format {name}; leave it out (it is for "
            f"{', '.join(others)})"
        )


def _metrics(name: str, texts: tuple[str, ...]) -> tuple[Metric, ...]:
    """The metrics that a person named; an accuracy that the format knows needs no `1-` before it."""
    default = FORMATS[name].metric
    if not texts:
        if default is None and name == "table":
            raise InputError(
                "say which column becomes the error, such as --metric val_loss or --metric 1-acc1"
            )
        return () if default is None else (default,)
    if name == "datacomp":
        if len(texts) > 1:
            raise InputError(f"DataComp results give one metric; {texts[1]!r} is a second one, leave it out")
        return (Metric(texts[0].removeprefix("1-"), 1),)
    if name == "open_clip":
        texts = tuple(
            f"1-{text.removeprefix('1-')}" if open_clip.is_accuracy(text) else text for text in texts
        )
    return tuple(parse_metric(text) for text in texts)
