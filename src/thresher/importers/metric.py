"""The error that a measurement becomes: a loss or error as it is, or 1 minus an accuracy."""

import math
import re
from dataclasses import dataclass
from typing import Any

from thresher.errors import InputError

_ACCURACY = re.compile(
    r"acc(?![a-z])|accuracy|top-?[15](?![0-9])|recall|r@[0-9]|precision|auc|(?<![a-z])f1", re.I
)
_ERROR = re.compile(r"err|loss|perplexity|ppl", re.I)
_DIGITS = 12
_RANK = re.compile(r"rank", re.I)


@dataclass(frozen=True, slots=True)
class Metric:
    """A column, and how its value becomes an error.

    Attributes:
        column: Name of the measurement in the source.
        whole: 1 for an accuracy from 0 to 1, 100 for one in per cent; None for a loss or an error.
    """

    column: str
    whole: int | None = None


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
        raise InputError(f"{metric.column} is {number:g}, not from 0 to {metric.whole}; {remedy}")
    return round((metric.whole - number) / metric.whole, _DIGITS)


def is_given(value: Any) -> bool:
    """Whether a cell or key holds anything."""
    return value is not None and not (isinstance(value, str) and not value.strip())
