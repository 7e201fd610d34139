"""CSV exports of Weights & Biases: of a chart (a column a run) and of the table of runs (a row a run).

A chart's first column is its x axis; the others are called "RUN - METRIC", with "__MIN" and "__MAX" beside
them. The table of runs has the columns "Name" and "State", and one for each setting and summary.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from thresher.errors import InputError
from thresher.planning.runs.importers.records import (
    Found,
    Metric,
    Wanted,
    measurement,
    parse_metric,
    printable,
)
from thresher.planning.runs.importers.table import read_rows
from thresher.planning.runs.record import is_given
from thresher.planning.runs.table_file import Row, listed, read_csv

_MARK = " - "
_BANDS = ("__MIN", "__MAX")
_FINISHED = "finished"


def read(source: Path, wanted: Wanted) -> Iterator[Found]:
    """The last value of each run in a chart (or every value), or each row of a table of runs."""
    if not source.is_file():
        raise InputError(f"there is no export at {source}; name the .csv file that Weights & Biases wrote")
    header, rows = read_csv(source)
    if "Name" in header and not any(_MARK in name for name in header[1:] if name.startswith("Name")):
        yield from _read_runs(source.name, header, rows, wanted)
    else:
        yield from _read_chart(source.name, header, rows, wanted)


def _read_runs(name: str, header: list[str], rows: Iterator[Row], wanted: Wanted) -> Iterator[Found]:
    if not wanted.metrics:
        raise InputError(f"{name}: say which column measures the runs, such as --metric 1-val/acc1")
    filtered = any(text.startswith("State") for text in wanted.where)
    if "State" in header and not filtered:
        rows = _only_finished(name, rows)
    yield from read_rows(name, header, rows, replace(wanted, columns={"run": "Name", **wanted.columns}))


def _only_finished(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    for row, cells in rows:
        if cells["State"].strip().lower() != _FINISHED:
            raise InputError(
                f"{name}, row {row}: run {printable(cells['Name'])!r} is {cells['State'].strip()!r}, not "
                f"finished; leave such runs out with --where State={_FINISHED}"
            )
        yield row, cells


def _read_chart(name: str, header: list[str], rows: Iterator[Row], wanted: Wanted) -> Iterator[Found]:
    if wanted.columns or wanted.where or wanted.average_over:
        raise InputError(
            f"{name} is the export of a chart; --column, --where and --average-over are for tables of runs"
        )
    metric = _metric(name, header, wanted.metrics)
    ending = f"{_MARK}{metric.column}"
    lines = [column for column in header[1:] if column.endswith(ending) and len(column) > len(ending)]
    axis = _axis(header[0])
    table = list(rows)
    for column in lines:
        points = [(row, cells) for row, cells in table if is_given(cells[column])]
        if axis is not None:  # exports are not always in its order
            points.sort(key=lambda point: _position(name, point, header[0]))
        if not points:
            raise InputError(
                f"{name}, row 1: column {column!r} holds no value; remove it, or export it again"
            )
        for row, cells in points if wanted.all_points else points[-1:]:
            place = f"{name}, row {row}, column {printable(column)!r}"
            record = {
                "run": printable(column.removesuffix(ending)),
                **measurement(metric, cells[column], wanted, place),
            }
            if axis is not None:
                record[axis] = cells[header[0]]
            if row != points[-1][0]:
                record["final"] = False
            yield Found(place=place, record=record, lacks={"samples_seen": _axis_reason(header[0], axis)})


def _position(name: str, point: Row, axis: str) -> float:
    """Where on the x axis a row stands."""
    row, cells = point
    try:
        position = float(cells[axis].replace(",", ""))
    except ValueError:
        position = math.nan
    if not math.isfinite(position):
        raise InputError(
            f"{name}, row {row}: {cells[axis]!r} in the column {axis!r} is no number; remove the row"
        )
    return position


def _metric(name: str, header: Sequence[str], metrics: tuple[Metric, ...]) -> Metric:
    """The metric asked for, or the only one that the chart shows."""
    shown = list(
        dict.fromkeys(
            column.rpartition(_MARK)[2]
            for column in header[1:]
            if _MARK in column and not column.endswith(_BANDS)
        )
    )
    if not shown:
        raise InputError(
            f"{name}, row 1: no column is called 'RUN - METRIC', nor one 'Name', among {listed(list(header))}"
            f"; export the chart or the table of runs as CSV, or say --format table"
        )
    for metric in metrics:
        if any(column.endswith(f"{_MARK}{metric.column}") for column in header):
            return metric
    if metrics:
        raise InputError(
            f"{name}, row 1: no run has {metrics[0].column!r}; name one that the chart shows: {listed(shown)}"
        )
    if len(shown) > 1:
        raise InputError(f"{name}, row 1: shows {listed(shown)}; say which is meant with --metric")
    return parse_metric(shown[0])


def _axis(column: str) -> str | None:
    """The field that the x axis counts."""
    last = column.lower().rpartition("/")[2]
    if "sample" in last:
        return "samples_seen"
    return {"step": "step", "_step": "step", "global_step": "step", "epoch": "epoch"}.get(last)


def _axis_reason(column: str, axis: str | None) -> str:
    if axis is None:
        return f"its x axis is {column!r}; export it over Step, or give --samples-seen"
    return f"its x axis counts {axis}s; give the samples of one (--samples-per-{axis})"
