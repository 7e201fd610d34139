"""How far a command is, on stderr: a bar on a terminal, else a line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from thresher.cli.output import remark

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


def _nothing(*_: object) -> None:
    """What the other processes of torchrun show."""


def _lines(label: str) -> Step:
    last = time.monotonic()

    def step(done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            remark(f"{label}: {done} of {total}{', ' if note else ''}{note}")

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
        yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)
