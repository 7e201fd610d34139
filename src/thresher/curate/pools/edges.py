"""Where a ranking is cut, what the pools are called, and which rows may enter a pool at all."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.curate.pools.keys import Keys, keys_of
from thresher.errors import InputError
from thresher.tables import decimal

MAX_POOLS = 1000

COMPARISONS: dict[str, Callable[[Any, np.float32], npt.NDArray[np.bool_]]] = {
    ">=": lambda scores, limit: scores >= limit,
    "<=": lambda scores, limit: scores <= limit,
    ">": lambda scores, limit: scores > limit,
    "<": lambda scores, limit: scores < limit,
}

_FORM = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?P<sign>>=|<=|>|<)\s*(?P<limit>[^<>=]+?)\s*")


def check_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """The edges as they came, when they rise within (0, 1]."""
    if not edges:
        raise InputError("no edges are given; write for example 0.1,0.2,0.3,0.4")
    if len(edges) > MAX_POOLS:
        raise InputError(f"{len(edges)} edges are given; at most {MAX_POOLS} pools are cut")
    for edge in edges:
        if not 0 < edge <= 1:
            raise InputError(
                f"edge {edge} is not in (0, 1]; edges are shares of the pairs, such as 0.1,0.2,1"
            )
    for before, edge in itertools.pairwise(edges):
        if edge <= before:
            raise InputError(f"edge {edge} stands after {before}; edges must rise, such as 0.1,0.2,0.3")
    return tuple(float(edge) for edge in edges)


def check_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    """The thresholds as they came, when they fall."""
    if not thresholds or len(thresholds) > MAX_POOLS:
        raise InputError(f"{len(thresholds)} thresholds are given; give 1 to {MAX_POOLS}, such as 0.30,0.28")
    for threshold in thresholds:
        if not math.isfinite(threshold):
            raise InputError(f"threshold {threshold} is not a number to compare scores with")
    for before, threshold in itertools.pairwise(thresholds):
        if threshold >= before:
            raise InputError(
                f"threshold {threshold} stands after {before}; thresholds must fall, best pool first"
            )
    return tuple(float(threshold) for threshold in thresholds)


def names_of(edges: Sequence[float], thresholds: Sequence[float]) -> list[str]:
    """Names of the pools, best first; cuts that look alike in six digits are refused.

    >>> names_of((0.1, 0.25, 1.0), ())
    ['0-10%', '10-25%', '25-100%']
    >>> names_of((), (0.3, 0.28))
    ['>=0.3', '0.28..0.3']
    """
    texts = [decimal(threshold) for threshold in thresholds] or [
        "0",
        *(decimal(100 * edge) for edge in edges),
    ]
    if len(set(texts)) < len(texts):
        raise InputError(f"two cuts look alike ({', '.join(texts)}); move them further apart")
    if thresholds:
        return [f">={texts[0]}", *(f"{low}..{high}" for high, low in itertools.pairwise(texts))]
    return [f"{low}-{high}%" for low, high in itertools.pairwise(texts)]


def ends_of_edges(edges: Sequence[float], num_rows: int) -> list[int]:
    """For each edge, how many of the best rows lie above it: the whole part of edge x rows.

    An edge stands for the nearest fraction with a denominator of at most a million, so that 0.29 of 100 rows
    are 29, whatever the binary form of 0.29 is. Pools between equally spaced edges differ by at most one row.

    >>> ends_of_edges((0.29, 1 / 3, 1.0), 100)
    [29, 33, 100]
    """
    return [int(Fraction(edge).limit_denominator(10**6) * num_rows) for edge in edges]


def ends_of_thresholds(thresholds: Sequence[float], pieces: Iterable[Keys]) -> list[int]:
    """For each threshold, how many scores (given by their keys) reach it; compared as float32, as stored."""
    limits = keys_of(np.asarray(thresholds, dtype=np.float32))
    ends = np.zeros(len(limits), dtype=np.int64)
    for keys in pieces:
        ends += len(keys) - np.searchsorted(np.sort(keys), limits, side="left")
    return [int(end) for end in ends]


@dataclass(frozen=True, slots=True)
class Condition:
    """`name sign limit`, such as basic >= 1; scores are compared as float32, as they are stored."""

    name: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{decimal(self.limit)}"

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
