"""The process behind `WorkerPool`: it answers one task after another, from standard input to standard output.

A message is eight bytes with the number of its parts, eight bytes with the length of each part, and the
parts: a pickle (protocol 5), then the buffers that stand outside it, so that arrays travel without being
copied into the pickle. Both ends are the same program, and nothing of it is ever stored.
"""

import importlib
import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

READY = "ready"
"""What a worker says once its function is imported."""

NICENESS = 5
"""Workers give way to the caller, whose model needs every core at once to get on."""


def resolve(name: str) -> Callable[[Any], Any]:
    """The function called `package.module:function`."""
    module, _, function = name.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), function)
    return found


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


def call(function: Callable[[Any], Any], task: Any) -> tuple[bool, Any]:
    """(True, result), or (False, traceback) of an error that the function did not expect."""
    try:
        return True, function(task)
    except Exception:  # noqa: BLE001 - whatever it is, it is raised again in the calling process
        return False, traceback.format_exc()


def main(name: str) -> None:
    """Answer tasks until standard input ends, which it does when the calling process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller decides
    os.nice(NICENESS)
    source, target = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what a library prints must not end up among the answers

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
        write(READY)
        while True:
            write(call(function, decode(read)))
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main(sys.argv[1])
