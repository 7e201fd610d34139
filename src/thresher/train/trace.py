"""The loss trace of a run: one line every few steps, cut back to the checkpoint when a run resumes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

EVERY = 10
FILE = "trace.jsonl"


def append(folder: Path, step: int, losses_nats: Sequence[float], *, cooldown: int | None) -> None:
    """Add the losses of the steps that end with `step`; `cooldown` is the last step of its branch."""
    line = {"step": step, "cooldown": cooldown, "loss": losses_nats}
    with (folder / FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")


def length(folder: Path, name: str = FILE) -> int:
    """Bytes of the trace, or of another file that grows with a run, so far, safely on disk."""
    path = folder / name
    if not path.exists():
        return 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def truncate(folder: Path, num_bytes: int, name: str = FILE) -> None:
    """Cut the trace, or another file that grows with a run, back to its first `num_bytes` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("ab") as file:
        file.truncate(num_bytes)
