"""Threads that take tiles, each of them single-threaded inside.

A tile is then computed alike for any number of threads, and no operation waits at its end for other threads.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import torch

MAX_THREADS = 16
"""More threads than this only wait for Python's interpreter lock."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The threads of one selection; without a pool the calling thread does all."""

    num_threads: int = 1
    pool: ThreadPoolExecutor | None = None

    def spread(self, work: Callable[[int, int], None]) -> None:
        """Call `work(first, step)` in each thread, to do the tiles `first, first + step, ...`."""
        if self.pool is None:
            work(0, 1)
            return

        def share(first: int, step: int) -> None:
            with torch.inference_mode():  # the caller may be in it, and then its tensors ask for it
                work(first, step)

        list(self.pool.map(share, range(self.num_threads), repeat(self.num_threads)))


@contextmanager
def tile_workers(device: torch.device) -> Iterator[Workers]:
    """As many threads as torch uses on the CPU, for the time of the context; one on an accelerator.

    Inside, torch itself runs single-threaded in this thread and in the workers, and without the autocast that
    the caller may be in: it would round the products.
    """
    available = torch.get_num_threads()
    with torch.autocast(device.type, enabled=False):
        if device.type != "cpu" or available == 1:
            yield Workers()
            return
        num_threads = min(available, MAX_THREADS)
        threads = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))
        with torch_threads(1), threads as pool:
            yield Workers(num_threads, pool)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within it torch uses so many threads on the CPU in this thread, and by default in threads to come."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
