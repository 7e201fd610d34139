"""Tables: what a result says as tables and sentences, and those as text, HTML, polars or pandas.

HTML is for notebooks: escaped, with tables and lists alone, no script and no style sheet.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any, TypeVar

from thresher.budget import format_count
from thresher.errors import InputError, MissingExtra

COLUMN_GAP = "  "

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
    return "\n\n".join(_text(block) for block in filled(blocks))


def filled(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks that hold something."""
    for block in blocks:
        if block.rows if isinstance(block, Table) else block.lines:
            yield block


def _text(block: Block) -> str:
    return columns(block.header, block.rows) if isinstance(block, Table) else "\n".join(block.lines)


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


def number(value: float) -> str:
    """A parameter with three significant digits; large ones as counts (`61.2M`).

    >>> number(-0.12345), number(61_234_567)
    ('-0.123', '61.2M')
    """
    return format_count(float(f"{value:.3g}")) if value >= 10_000 else f"{value:.3g}"


def about(count: float) -> str:
    """An estimated count with two significant digits.

    >>> about(61_234_567)
    '61M'
    """
    return format_count(float(f"{count:.2g}"))


def html_of(blocks: Iterable[Block]) -> str:
    """One `div` with the blocks in order; every text of the result is escaped.

    >>> from thresher.tables import sentences
    >>> html_of([sentences("a < b")])
    '<div><p>a &lt; b</p></div>'
    """
    parts = (_table(block) if isinstance(block, Table) else _lines(block.lines) for block in filled(blocks))
    return f"<div>{''.join(parts)}</div>"


def _table(block: Table) -> str:
    rows = "".join(_row("td", row) for row in block.rows)
    return f"<table><thead>{_row('th', block.header)}</thead><tbody>{rows}</tbody></table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(_cell(tag, cell, right=place > 0) for place, cell in enumerate(cells))}</tr>"


def _cell(tag: str, cell: str, *, right: bool) -> str:
    return f'<{tag} style="text-align: {"right" if right else "left"}">{escape(cell)}</{tag}>'


def _lines(lines: Sequence[str]) -> str:
    return f"<p>{'<br>'.join(escape(line) for line in lines)}</p>"


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


def _named(tables: Mapping[str, Callable[[Result], Columns]], name: str) -> Callable[[Result], Columns]:
    if name not in tables:
        raise InputError(f"there is no table {name!r}; choose one of {', '.join(tables)}")
    return tables[name]


def _columns(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def _of_records(names: Sequence[str], records: Iterable[object]) -> Columns:
    return _columns(names, [[getattr(record, name) for name in names] for record in records])
