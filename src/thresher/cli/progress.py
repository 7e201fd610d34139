"""Progress on stderr: a bar on a terminal, otherwise a line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from thresher.cli.text import remark
from thresher.tables import duration

SECONDS_BETWEEN_LINES = 30.0

Step = Callable[[int, int, str], None]
"""Called with (done, of how many, a remark)."""


@contextmanager
def bar(label: str) -> Iterator[Step]:
    """A function that shows progress; without a terminal it writes at most a line every half minute."""
    if not is_first_rank():
        yield _nothing
    elif sys.stderr.isatty():
        with _live(label, counted=True) as step:
            yield step
    else:
        yield _lines(label)


def is_first_rank() -> bool:
    """Whether this is the process that talks, of those that torchrun starts."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def sentences(label: str) -> Iterator[Callable[[str], None]]:
    """A function that writes a line; on a terminal the time goes by below the lines."""
    if not is_first_rank():
        yield _nothing
    elif sys.stderr.isatty():
        with _live(label, counted=False):
            yield remark
    else:
        yield remark


class _Clock:
    """Says how much longer a count takes, once a part of it is done."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._first = 0

    def left(self, done: int, total: int) -> str:
        """`, about 3 min left`; nothing where nothing can be said."""
        now = time.monotonic()
        if self._started is None or done < self._first:
            self._started, self._first = now, done
        if not self._first < done < total:
            return ""
        seconds = (now - self._started) / (done - self._first) * (total - done)
        return f", about {duration(seconds)} left"


def _nothing(*_: object) -> None:
    """What the other processes of torchrun show."""


def _lines(label: str) -> Step:
    last = time.monotonic()
    clock = _Clock()

    def step(done: int, total: int, note: str) -> None:
        nonlocal last
        now, left = time.monotonic(), clock.left(done, total)
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            remark(f"{label}: {done} of {total}{', ' if note else ''}{note}{left}")

    return step


@contextmanager
def _live(label: str, *, counted: bool) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    count = [MofNCompleteColumn(), TextColumn("{task.fields[note]}")] if counted else []
    # Both streams pass through the bar, so that what is written meanwhile stands above it.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *count,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(label, total=None, note="")
        clock = _Clock()
        yield lambda done, total, note: progress.update(
            task, completed=done, total=total, note=note + clock.left(done, total)
        )
