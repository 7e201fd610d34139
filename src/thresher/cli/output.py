"""What commands print: results on stdout, remarks on stderr, tables as plain text."""

import json
import sys
from collections.abc import Iterable, Sequence

import typer

COLUMN_GAP = "  "


def show(text: str) -> None:
    """A result for people, on stdout."""
    typer.echo(text)


def show_json(result: object) -> None:
    """A result for programs, on stdout: JSON in ASCII, keys in the order given."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False, default=str))


def remark(text: str) -> None:
    """A line on stderr; above the progress bar where there is one."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def warn(sentences: Iterable[str]) -> None:
    """A warning a sentence, on stderr."""
    for sentence in sentences:
        remark(f"warning: {sentence}")


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


def percent(error: float, *, loss: bool) -> str:
    """An error as people read it: per cent with one digit, a loss with four significant digits."""
    return f"{error:.4g}" if loss else f"{100 * error:.1f}%"


def number(value: float) -> str:
    """A parameter with three significant digits; large ones as counts (`61.2M`).

    >>> number(-0.12345), number(61_234_567)
    ('-0.123', '61.2M')
    """
    from thresher.budget import format_count

    return format_count(float(f"{value:.3g}")) if value >= 10_000 else f"{value:.3g}"
