"""What commands print: results on stdout, remarks on stderr."""

import json
import sys
from collections.abc import Iterable

import typer


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


def percent(error: float, *, loss: bool) -> str:
    """An error as people read it: per cent with one digit, a loss with four significant digits."""
    return f"{error:.4g}" if loss else f"{100 * error:.1f}%"
