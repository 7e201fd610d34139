"""A command's docstring as its manual page."""

import inspect
from collections.abc import Callable
from typing import Any


def manual(command: Callable[..., Any]) -> str:
    r"""The docstring as help text: paragraphs are wrapped, those with indented lines stand as they are.

    A line with a backspace character is how click is told to leave a paragraph alone.

    >>> def walk() -> None:
    ...     '''Walk.
    ...
    ...     Examples:
    ...         thresher walk
    ...     '''
    >>> manual(walk)
    'Walk.\n\n\x08\nExamples:\n    thresher walk'
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if "\n " in f"\n{text}" else text for text in paragraphs)
