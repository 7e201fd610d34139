import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from thresher.sharded.shard import prefetched


def test_items_come_in_order_and_whole() -> None:
    assert list(prefetched((number for number in range(100)), depth=3)) == list(range(100))


def test_an_error_is_raised_where_the_items_are_taken() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = prefetched(broken(), depth=2)
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)


def test_leaving_early_stops_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            closed.set()

    threads = threading.active_count()
    with closing(prefetched(endless(), depth=2)) as items:
        next(items)
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

    with closing(prefetched(counted(), depth=2)) as items:
        assert next(items) == 0
        assert full.wait(600)
        assert len(made) == 3  # one that is taken, two ahead
        assert list(items) == list(range(1, 20))
