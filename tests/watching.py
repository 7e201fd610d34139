"""Which files Python opens and renames, whoever does it; pyarrow reads and writes by ways of its own."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

_watchers: list[Callable[[str, str], None]] = []


def _tell(event: str, arguments: tuple[object, ...]) -> None:
    if _watchers and event in ("open", "os.rename") and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.fsdecode(arguments[0])
        for watcher in _watchers:
            watcher(event, path)


sys.addaudithook(_tell)  # which cannot be taken away again


def before_renaming(call: Callable[[], None]) -> None:
    """From now on, call this whenever a temporary file is about to get its name."""
    _watchers.append(lambda event, path: call() if event == "os.rename" and path.endswith(".tmp") else None)


@contextlib.contextmanager
def watched(event: str) -> Iterator[list[str]]:
    """The paths that are opened (`open`), or the old names of those renamed (`os.rename`), in the block."""
    paths: list[str] = []

    def note(found: str, path: str) -> None:
        if found == event:
            paths.append(path)

    _watchers.append(note)
    try:
        yield paths
    finally:
        _watchers.remove(note)
