"""What the workers of the tests run."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def double(task: Any) -> Any:
    return task * 2


def fill(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full(size, 7, dtype=np.uint8)


def die(task: str) -> str:
    """Kills its process when the task says so: always, or only when the named file is not there yet."""
    if task == "always":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.startswith("once:"):
        mark = Path(task.removeprefix("once:"))
        if not mark.exists():
            mark.touch()
            os._exit(3)
    return task


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def fail(task: str) -> str:
    raise LookupError(f"no {task} here")


def shout(task: str) -> str:
    os.write(1, b"what a library prints")
    return task


def modules(names: list[str]) -> list[str]:
    """Those of `names` that are loaded in the worker once it can decode."""
    import thresher.scores.decode  # noqa: F401 - what every decode worker loads

    return [name for name in names if name in sys.modules]
