"""Work on a Ray cluster: actors that apply one function to task after task, wherever there is room for them.

Tasks and results travel through Ray, so nothing here needs a file system that all nodes share. An actor has
one task at a time; so at most as many results as there are actors wait for the caller, and a worker that dies
takes one task with it, which another worker is given.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from thresher.errors import InputError
from thresher.executor.cluster import Connection, connect, load_ray
from thresher.executor.local import TaskFailed
from thresher.executor.worker import call, prepare, result_of

Task = TypeVar("Task")

TRIES = 3
MOST_DEATHS = 64
"""So many workers dying one after another mean that the cluster is the trouble and not the task."""

MOST_FAILED_STARTS = 3
PATIENCE_S = 60.0
SECONDS_BETWEEN_LOOKS = 10.0
"""How often the cluster is asked how many workers it has room for; nodes come and go."""

_log = logging.getLogger(__name__)


class _Remote:
    """What runs in a worker process of Ray."""

    def __init__(self, function: str) -> None:
        self._name = function
        self._function: Any = None

    def open(self, settings: Any) -> tuple[str, Any]:
        """Make the function ready; where this worker is."""
        kind, made = call(prepare, self._name, settings)
        if kind != "done":
            return kind, made
        self._function = made
        return "done", (os.getpid(), os.uname().nodename)

    def answer(self, task: Any) -> tuple[str, Any]:
        """What the function makes of a task."""
        return call(self._function, task)


@dataclass(slots=True, eq=False)
class _Actor:
    """A worker, and where it runs once it has said so."""

    handle: Any
    pid: int = 0
    node: str = ""


@dataclass(slots=True, eq=False)
class _Attempt:
    """A task and how many workers died of it."""

    task: Any
    deaths: int = 0


class RayPool:
    """Workers on a Ray cluster that apply one function, `package.module:function`, to task after task.

    A worker that dies is named in the log and replaced; its task goes to others, `TRIES` times in all. Nodes
    that join the cluster are used, as many workers as fit on it or `workers` of them.

    Args:
        function: What the workers run; with `settings`, `function(settings)` is called once in every worker,
            and what it returns is applied to the tasks.
        settings: Plain data that can be pickled.
        address: `host:port` of a cluster's head or `auto`; None takes RAY_ADDRESS, or starts a Ray on this
            machine that ends with the pool.
        workers: The most workers; None for as many as fit.
        cpus: Cores that a worker asks for, at most those of the largest node.
        gpu: Whether a worker asks for a GPU, where the cluster has any.
    """

    def __init__(
        self,
        function: str,
        *,
        settings: Any = None,
        address: str | None = None,
        workers: int | None = None,
        cpus: int = 1,
        gpu: bool = False,
    ) -> None:
        self.deaths: list[str] = []
        self._function = function
        self._settings = settings
        self._address = address
        self._workers = workers
        self._wanted = (cpus, gpu)
        self._each = (cpus, gpu)
        self._actors: list[_Actor] = []
        self._idle: list[_Actor] = []
        self._busy: dict[Any, tuple[_Actor, _Attempt | None]] = {}
        self._in_a_row = 0
        self._failed_starts = 0
        self._looked = float("-inf")
        self._room = 0
        self._first_start = float("inf")
        self._said = False

    def __enter__(self) -> Self:
        self._ray = load_ray()
        self._connection: Connection = connect(self._address)
        self._shared = None if self._settings is None else self._ray.put(self._settings)
        self._class = self._ray.remote(_Remote)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers at once, and the Ray that was started for them."""
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._actors, self._idle, self._busy = [], [], {}
        self._connection.close()

    def map(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Each task with its result or `TaskFailed`, as they get done; at most one a worker is taken.

        Raises:
            InputError: the function raised it, its settings cannot be used, or the cluster has no room.
            OSError: the function raised it, with a number of the system's.
            RuntimeError: the function raised another error (its traceback is the text), or workers die one
                after another whatever the task.
        """
        waiting: deque[_Attempt] = deque()
        source = iter(tasks)
        more = True
        while True:
            limit = self._limit()
            # an idle worker gets a task even when one on a lost node, not yet known to be dead, holds another
            while more and (len(waiting) + self._under_way() < limit or len(waiting) < len(self._idle)):
                try:
                    waiting.append(_Attempt(next(source)))
                except StopIteration:
                    more = False
            wanted = min(limit, len(waiting) + self._under_way())
            while len(self._actors) < wanted:
                self._start()
            while waiting and self._idle:
                idle, due = self._idle.pop(), waiting.popleft()
                self._busy[idle.handle.answer.remote(due.task)] = idle, due
            if not waiting and not self._under_way():
                return
            for actor, attempt, answer in self._ready():
                if attempt is None:
                    self._opened(actor, answer)
                elif answer is not None:
                    self._idle.append(actor)
                    self._in_a_row = 0
                    yield attempt.task, result_of(_at_node(answer, actor.node))
                elif attempt.deaths < TRIES:
                    waiting.appendleft(attempt)
                else:
                    yield attempt.task, TaskFailed(f"{attempt.deaths} workers died of it")

    def _under_way(self) -> int:
        return sum(attempt is not None for _, attempt in self._busy.values())

    def _limit(self) -> int:
        """How many workers there may be now."""
        now = time.monotonic()
        if now - self._looked >= SECONDS_BETWEEN_LOOKS or not self._room:
            cpus, gpu = self._wanted
            each_cpus, each_gpu, self._room = self._connection.room(cpus, gpu=gpu)
            self._each = (each_cpus, each_gpu)
            self._looked = now
        return self._room if self._workers is None else min(self._room, max(self._workers, 1))

    def _start(self) -> None:
        cpus, gpu = self._each
        options = {"num_cpus": cpus, "num_gpus": int(gpu), "scheduling_strategy": "SPREAD"}
        self._first_start = min(self._first_start, time.monotonic())
        actor = _Actor(self._class.options(**options).remote(self._function))
        self._actors.append(actor)
        self._busy[actor.handle.open.remote(self._shared)] = actor, None

    def _ready(self) -> list[tuple[_Actor, _Attempt | None, Any]]:
        """The next worker that is done, its task (None: it was opening) and its answer (None: it is dead)."""
        done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)
        if not done:
            self._say_that_nobody_starts()
            return []
        actor, attempt = self._busy.pop(done[0])
        try:
            return [(actor, attempt, self._ray.get(done[0]))]
        except self._ray.exceptions.RayTaskError as error:
            raise RuntimeError(f"a worker's result cannot be sent: {error}") from error
        except self._ray.exceptions.RayError as error:
            self._bury(actor, error, attempt)
            return [(actor, attempt, None)]

    def _say_that_nobody_starts(self) -> None:
        waited = time.monotonic() - self._first_start
        if waited > PATIENCE_S and not self._said and not any(actor.pid for actor in self._actors):
            self._said = True
            _log.warning("no worker on Ray is ready after %.0f s; has the cluster room for one?", waited)

    def _opened(self, actor: _Actor, answer: tuple[str, Any] | None) -> None:
        if answer is not None:
            if answer[0] == "failed":
                raise RuntimeError(f"a worker for {self._function} did not start:\n{answer[1]}")
            actor.pid, actor.node = result_of(answer)
            self._failed_starts = 0
            self._idle.append(actor)
            return
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise InputError(
                f"no worker for {self._function} starts on Ray: {self.deaths[-1]}; is thresher installed on "
                "every node, and is there memory enough?"
            )

    def _bury(self, actor: _Actor, error: Exception, attempt: _Attempt | None) -> None:
        self._actors.remove(actor)
        self._ray.kill(actor.handle)
        hint = " (out of memory)" if isinstance(error, self._ray.exceptions.OutOfMemoryError) else ""
        reason = f"worker process {actor.pid} on {actor.node} is gone ({type(error).__name__}){hint}"
        if not actor.pid:
            said = str(error).strip().splitlines() or [""]
            reason = f"a worker that was starting is gone ({type(error).__name__}: {said[-1][:200]})"
        self.deaths.append(reason)
        _log.warning("%s; it is replaced", reason)
        self._in_a_row += 1
        if self._in_a_row > MOST_DEATHS:
            raise RuntimeError(f"{self._in_a_row} workers died one after another, the last: {reason}")
        if attempt is not None:
            attempt.deaths += 1


def _at_node(answer: tuple[str, Any], node: str) -> tuple[str, Any]:
    """The answer; an error of the system about a file says on which node the file is."""
    kind, value = answer
    if kind != "system" or value[2] is None:
        return answer
    number, reason, path = value
    return kind, (number, reason, f"{path} on {node}")
