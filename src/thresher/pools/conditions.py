"""Conditions on further score columns: which rows may get into a pool at all."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.errors import InputError

COMPARISONS: dict[str, Callable[[Any, np.float32], npt.NDArray[np.bool_]]] = {
    ">=": lambda scores, limit: scores >= limit,
    "<=": lambda scores, limit: scores <= limit,
    ">": lambda scores, limit: scores > limit,
    "<": lambda scores, limit: scores < limit,
}

_FORM = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?P<sign>>=|<=|>|<)\s*(?P<limit>[^<>=]+?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """`name sign limit`, such as basic >= 1; scores are compared as float32, as they are stored."""

    name: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.limit:g}"

    def holds(self, column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which rows meet it; a row without a score (NaN or null) does not."""
        scores = column.cast(pa.float32()).to_numpy(zero_copy_only=False)
        return COMPARISONS[self.sign](scores, np.float32(self.limit))


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Conditions as people write them.

    Raises:
        InputError: a text is of another form, or its limit is no number.

    >>> parse_conditions(["basic>=1", "aspect < 3"])
    (Condition(name='basic', sign='>=', limit=1.0), Condition(name='aspect', sign='<', limit=3.0))
    """
    found = []
    for text in texts:
        match = _FORM.fullmatch(text)
        limit = _number(match["limit"]) if match else None
        if match is None or limit is None:
            raise InputError(f"the condition {text!r} is not of the form COLUMN>=NUMBER, such as 'basic>=1'")
        found.append(Condition(match["name"], match["sign"], limit))
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
