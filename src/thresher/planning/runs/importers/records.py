"""What a reader finds in the result files under a folder: measurements, as far as the source tells them.

The error of a measurement is a loss or error as it is, or 1 minus an accuracy.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thresher.errors import InputError, naming
from thresher.planning.runs.record import is_given
from thresher.tables import decimal

FIELDS = (
    *("pool", "weights", "unique_samples", "pool_samples", "samples_seen", "run", "role", "seed"),
    *("recipe", "model", "params", "flops", "final", "replacement"),
)
"""Fields of a run that a column may hold or a person may supply."""

COUNTED = ("step", "epoch")
"""What a column may hold in place of `samples_seen`, where the samples of one are known."""

_LONGEST_NAME = 200

_MOST_ENTRIES = 200_000

_ACCURACY = re.compile(
    r"acc(?![a-z])|accuracy|top-?[15](?![0-9])|recall|r@[0-9]|precision|auc|(?<![a-z])f1", re.I
)
_ERROR = re.compile(r"err|loss|perplexity|ppl", re.I)
_DIGITS = 12
_RANK = re.compile(r"rank", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One measurement.

    Attributes:
        place: Where it stands, such as "export.csv, row 3".
        record: Fields of a run under their names in the ledger (`error` and `metric` always), and perhaps
            `step` or `epoch`.
        lacks: Field to a sentence that says why the source does not tell it.
    """

    place: str
    record: Mapping[str, Any]
    lacks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """A column, and how its value becomes an error.

    Attributes:
        column: Name of the measurement in the source.
        whole: 1 for an accuracy from 0 to 1, 100 for one in per cent; None for a loss or an error.
    """

    column: str
    whole: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for in the sources.

    Attributes:
        metrics: What becomes the error; the first that a row has.
        metric_name: Its name in the ledger, where it is to have another.
        columns: Field of the ledger to the column that holds it.
        where: Conditions `COLUMN=VALUE` or `COLUMN!=VALUE` on the rows of a table.
        average_over: Column of the task names; the errors of one run are averaged over its tasks.
        all_points: Every measurement of a run, not only its last.
        samples_per_epoch: Length of an epoch, where the source does not tell it.
    """

    metrics: tuple[Metric, ...] = ()
    metric_name: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Sequence[str] = ()
    average_over: str | None = None
    all_points: bool = False
    samples_per_epoch: int | None = None


def printable(name: str) -> str:
    """A name from a source without control characters and at most 200 long, fit for a terminal."""
    return "".join(mark if mark.isprintable() else "?" for mark in name.strip())[:_LONGEST_NAME]


def result_files(source: Path, is_result: Callable[[str], bool], kind: str) -> list[Path]:
    """The file itself, or all files below a folder whose name is that of a result, sorted by path.

    Links to folders are not followed.

    Raises:
        InputError: there is nothing at `source`, none of its files fits, or it holds too many to look
            through.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"there is no file or folder at {source}; name a folder of runs, or a {kind}")
    found: list[Path] = []
    seen = 0
    for folder, _, names in os.walk(source):
        seen += len(names)
        if seen > _MOST_ENTRIES:
            raise InputError(
                f"{source} holds more than {_MOST_ENTRIES:,} files; name the folders of the runs in it"
            )
        found += [Path(folder, name) for name in names if is_result(name)]
    if not found:
        raise InputError(
            f"{source} holds no {kind}; name the folder of a run, or one that holds such folders"
        )
    return sorted(found)


def shown(path: Path, source: Path) -> str:
    """The path as a person would find it: below the folder that was named, with that folder's name."""
    return path.name if path == source else str(Path(source.resolve().name, path.relative_to(source)))


def parse_metric(text: str) -> Metric:
    """`1-acc1` and `100-acc1` are accuracies (a fraction, per cent); any other name is a loss or an error.

    Raises:
        InputError: a name that sounds like an accuracy, without `1-` before it, or like a rank.

    >>> parse_metric("1-acc1"), parse_metric("val_loss")
    (Metric(column='acc1', whole=1), Metric(column='val_loss', whole=None))
    """
    for whole in (1, 100):
        if text.startswith(f"{whole}-") and len(text) > len(f"{whole}-"):
            return Metric(text.removeprefix(f"{whole}-").strip(), whole)
    if sounds_like_accuracy(text):
        raise InputError(
            f"metric {text!r} sounds like an accuracy; write 1-{text} (100-{text} where it is in per cent), "
            f"or rename the column if it is an error"
        )
    if not text or (_RANK.search(text) and not _ERROR.search(text)):
        raise InputError(f"metric {text!r} is no error or accuracy; name one, such as 1-acc1 or val_loss")
    return Metric(text)


def sounds_like_accuracy(name: str) -> bool:
    """Whether a measurement of this name is better when it is larger, as far as its name tells."""
    return _ACCURACY.search(name) is not None and _ERROR.search(name) is None


def metric_label(metric: Metric) -> str:
    """Name of the error in the ledger: `acc1_error` for 1 - acc1, else the name of the column."""
    return metric.column if metric.whole is None else f"{metric.column}_error"


def error_of(metric: Metric, value: Any) -> float:
    """The error that a value of the source stands for; that of an accuracy is rounded to 12 digits.

    Raises:
        InputError: the value is no finite number, or an accuracy outside its range.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{metric.column} is {value!r}; drop the row or measure the run again")
    if metric.whole is None:
        return number
    if not 0 <= number <= metric.whole:
        per_cent = metric.whole == 1 and 1 < number <= 100
        remedy = f"for per cent write 100-{metric.column}" if per_cent else "it is no accuracy"
        raise InputError(f"{metric.column} is {decimal(number)}, not from 0 to {metric.whole}; {remedy}")
    return round((metric.whole - number) / metric.whole, _DIGITS)


def first_given(metrics: Sequence[Metric], cells: Mapping[str, Any]) -> Metric | None:
    """The first metric that a row has."""
    return next((metric for metric in metrics if is_given(cells.get(metric.column))), None)


def measurement(metric: Metric, value: Any, wanted: Wanted, place: str) -> dict[str, Any]:
    """The fields `error` and `metric` of a run.

    Raises:
        InputError: with the place, as `error_of`.
    """
    with naming(place):
        return {"error": error_of(metric, value), "metric": wanted.metric_name or metric_label(metric)}
