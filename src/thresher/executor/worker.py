"""The process behind `WorkerPool`: it answers one task after another, from standard input to standard output.

A message is eight bytes with the number of its parts, eight bytes with the length of each part, and the
parts: a pickle (protocol 5), then the buffers that stand outside it, so that arrays travel without being
copied into the pickle. Both ends are the same program, and nothing of it is ever stored.

What a function makes of a task travels as (kind, value), so that an error which names its remedy is raised in
the calling process as it was, on this machine and on Ray.
"""

import importlib
import os
import pickle
import select
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from thresher.errors import InputError

READY = "ready"
"""What a worker says once its function is imported."""

WITH_SETTINGS = "with-settings"
"""Argument of a worker whose first message is what its function is made with."""

NUMBER = "THRESHER_WORKER"
"""Environment variable with a worker's number in its pool; the worker that replaces it gets the same."""

NICENESS = 5
"""Workers give way to the caller, whose model needs every core at once to get on."""


def resolve(name: str) -> Callable[[Any], Any]:
    """The function called `package.module:function`."""
    module, _, function = name.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), function)
    return found


def prepare(name: str, settings: Any) -> Callable[[Any], Any]:
    """What a worker applies to its tasks: the function, or what it returns when it is given settings."""
    function = resolve(name)
    if settings is None:
        return function
    made: Callable[[Any], Any] = function(settings)
    return made


def encode(value: object) -> list[memoryview]:
    """The parts of a message, the head first."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    head = struct.pack(f"<{len(parts) + 1}q", len(parts), *(part.nbytes for part in parts))
    return [memoryview(head), *parts]


def decode(read: Callable[[int], bytearray]) -> Any:
    """The value of the next message; `read` returns exactly so many bytes or raises EOFError."""
    (count,) = struct.unpack("<q", read(8))
    lengths: Sequence[int] = struct.unpack(f"<{count}q", read(8 * count))
    body, *buffers = [read(length) for length in lengths]
    return pickle.loads(body, buffers=buffers)


def call(function: Callable[..., Any], *given: Any) -> tuple[str, Any]:
    """("done", what came back), or how the function failed; `result_of` makes the error of it again."""
    try:
        return "done", function(*given)
    except InputError as error:
        return "refused", str(error)
    except OSError as error:
        if error.errno is None:
            return "system", (str(error),)
        return "system", (error.errno, error.strerror, error.filename)
    except Exception:  # noqa: BLE001 - whatever it is, it is raised again in the calling process
        return "failed", traceback.format_exc()


def result_of(answer: tuple[str, Any]) -> Any:
    """What the function returned.

    Raises:
        InputError: as the function raised it.
        OSError: as the function raised it, with the number that the system gave (a full disk).
        RuntimeError: the function raised anything else; the text is its traceback.
    """
    kind, value = answer
    if kind == "done":
        return value
    if kind == "refused":
        raise InputError(value)
    if kind == "system":
        raise OSError(*value)
    raise RuntimeError(f"the worker's function failed:\n{value}")


def worker_number() -> int:
    """The number of this worker in its pool, 0 for the first and for a process that is no worker."""
    return int(os.environ.get(NUMBER, "0"))


def _end_with_caller(source: int) -> None:
    """End this process as soon as its caller is gone, even by kill -9, in the middle of a task too.

    Otherwise it would go on, and write where the next run of the caller writes.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(source, 0)  # a pipe without a writer is told without being asked for
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, name="end with caller", daemon=True).start()


def main(name: str, *, with_settings: bool = False) -> None:
    """Answer tasks until standard input ends, which it does when the calling process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller decides
    os.nice(NICENESS)
    source, target = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    _end_with_caller(source)

    def read(size: int) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            got = os.readv(source, [view[filled:]])
            if got == 0:
                raise EOFError
            filled += got
        return data

    def write(value: object) -> None:
        for part in encode(value):
            view = part.cast("B")
            while view:
                view = view[os.write(target, view) :]

    try:
        function = resolve(name)
        if with_settings:
            kind, made = call(function, decode(read))
            if kind != "done":
                write((kind, made))
                return
            function = made
        write(READY)
        while True:
            write(call(function, decode(read)))
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main(sys.argv[1], with_settings=WITH_SETTINGS in sys.argv[2:])
