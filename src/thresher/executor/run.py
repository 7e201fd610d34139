"""A function over tasks, on this machine or on a Ray cluster: the same calls, the same results."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from thresher.errors import InputError
from thresher.executor.local import NO_LIMIT_S, WorkerPool

Apply = Callable[[Iterable[Any]], Iterator[tuple[Any, Any]]]
"""Gives each task with what the workers make of it."""

EXECUTORS = ("local", "ray")


def check_executor(executor: str, address: str | None = None) -> None:
    """Refuse an executor that does not exist, and an address that nobody would use.

    Raises:
        InputError: the text names what there is.
        MissingExtra: Ray is asked for and not installed.
    """
    if executor not in EXECUTORS:
        raise InputError(f"there is no executor {executor!r}; known: {', '.join(EXECUTORS)}")
    if executor == "local" and address is not None:
        raise InputError(f"--ray-address {address} goes with --executor ray; give both or neither")
    if executor == "ray":
        from thresher.executor.cluster import load_ray

        load_ray()


@contextlib.contextmanager
def open_workers(
    function: str,
    *,
    settings: Any = None,
    executor: str = "local",
    address: str | None = None,
    workers: int | None = None,
    deaths: list[str] | None = None,
    ahead: bool = False,
) -> Iterator[Apply]:
    """Workers that end with the block; what it gives returns each task with what `function` makes of it.

    Tasks come back in any order, one that cannot be done with a `TaskFailed` that says why. A worker that
    dies is replaced and its task given to another, a few times; then that gives a `TaskFailed`. Few tasks are
    taken before they can be worked on. Tasks, settings and results are data that can be pickled; on Ray they
    travel between machines, so files are to be named by paths that every node has, or sent as bytes.

    Args:
        function: `package.module:function`, imported in every worker. With `settings`, `function(settings)`
            is called once in every worker, and what it returns is applied to the tasks.
        settings: What every worker needs: plain data.
        executor: One of `EXECUTORS`.
        address: Of the Ray cluster, `host:port` or `auto`; None takes RAY_ADDRESS, or starts a Ray here.
        workers: Processes: None is 2 here and as many as fit on Ray; 0 is the calling process here.
        deaths: Gets a sentence for every worker that died.
        ahead: Whether the workers of this machine start at once, else each with its first task.

    Raises:
        InputError: as the function raised it; or the executor or the cluster cannot be used.
        MissingExtra: Ray is asked for and not installed.
        OSError: as the function raised it (a full disk).
        RuntimeError: another error of the function, with its traceback.
    """
    check_executor(executor, address)
    found = [] if deaths is None else deaths
    if executor == "ray":
        from thresher.executor.ray import RayPool

        with RayPool(function, settings=settings, address=address, workers=workers or None) as pool:
            pool.deaths = found
            yield pool.map
        return
    count = 2 if workers is None else workers
    with WorkerPool(function, workers=count, settings=settings, timeout_s=NO_LIMIT_S) as local:
        local.deaths = found
        if ahead:
            local.start()
        yield partial(local.map, ahead=2 * count)
