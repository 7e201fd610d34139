"""Errors shown as one sentence on stderr with an exit code, without a traceback.

Also makes a manual page of a command's docstring.
"""

import errno
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

import typer

from thresher.errors import InputError, MissingExtra, printable

UNDONE = 1
UNUSABLE = 2
INTERRUPTED = 130

OPTIONAL_MODULES = ("torch", "open_clip", "open_clip_train", "timm")

REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path, a part of it is a file",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "name another path",
    errno.EACCES: "change its permissions, or name another path",
    errno.EPERM: "change its permissions, or name another path",
    errno.EROFS: "name a path that can be written to",
    errno.ENOSPC: "free some space and run the same command again, it goes on where it stopped",
    errno.EDQUOT: "free some space and run the same command again, it goes on where it stopped",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
"""What to do about an error of the system, by its number."""

Arguments = ParamSpec("Arguments")


def guarded(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """The command, ending with a sentence and an exit code where what it was given cannot be used.

    Our own mistakes (every other exception) still show their traceback.
    """

    @functools.wraps(command)
    def call(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        try:
            command(*args, **options)
        except InputError as error:
            _leave(str(error), UNUSABLE)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in OPTIONAL_MODULES:
                raise
            _leave(str(MissingExtra("train", f"thresher {command.__name__}")), UNUSABLE)
        except OSError as error:
            sentence = _os_sentence(error)
            if sentence is None:
                raise
            _leave(sentence, UNUSABLE)
        except ValueError as error:
            # pyarrow is asked for by name, since it may not be loaded
            if not (type(error).__module__.startswith("pyarrow") and "Parquet" in str(error)):
                raise
            _leave(f"a Parquet table is damaged ({error}); run the stage that wrote it again", UNUSABLE)
        except KeyboardInterrupt:
            _leave("stopped; the same command goes on where this one was", INTERRUPTED)

    return call


def _leave(sentence: str, code: int) -> None:
    sys.stderr.write(f"thresher: {printable(' '.join(sentence.split()))}\n")
    raise typer.Exit(code)


def _os_sentence(error: OSError) -> str | None:
    """The error with its path and a remedy; None where it is not about a path or the disk."""
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    path = f"{error.filename}: " if error.filename is not None else ""
    reason = (error.strerror or "cannot be used").partition(". Detail:")[0]  # pyarrow says it twice
    return f"{path}{reason[:1].lower()}{reason[1:]}; {remedy}"


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
