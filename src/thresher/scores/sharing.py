"""Opening several scorers with what they have in common opened once."""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import TypeVar

Thing = TypeVar("Thing")

_opened: ContextVar[dict[Hashable, object] | None] = ContextVar("opened", default=None)


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """Within it, `shared` gives the same thing for the same key; nothing is kept after it."""
    token = _opened.set({})
    try:
        yield
    finally:
        _opened.reset(token)


def shared(key: Hashable, make: Callable[[], Thing]) -> Thing:
    """What `make` gives, or what it gave for this key before; outside `sharing` always a new one.

    `key` has to name all that `make` depends on, the kind of thing among it.

    >>> with sharing():
    ...     shared("list", list) is shared("list", list)
    True
    """
    opened = _opened.get()
    if opened is None:
        return make()
    if key not in opened:
        opened[key] = make()
    thing: Thing = opened[key]  # type: ignore[assignment]
    return thing
