"""Published filters, as rules that say of every row whether it is kept.

They follow DataComp (arXiv 2304.14108, section 4.1 and appendix) as its code applies them. Given the columns
that they read, the rows kept are the same ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thresher.data.pairs import printable
from thresher.errors import InputError, nearest
from thresher.scores.language import is_english, open_identifier
from thresher.sharded.scorer import SIZE
from thresher.tables import decimal

if TYPE_CHECKING:
    import pyarrow as pa

MORE_THAN_WORDS = 2
MORE_THAN_CHARACTERS = 5
SHORTEST_SIDE = 200
LARGEST_ASPECT = 3.0
LAION_SIMILARITY = 0.28

COLUMNS = {
    "caption": ("caption", "text"),
    "width": ("original_width", "width"),
    "height": ("original_height", "height"),
    "similarity": ("clip_b32_similarity_score", "clip"),
    "language": ("language", "LANGUAGE"),
}
"""What a rule reads -> the columns that may hold it; in each row the first of them with a value counts."""

Kept = npt.NDArray[np.bool_]


def is_long_enough(captions: Sequence[str | None]) -> Kept:
    """More than 2 words (split at white space) and more than 5 characters; a missing caption is not.

    >>> is_long_enough(["a red chair", "red chair", "a b c"]).tolist()
    [True, False, False]
    """
    found = [
        text is not None and len(text.split()) > MORE_THAN_WORDS and len(text) > MORE_THAN_CHARACTERS
        for text in captions
    ]
    return np.asarray(found, dtype=np.bool_)


def is_large_enough(widths: npt.ArrayLike, heights: npt.ArrayLike) -> Kept:
    """Shorter side of at least 200 pixels, and at most 3 times as long as short; a missing size is not.

    >>> is_large_enough([600, 601, 199], [200, 200, 199]).tolist()
    [True, False, False]
    """
    sides = np.stack([np.asarray(widths, dtype=np.float64), np.asarray(heights, dtype=np.float64)])
    short, long = sides.min(axis=0), sides.max(axis=0)
    kept: Kept = (short >= SHORTEST_SIDE) & (long <= LARGEST_ASPECT * short)
    return kept


def is_in_top(scores: npt.NDArray[np.floating[Any]], fraction: float) -> Kept:
    """Whether a score reaches the one at place `int(n * fraction)` of the falling scores, counted from 0.

    So one row more than the fraction is kept, and all rows that tie with it. A fraction of 1 keeps every row
    that has a score. NaN stands behind all scores and is not kept.

    Raises:
        InputError: the fraction is not in [0, 1], or the score at that place is NaN.

    >>> is_in_top(np.array([0.1, 0.3, 0.2, 0.3, 0.2]), 0.4).tolist()
    [False, True, True, True, True]
    """
    if not 0 <= fraction <= 1:
        raise InputError(f"the fraction {fraction} is not in [0, 1]; 0.3 keeps the best 30%")
    place = int(len(scores) * fraction)
    if place == len(scores):
        kept: Kept = ~np.isnan(scores)
        return kept
    threshold = -np.sort(-scores)[place]
    if np.isnan(threshold):
        raise InputError(
            f"the best {decimal(fraction)} of {len(scores)} rows reach into those without a score (NaN: "
            f"{int(np.isnan(scores).sum())}); give a smaller fraction, or leave them out"
        )
    best: Kept = scores >= threshold
    return best


@dataclass(frozen=True, slots=True)
class Rule:
    """A published filter: what it reads (names in `COLUMNS`), and which rows it keeps of those columns."""

    reads: tuple[str, ...]
    keeps: Callable[[dict[str, npt.NDArray[Any]]], Kept]


RULES: dict[str, Rule] = {
    "basic": Rule(
        ("language", "caption", "width", "height"),
        lambda of: (
            of["language"]
            & is_long_enough(of["caption"].tolist())
            & is_large_enough(of["width"], of["height"])
        ),
    ),
    "laion": Rule(
        ("language", "similarity"), lambda of: of["language"] & (of["similarity"] >= LAION_SIMILARITY)
    ),
}
"""Name -> rule.

- `basic`, DataComp's basic filter: English, more than 2 words, more than 5 characters, shorter side at least
  200 pixels, aspect ratio at most 3
- `laion`, LAION-2B's as DataComp applies it: English, similarity under CLIP ViT-B/32 of at least 0.28
"""


def keep(table: "pa.Table", rule: str) -> Kept:
    """Which rows of a table `rule` keeps; the table may be DataComp's metadata.

    A similarity is compared in the precision in which it is stored. The language comes from the columns of
    `COLUMNS`; where a row has none there, it is identified from the caption. A row that lacks what the rule
    reads is not kept.

    Raises:
        InputError: there is no such rule, or the table lacks a column that it reads.
        MissingExtra: a language has to be identified, and the identifier is not installed.

    >>> import pyarrow as pa
    >>> keep(pa.table({"language": ["en", "en", "fr"], "clip": [0.28, 0.27, 0.4]}), "laion").tolist()
    [True, False, False]
    """
    kept: Kept = judge(table, rule) == 1
    return kept


def judge(table: "pa.Table", rule: str) -> npt.NDArray[np.float32]:
    """Like `keep`: 1 for a row that is kept, 0 for another, NaN for one that lacks what the rule reads.

    >>> import pyarrow as pa
    >>> judge(pa.table({"language": ["en", "fr", "en"], "clip": [0.4, 0.4, None]}), "laion").tolist()
    [1.0, 0.0, nan]
    """
    if rule not in RULES:
        raise InputError(f"there is no rule {rule!r}; {nearest(rule, list(RULES))}")
    read = {name: _column(table, name, rule) for name in RULES[rule].reads}
    found = RULES[rule].keeps({name: values for name, (values, _) in read.items()}).astype(np.float32)
    found[~np.all([known for _, known in read.values()], axis=0)] = np.nan
    return found


def _column(table: "pa.Table", name: str, rule: str) -> tuple[npt.NDArray[Any], Kept]:
    """What a rule reads, for `language` whether it is English; and in which rows it is known."""
    import pyarrow.compute as pc

    columns = [table.column(column) for column in COLUMNS[name] if column in table.column_names]
    if not columns and name != "language":
        raise InputError(
            f"the rule {rule} reads a {name} (column {' or '.join(COLUMNS[name])}), which the table does not "
            f"have; its columns are {', '.join(table.column_names)}"
        )
    if name == "language":
        return _english(table, columns)
    if name == "caption":
        texts = [
            next((text for text in row if text), None) for row in zip(*map(_texts, columns), strict=True)
        ]
        return np.asarray(texts, dtype=object), np.asarray([text is not None for text in texts], np.bool_)
    columns = [_numbers(column) if name == "similarity" else _sizes(column) for column in columns]
    values = pc.coalesce(*columns)
    numbers: npt.NDArray[Any] = values.to_numpy()
    return numbers, ~np.isnan(numbers.astype(np.float64))


def _sizes(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Sizes as float64, null where none is said; text counts as it does in `row_of`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    if not any(is_kind(column.type) for is_kind in kinds):
        texts = [text if text and SIZE.fullmatch(text) else None for text in _texts(column)]
        column = pa.chunked_array([pa.array(texts, pa.string())])
    numbers = pc.cast(_numbers(column), pa.float64(), safe=False)
    return pc.if_else(pc.greater(numbers, 0), numbers, None)


def _english(table: "pa.Table", columns: Sequence["pa.ChunkedArray"]) -> tuple[npt.NDArray[Any], Kept]:
    """Whether each row is English: by the first column that says it, else by its caption."""
    codes = [_texts(column) for column in columns] or [[None] * table.num_rows]
    stated = [next((code for code in row if code and code.strip()), None) for row in zip(*codes, strict=True)]
    missing = [place for place, code in enumerate(stated) if code is None]
    names = [name for name in COLUMNS["caption"] if name in table.column_names]
    if missing and names:
        identify = open_identifier()
        captions = [_texts(table.column(name)) for name in names]
        for place in missing:
            text = next((texts[place] for texts in captions if texts[place]), None)
            stated[place] = identify(text) if text else None
    english = np.asarray([is_english(code) for code in stated], np.bool_)
    return english, np.asarray([code is not None for code in stated], np.bool_)


def _numbers(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Floating-point numbers as they are, other values as float64, null where one is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from thresher.data.table import column_values

    if pa.types.is_floating(column.type):
        return column
    try:
        return pc.cast(column, pa.float64(), safe=False)
    except pa.ArrowException:  # a text that is no number, or a type without any
        return pa.chunked_array([pa.array(map(_number, column_values(column)), pa.float64())])


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def _texts(column: "pa.ChunkedArray") -> list[str | None]:
    """The texts of a column, None for what is no text or no valid UTF-8."""
    from thresher.data.table import column_values

    values = column_values(column)
    return [value if isinstance(value, str) and printable(value) == value else None for value in values]
