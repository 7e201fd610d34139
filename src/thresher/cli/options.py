"""Options that several commands have, and the values that people write into them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from thresher.errors import InputError

Shards = Annotated[
    list[str],
    typer.Argument(metavar="SHARDS", help="Tar files, folders or tables of pairs; patterns in quotes."),
]
Workers = Annotated[
    int, typer.Option(min=0, metavar="PROCESSES", help="Processes that decode images; 0 uses none.")
]
Exclude = Annotated[
    Path | None,
    typer.Option(
        metavar="UIDS",
        help="Pairs never to use (opt-outs, unsafe pairs, evaluation images): their uids as text, one a "
        "line, as .npy (u8,u8) or as a Parquet column uid. Refused beside a config that names a list.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="auto (a GPU where there is one), cpu, cuda or cuda:N."),
]
ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG.toml", help="Settings; `thresher init` writes them to start from.")
]

Value = TypeVar("Value")


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers in `0.1,0.2`.

    Raises:
        InputError: one of them is no number.
    """
    found = []
    for piece in text.split(","):
        try:
            found.append(float(piece))
        except ValueError:
            raise InputError(
                f"{option} {text!r}: {piece!r} is not a number; write them as 0.1,0.2,0.3"
            ) from None
    return tuple(found)


def assignments(texts: Iterable[str], option: str) -> dict[str, float]:
    """The names and values in `d=0.1` and the like.

    Raises:
        InputError: one of them is of another form.
    """
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"{option} {text!r} is not of the form NAME=NUMBER, such as d=0.1") from None
    return found


def given(values: Sequence[Value] | None) -> tuple[Value, ...]:
    """The values of an option that may be repeated."""
    return tuple(values or ())
