"""The items of an iterator, produced in a thread of their own."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")


class Prefetch(Generic[Item]):
    """The items of an iterator, made by a thread of its own, at most `depth` of them ahead.

    An error in the iterator is raised where the items are taken. Leaving the `with` block stops the thread.
    """

    def __init__(self, items: Callable[[], Iterator[Item]], *, depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=max(depth, 1))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="prefetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        while True:
            kind, value = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value

    def _produce(self) -> None:
        items = self._items()
        try:
            for item in items:
                if not self._put("item", item):
                    break
        except BaseException as error:  # noqa: BLE001 - handed to the thread that takes the items
            self._put("error", error)
        else:
            self._put("end", None)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, kind: str, value: Any) -> bool:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put((kind, value), timeout=0.1)
                return True
        return False
