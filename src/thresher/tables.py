"""Results as people read them: numbers as text, and tables as text, HTML, polars or pandas.

A number has no exponent, and the same kind of number reads the same in every command, table and report.
HTML is for notebooks: escaped, with tables and lists alone, no script and no style sheet.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from importlib import import_module
from typing import Any, TypeVar

from thresher.budget import format_count
from thresher.errors import InputError, MissingExtra

COLUMN_GAP = "  "
SMALLEST_SHOWN = 1e-4
"""A number below it is shown as 0 where digits are few."""
SMALLEST_NUMBER = 1e-9

Columns = dict[str, list[Any]]
Result = TypeVar("Result")
EXTRA = "tables"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells under a header, as texts; the first column holds names."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Sentences that belong together, one a line."""

    lines: tuple[str, ...]


Block = Table | Sentences


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A `Table` of any sequences."""
    return Table(tuple(header), tuple(tuple(row) for row in rows))


def sentences(*lines: str) -> Sentences:
    """`Sentences` without those that are empty."""
    return Sentences(tuple(line for line in lines if line))


def text_of(blocks: Iterable[Block]) -> str:
    """The blocks as plain text, an empty line between two; those that hold nothing are left out."""
    return "\n\n".join(
        columns(block.header, block.rows) if isinstance(block, Table) else "\n".join(block.lines)
        for block in filled(blocks)
    )


def filled(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks that hold something."""
    for block in blocks:
        if block.rows if isinstance(block, Table) else block.lines:
            yield block


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a header, in columns as wide as they have to be; the first one left, the others right.

    >>> print(columns(("pool", "pairs"), [("0-10%", "8"), ("all", "1,280")]))
    pool   pairs
    0-10%      8
    all    1,280
    """
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(
        COLUMN_GAP.join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def plain(value: float, digits: int) -> str:
    """A number with so many significant digits and never an exponent; what lies below 0.0001 is 0.

    >>> plain(99.7, 2), plain(0.0834, 2), plain(12_345, 2), plain(9.9e-15, 2)
    ('100', '0.083', '12000', '0')
    """
    return "0" if abs(value) < SMALLEST_SHOWN else decimal(value, digits)


def decimal(value: float, digits: int = 6) -> str:
    """A number as messages name it: with so many significant digits, however small, and no exponent.

    >>> decimal(0.00001), decimal(12_800_000), decimal(0.25)
    ('0.00001', '12800000', '0.25')
    """
    text = f"{value:.{digits}g}"
    return f"{Decimal(text):f}" if "e" in text else text


def number(value: float) -> str:
    """A parameter or a score with three significant digits; large ones as counts (`61.2M`).

    >>> number(-0.12345), number(4_250), number(61_234_567), number(9.9e-15)
    ('-0.123', '4.25k', '61.2M', '0')
    """
    rounded = float(f"{value:.3g}")
    if not 1000 <= abs(rounded) < math.inf:
        return "0" if abs(rounded) < SMALLEST_NUMBER else decimal(rounded, 3)
    return f"{'-' if rounded < 0 else ''}{format_count(abs(rounded))}"


def about(count: float) -> str:
    """An estimated count with two significant digits.

    >>> about(61_234_567)
    '61M'
    """
    return format_count(float(f"{count:.2g}"))


def passes_text(passes: float) -> str:
    """Passes over a pool with two significant digits.

    >>> passes_text(4.06), passes_text(0.25), passes_text(99.9)
    ('4.1', '0.25', '100')
    """
    return plain(passes, 2)


def percent(share: float, decimals: int | None = None) -> str:
    """A share in per cent, with so many decimals or else with two significant digits.

    >>> percent(0.0312), percent(0.0312, 0), percent(0.9984, 1), percent(1)
    ('3.1%', '3%', '99.8%', '100%')
    """
    return f"{plain(100 * share, 2) if decimals is None else f'{100 * share:.{decimals}f}'}%"


def chance_text(chance: float) -> str:
    """A probability in per cent; the certain ends are not claimed.

    >>> chance_text(0.626), chance_text(1), chance_text(0.004)
    ('63%', '>99%', '<1%')
    """
    if chance > 0.99:
        return ">99%"
    return "<1%" if chance < 0.01 else percent(chance, 0)


def error_text(error: float, loss: bool, *, decimals: int = 1) -> str:
    """An error in per cent with one decimal, a loss with four significant digits; more where asked for.

    >>> error_text(0.61234, loss=False), error_text(2.13456, loss=True)
    ('61.2%', '2.135')
    """
    return plain(error, 3 + decimals) if loss else percent(error, decimals)


def gap_text(difference: float, loss: bool, *, unit: bool = True) -> str:
    """A difference of two errors, `0.35 points`, or of two losses, `0.012`.

    >>> gap_text(0.00348, loss=False), gap_text(0.0123, loss=True), gap_text(9.9e-17, loss=False)
    ('0.35 points', '0.012', '0 points')
    """
    if loss:
        return plain(difference, 2)
    return f"{plain(100 * difference, 2)}{' points' if unit else ''}"


def duration(seconds: float) -> str:
    """A time in its largest two units; less than a minute and a half with two significant digits.

    >>> duration(4.25), duration(42), duration(754), duration(93_000)
    ('4.2 s', '42 s', '13 min', '25 h 50 min')
    """
    if seconds < 90:
        return f"{plain(seconds, 2)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def rate(pairs: float, seconds: float) -> str:
    """How many pairs a second.

    >>> rate(12_000, 2.5)
    '4,800 pairs/s'
    """
    return f"{pairs / max(seconds, 1e-9):,.0f} pairs/s"


def size(num_bytes: float) -> str:
    """Bytes in decimal units.

    >>> size(0), size(1_234_567), size(5e12)
    ('0 B', '1.2 MB', '5 TB')
    """
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= factor:
            few = num_bytes < 100 * factor
            return f"{plain(num_bytes / factor, 2) if few else f'{num_bytes / factor:.0f}'} {unit}"
    return f"{num_bytes:.0f} B"


def html_of(blocks: Iterable[Block]) -> str:
    """One `div` with the blocks in order; every text of the result is escaped.

    >>> html_of([sentences("a < b")])
    '<div><p>a &lt; b</p></div>'
    """
    parts = (
        _table(block)
        if isinstance(block, Table)
        else f"<p>{'<br>'.join(escape(line) for line in block.lines)}</p>"
        for block in filled(blocks)
    )
    return f"<div>{''.join(parts)}</div>"


def _table(block: Table) -> str:
    rows = "".join(_row("td", row) for row in block.rows)
    return f"<table><thead>{_row('th', block.header)}</thead><tbody>{rows}</tbody></table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    sides = ["left", *["right"] * (len(cells) - 1)]
    made = (
        f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
        for side, cell in zip(sides, cells, strict=False)
    )
    return f"<tr>{''.join(made)}</tr>"


def to_polars(columns: Columns) -> Any:
    """The table as a `polars.DataFrame`.

    Raises:
        MissingExtra: where polars is not installed.
    """
    return _module("polars").DataFrame(columns, strict=False)


def to_pandas(columns: Columns) -> Any:
    """The table as a `pandas.DataFrame`.

    Raises:
        MissingExtra: where pandas is not installed.
    """
    return _module("pandas").DataFrame(columns)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtra(EXTRA, f"a table of {name}") from None


def named_table(tables: Mapping[str, Callable[[Result], Columns]], name: str) -> Callable[[Result], Columns]:
    """The table of that name.

    Raises:
        InputError: naming those that there are.
    """
    if name not in tables:
        raise InputError(f"there is no table {name!r}; choose one of {', '.join(tables)}")
    return tables[name]


def columns_of_rows(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    """Rows under a header as columns."""
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def columns_of_records(names: Sequence[str], records: Iterable[object]) -> Columns:
    """The attributes `names` of the records as columns."""
    return columns_of_rows(names, [[getattr(record, name) for name in names] for record in records])
