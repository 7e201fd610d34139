"""Tables of finished runs, a row a run or a row a run and task: CSV, or JSONL with flat or nested objects."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.errors import InputError
from thresher.planning.runs.importers.records import (
    COUNTED,
    FIELDS,
    Found,
    Wanted,
    first_given,
    measurement,
    metric_label,
    printable,
)
from thresher.planning.runs.record import is_given
from thresher.planning.runs.table_file import Row, listed, read_csv, read_jsonl

_DEEPEST = 8


def read(source: Path, wanted: Wanted) -> Iterator[Found]:
    """Each row that meets the conditions, or each run averaged over its tasks, in the order of the file."""
    if not source.is_file():
        raise InputError(f"there is no table at {source}; name a .csv or .jsonl file")
    if source.suffix.lower() == ".csv":
        header, rows = read_csv(source)
    else:
        rows = ((row, _flat(record)) for row, record in read_jsonl(source))
        table = list(rows)
        header, rows = list(dict.fromkeys(name for _, record in table for name in record)), iter(table)
    yield from read_rows(source.name, header, rows, wanted)


def read_rows(name: str, header: Sequence[str], rows: Iterator[Row], wanted: Wanted) -> Iterator[Found]:
    """The rows of a table as measurements.

    Args:
        name: Name of the table, for sentences.
        header: Its columns.
        rows: Number and cells of each row.
        wanted: What to look for.
    """
    columns = _columns(name, header, wanted)
    conditions = [_condition(name, header, text) for text in wanted.where]
    chosen = ((row, cells) for row, cells in rows if _meets(cells, conditions))
    found: Iterator[_Cell] = (_found(name, row, cells, columns, wanted) for row, cells in chosen)
    if wanted.average_over is not None:
        found = _averages(found, wanted.average_over, wanted)
    empty = True
    for one, _ in found:
        empty = False
        yield one
    if empty:
        said = " and ".join(wanted.where)
        raise InputError(f"{name}: no row has {said}; check --where" if said else f"{name} holds no rows")


_Cell = tuple[Found, str]
"""A row as a measurement, with the task that it measures."""


def _found(
    name: str, row: int, cells: Mapping[str, Any], columns: Mapping[str, str], wanted: Wanted
) -> _Cell:
    place = f"{name}, row {row}"
    record = {field: cells[column] for field, column in columns.items() if is_given(cells.get(column))}
    for field in ("run", "pool", "model", "recipe"):
        if field in record:
            record[field] = printable(str(record[field]))
    metric = first_given(wanted.metrics, cells)
    if metric is None:
        names = " and ".join(repr(metric.column) for metric in wanted.metrics)
        raise InputError(f"{place}: {names} is empty; drop the row, or leave it out with --where")
    record |= measurement(metric, cells[metric.column], wanted, place)
    task = "" if wanted.average_over is None else str(cells.get(wanted.average_over, "")).strip()
    if wanted.average_over is not None and not task:
        raise InputError(f"{place}: {wanted.average_over!r} is empty; name the task, or drop the row")
    return Found(place=place, record=record), task


def _averages(cells: Iterator[_Cell], over: str, wanted: Wanted) -> Iterator[_Cell]:
    """One measurement a run: the mean over all tasks of the table; every run has to have each of them."""
    runs: dict[tuple[tuple[str, str], ...], dict[str, Found]] = {}
    tasks: dict[str, None] = {}
    for found, task in cells:
        record = found.record
        key = tuple(
            sorted((field, str(record[field])) for field in record if field not in ("error", "metric"))
        )
        errors = runs.setdefault(key, {})
        if task in errors:
            raise InputError(
                f"{found.place}: {over} {task!r} stands already in {errors[task].place} for "
                f"this run; drop one, or tell the runs apart by --column run=COLUMN"
            )
        errors[task] = found
        tasks[task] = None
    for errors in runs.values():
        first = next(iter(errors.values()))
        missing = [task for task in tasks if task not in errors]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"{first.place}: run {first.record.get('run', '')!r} has no {over} {missing[0]!r}{more}, "
                f"which other runs have; add it, or leave it out of all: --where '{over}!={missing[0]}'"
            )
        error = math.fsum(one.record["error"] for one in errors.values()) / len(errors)
        label = wanted.metric_name or f"mean_{metric_label(wanted.metrics[0])}"
        record = {**first.record, "error": error, "metric": label}
        yield Found(place=first.place, record=record), ""


def _columns(name: str, header: Sequence[str], wanted: Wanted) -> dict[str, str]:
    """Field to column: as a person said, else the column of the same name."""
    columns = {field: field for field in FIELDS if field in header} | dict(wanted.columns)
    unknown = next((field for field in columns if field not in FIELDS + COUNTED), None)
    if unknown is not None:
        raise InputError(f"there is no field {unknown!r}; use one of {', '.join(FIELDS + COUNTED)}")
    needed = [*columns.values(), *([] if wanted.average_over is None else [wanted.average_over])]
    absent = [column for column in needed if column not in header]
    if not any(metric.column in header for metric in wanted.metrics):
        absent += [metric.column for metric in wanted.metrics]
    elif len(wanted.metrics) > 1:
        absent += [metric.column for metric in wanted.metrics if metric.column not in header]
    if absent:
        raise InputError(
            f"{name}, row 1: no column {absent[0]!r} among {listed(list(header))}; name one of them"
        )
    return columns


_Condition = tuple[str, bool, str]


def _condition(name: str, header: Sequence[str], text: str) -> _Condition:
    column, mark, value = text.partition("!=")
    equal = not mark
    if equal:
        column, mark, value = text.partition("=")
    column = column.strip()
    if not mark or not column:
        raise InputError(f"--where {text!r} is not of the form COLUMN=VALUE or COLUMN!=VALUE")
    if column not in header:
        raise InputError(f"{name}, row 1: no column {column!r} (--where) among {listed(list(header))}")
    return column, equal, value.strip()


def _meets(cells: Mapping[str, Any], conditions: Sequence[_Condition]) -> bool:
    """Whether a row has one of the values asked for in each column, and none of those excluded."""
    for column in {column for column, _, _ in conditions}:
        allowed = [value for name, equal, value in conditions if name == column and equal]
        refused = [value for name, equal, value in conditions if name == column and not equal]
        held = cells.get(column)
        wrong = allowed and not any(_same(held, value) for value in allowed)
        if wrong or any(_same(held, value) for value in refused):
            return False
    return True


def _same(held: Any, value: str) -> bool:
    text = "" if held is None else str(held).strip()
    if text == value:
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False


def _flat(record: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Nested objects with their keys joined by points; a mix's `weights` and sizes stay objects."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and key not in FIELDS and depth < _DEEPEST:
            flat |= {f"{key}.{name}": inner for name, inner in _flat(value, depth + 1).items()}
        else:
            flat[str(key)] = value
    return flat
