"""Work in processes of this machine: an ordered map that neither a dying nor a hanging worker can stop.

The workers are started as programs of their own, not by `multiprocessing`: they import the function's module
and nothing else (not the caller's script, not torch), so they start fast, stay small, and work from notebooks
and from scripts without a `__main__` guard.
"""

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from thresher.errors import InputError
from thresher.executor.process import Worker, WorkerDied, WorkerTimedOut
from thresher.executor.worker import call, prepare, result_of

Task = TypeVar("Task")

TRIES = 2
NO_LIMIT_S = 7 * 24 * 3600.0
"""Where a task is a whole shard or a training run: how long one may take nobody can know."""

MOST_DEATHS = 64
"""So many workers dying one after another mean that the machine is the trouble and not the task."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """Stands in place of a result: every worker that was given the task died of it or hung on it."""

    reason: str


class WorkerPool:
    """Processes that apply one function, `package.module:function`, to task after task.

    A worker that dies or gives no answer for `timeout_s` is named in the log, replaced, and its task is tried
    once more. With `workers=0` the function runs in the calling process, without that protection.

    With `settings`, plain data that can be pickled, `function(settings)` is called once in every worker, and
    what it returns is applied to the tasks.
    """

    def __init__(
        self, function: str, *, workers: int, settings: Any = None, timeout_s: float = 300.0
    ) -> None:
        self.deaths: list[str] = []
        self._function = function
        self._settings = settings
        self._inline = prepare(function, settings) if workers == 0 else None
        self._workers = workers
        self._timeout_s = timeout_s
        self._slots: queue.SimpleQueue[tuple[int, Worker | None]] = queue.SimpleQueue()
        for number in range(workers):
            self._slots.put((number, None))
        self._threads = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="worker")
        self._alive: set[Worker] = set()
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start all workers now, in the background; else each starts with its first task."""
        for _ in range(self._workers):
            threading.Thread(target=self._start_ahead, name="worker-start", daemon=True).start()

    def close(self) -> None:
        """Stop the workers at once; tasks under way end as `TaskFailed`."""
        with self._lock:
            self._closed = True
            alive = list(self._alive)
        for worker in alive:
            worker.stop()
        with contextlib.suppress(queue.Empty):
            while True:  # those in use are let go of by the thread that uses them
                _, idle = self._slots.get_nowait()
                if idle is not None:
                    self._forget(idle)
        for number in range(self._workers):
            self._slots.put((number, None))  # whoever comes late finds the pool closed, not an empty queue
        self._threads.shutdown(cancel_futures=True)

    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        with self._lock:
            return sorted(worker.pid for worker in self._alive)

    def map(self, tasks: Iterable[Task], *, ahead: int) -> Iterator[tuple[Task, Any]]:
        """Each task with its result or `TaskFailed`, in the order of `tasks`; at most `ahead` are held.

        Raises:
            InputError: the function raised it, or its settings cannot be used.
            OSError: the function raised it, with a number of the system's.
            RuntimeError: the function raised another error (its traceback is the text), the workers cannot
                start, or they die one after another whatever the task.
        """
        if self._inline is not None:
            for task in tasks:
                yield task, self._result(task)
            return
        held: deque[tuple[Task, Future[Any]]] = deque()
        try:
            for task in tasks:
                held.append((task, self.submit(task)))
                if len(held) >= max(ahead, 1):
                    first, future = held.popleft()
                    yield first, future.result()
            while held:
                first, future = held.popleft()
                yield first, future.result()
        finally:
            for _, future in held:
                future.cancel()

    def submit(self, task: Any) -> "Future[Any]":
        """Give the task to the next free worker; the future has its result or `TaskFailed`.

        The future raises what `map` raises. Without workers the task waits for a thread of this process.
        """
        return self._threads.submit(self._result, task)

    def _result(self, task: Any) -> Any:
        if self._inline is not None:
            return result_of(call(self._inline, task))
        return result_of(self._answer(task))

    def _answer(self, task: Any) -> tuple[str, Any]:
        number, worker = self._slots.get()
        try:
            reason = ""
            for _ in range(TRIES):
                if self._closed:
                    return "done", TaskFailed("the run was stopped")
                try:
                    worker = worker or self._start(number)
                    answer = worker.ask(task, self._timeout_s)
                except WorkerDied as gone:
                    reason = str(gone)
                    dead, worker = worker, None
                    if dead is not None:
                        self._bury(dead, reason)
                else:
                    self._in_a_row = 0
                    return answer
            return "done", TaskFailed(reason)
        finally:
            self._give_back(number, worker)

    def _start_ahead(self) -> None:
        number, worker = self._slots.get()
        try:
            if worker is None and not self._closed:
                # a start that fails here is told by the first task, which tries again
                with contextlib.suppress(RuntimeError, OSError, InputError, WorkerDied):
                    worker = self._start(number)
        finally:
            self._give_back(number, worker)

    def _give_back(self, number: int, worker: Worker | None) -> None:
        """Free a slot; a pool that is closed has no use for its worker."""
        with self._lock:
            closed = self._closed
            self._slots.put((number, None if closed else worker))
        if closed and worker is not None:
            self._forget(worker)

    def _start(self, number: int) -> Worker:
        for _ in range(TRIES):
            try:
                return self._start_once(number)
            except WorkerTimedOut as silent:
                reason = str(silent)
                _log.warning("%s while it started", reason)
        raise RuntimeError(f"a worker process for {self._function} did not start: {reason}")

    def _start_once(self, number: int) -> Worker:
        worker = Worker(self._function, self._settings, number)
        with self._lock:
            self._alive.add(worker)
        try:
            worker.wait_ready()
        except WorkerDied as gone:
            self._forget(worker)
            if self._closed or isinstance(gone, WorkerTimedOut):
                raise
            raise RuntimeError(f"a worker process for {self._function} did not start: {gone}") from gone
        except BaseException:
            self._forget(worker)
            raise
        if self._closed:
            worker.stop()
        return worker

    def _forget(self, worker: Worker) -> None:
        worker.stop()
        worker.release()
        with self._lock:
            self._alive.discard(worker)

    def _bury(self, worker: Worker, reason: str) -> None:
        self._forget(worker)
        with self._lock:
            if self._closed:
                return
            self._in_a_row += 1
            self.deaths.append(reason)
        _log.warning("%s; it is replaced", reason)
        if self._in_a_row > MOST_DEATHS:
            raise RuntimeError(
                f"{self._in_a_row} worker processes died one after another, the last: {reason}; "
                "is there too little memory? use fewer workers"
            )
