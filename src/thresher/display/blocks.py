"""What a result says, as blocks: tables and sentences that become text or HTML alike."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from thresher.budget import format_count

COLUMN_GAP = "  "


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
