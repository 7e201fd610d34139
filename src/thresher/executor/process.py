"""One worker process and the pipes to it."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from thresher.executor.worker import NUMBER, READY, WITH_SETTINGS, decode, encode, result_of

PIPE_BYTES = 2**20
START_TIMEOUT_S = 120.0


class WorkerDied(Exception):
    """A worker process ended or was stopped; the text names it and the cause."""


class WorkerTimedOut(WorkerDied):
    """A worker process gave no answer in time and was stopped; the machine may have been suspended."""


class Worker:
    """One worker process and the pipes to it."""

    def __init__(self, function: str, settings: Any = None, number: int = 0) -> None:
        self._settings = settings
        flags = [] if settings is None else [WITH_SETTINGS]
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", NUMBER: str(number)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "thresher.executor.worker", function, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._in, self._out):
            os.set_blocking(pipe, False)
            with contextlib.suppress(AttributeError, OSError):  # only Linux can, and only up to a limit
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def wait_ready(self) -> None:
        """Return once the worker has its function.

        Raises:
            WorkerDied: the process ended, or did not start in time.
            InputError: what the function was made with cannot be used.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        if self._settings is not None:
            self._send(self._settings, deadline)
        answer = decode(lambda size: self._read(size, deadline))
        if answer != READY:
            result_of(answer)

    def ask(self, task: Any, timeout_s: float) -> tuple[str, Any]:
        """The worker's answer to `task`."""
        deadline = time.monotonic() + timeout_s
        self._send(task, deadline)
        answer: tuple[str, Any] = decode(lambda size: self._read(size, deadline))
        return answer

    def stop(self) -> None:
        """End the process; safe to call twice and from another thread."""
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Close the pipes; only for the thread that uses the worker, once it is stopped."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _send(self, value: Any, deadline: float) -> None:
        for part in encode(value):
            self._write(part.cast("B"), deadline)

    def _read(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            self._wait(self._out, select.POLLIN, deadline)
            with contextlib.suppress(BlockingIOError):
                got = os.readv(self._out, [view[filled:]])
                if got == 0:
                    raise self._gone()
                filled += got
        return data

    def _write(self, view: memoryview, deadline: float) -> None:
        while view:
            self._wait(self._in, select.POLLOUT, deadline)
            with contextlib.suppress(BlockingIOError):
                try:
                    view = view[os.write(self._in, view) :]
                except BrokenPipeError:
                    raise self._gone() from None

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            self.stop()
            raise WorkerTimedOut(f"worker process {self.pid} gave no answer in time and was stopped")

    def _gone(self) -> WorkerDied:
        code = self._process.wait()
        if code >= 0:
            return WorkerDied(f"worker process {self.pid} ended with exit code {code}")
        names = {number.value: number.name for number in signal.Signals}
        name = names.get(-code, f"signal {-code}")
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return WorkerDied(f"worker process {self.pid} was killed by {name}{hint}")
