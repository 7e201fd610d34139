"""The language of captions: as the pairs say it, or identified."""

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence

from thresher.errors import InputError, MissingExtra
from thresher.sharded.scorer import LANGUAGE_FIELDS, Row

SOURCES = ("auto", "given")
_IDENTIFIER = "py3langid"


def english(source: str = "auto") -> tuple[Callable[[Sequence[Row]], list[bool]], str]:
    """A function that says of rows whether their captions are English, and what its answers depend on.

    Args:
        source: `auto` takes the language that a pair states and identifies the others; `given` refuses a
            pair that states none.

    Raises:
        InputError: the source is none of the two.
        MissingExtra: `auto` without the identifier.
    """
    if source not in SOURCES:
        raise InputError(f"language={source!r} is unknown; use one of {', '.join(SOURCES)}")
    identify = open_identifier() if source == "auto" else None
    made_by = f"{_IDENTIFIER}-{importlib.metadata.version(_IDENTIFIER)}" if identify else "given"

    def are_english(rows: Sequence[Row]) -> list[bool]:
        return [
            is_english(_stated(row) if identify is None else row.language or identify(row.caption))
            for row in rows
        ]

    return are_english, made_by


def open_identifier() -> Callable[[str], str]:
    """A function from a text to the ISO 639-1 code of its language; the model comes with its package.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        classify = importlib.import_module(_IDENTIFIER).classify
    except ModuleNotFoundError as error:
        if error.name != _IDENTIFIER:
            raise
        raise MissingExtra("text", "telling the language of captions that do not state it") from error
    return lambda text: str(classify(text.replace("\n", " "))[0])


def is_english(code: str | None) -> bool:
    """Whether a language code means English; case and region do not matter.

    >>> is_english("en"), is_english("en-GB"), is_english("de"), is_english(None)
    (True, True, False, False)
    """
    if code is None:
        return False
    return code.strip().casefold().replace("_", "-").partition("-")[0] == "en"


def _stated(row: Row) -> str:
    if row.language is None:
        raise InputError(
            f"pair {row.uid} of {row.shard} states no language (fields {', '.join(LANGUAGE_FIELDS)}); "
            "give language=auto, which identifies it"
        )
    return row.language
