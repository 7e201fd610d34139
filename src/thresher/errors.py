"""The few errors that the command line shows as one sentence, without a traceback."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """Something the caller gave cannot be used; the text names it and says what to do."""


class MissingExtra(InputError):
    """An optional dependency is absent; the text holds the `pip install` that brings it."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs an optional part: pip install "thresher[{extra}]"')


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Puts the place of what is read before the text of an `InputError` of the block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def printable(text: str) -> str:
    r"""The text with control characters written out: names and cells of others' files may steer a terminal.

    >>> printable("a\x1b[2Jb\tc")
    'a\\x1b[2Jb\\tc'
    """
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def nearest(word: str, known: Sequence[str]) -> str:
    """`did you mean X? known: ...`, for the end of an error's text."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    question = f"did you mean {near[0]!r}? " if near else ""
    return f"{question}known: {', '.join(known)}"
