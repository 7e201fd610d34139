"""What the workers of the tests run."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thresher.errors import InputError

made: list[Any] = []


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
    import thresher.sharded.decode  # noqa: F401 - what every decode worker loads

    return [name for name in names if name in sys.modules]


def adder(settings: dict[str, int]) -> Callable[[int], tuple[int, tuple[int, int]]]:
    """Adds what the settings say; says which process it is and how often it was made there."""
    made.append(settings)
    return lambda task: (task + settings["plus"], (os.getpid(), len(made)))


def refuse(text: str) -> None:
    raise InputError(f"{text}; give others")


def refusing(settings: str) -> Callable[[Any], Any]:
    refuse(settings)
    return double


def fill_the_disk(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def meet(folder: str) -> str:
    """The node of a Ray cluster that this worker runs on, once a worker on another node has come, too."""
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    (Path(folder) / node).touch()
    deadline = time.monotonic() + 600
    while len(list(Path(folder).iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return node
