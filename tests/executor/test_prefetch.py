import threading
from collections.abc import Iterator

import pytest

from thresher.executor.prefetch import Prefetch


def test_items_come_in_order_and_whole() -> None:
    with Prefetch(lambda: iter(range(100)), depth=3) as items:
        assert list(items) == list(range(100))


def test_an_error_is_raised_where_the_items_are_taken() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with Prefetch(broken, depth=2) as items:
        iterator = iter(items)
        assert next(iterator) == 1
        with pytest.raises(OSError, match="the disk is gone"):
            next(iterator)


def test_leaving_early_stops_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            closed.set()

    threads = threading.active_count()
    with Prefetch(endless, depth=2) as items:
        next(iter(items))
    assert closed.is_set()
    assert threading.active_count() <= threads  # one of another test may have ended meanwhile


def test_it_runs_ahead_no_further_than_its_depth() -> None:
    made = []
    full = threading.Event()

    def counted() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            if number == 2:
                full.set()
            yield number

    with Prefetch(counted, depth=2) as items:
        assert full.wait(600)
        assert len(made) == 3  # two in the queue, one in hand
        assert list(items) == list(range(20))
