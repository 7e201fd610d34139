"""Which rows make up each batch, as a function of the seed and the number of batches drawn.

Every epoch is a permutation of the rows, each repeated as often as it should be; no row stands twice in
one batch, since a repeated pair would be its own false negative.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.files.record_file import from_record
from thresher.errors import InputError

Rows = npt.NDArray[np.int64]


@dataclass(slots=True)
class Stream:
    """An endless sequence of batches over `rows`; its state is a few numbers and goes into checkpoints.

    Attributes:
        rows: row numbers to draw from, unique.
        repeats: how often each row stands in one epoch.
        batch_size: rows a batch, over all ranks; the largest, where sizes differ.
        seed: permutations are keyed by (seed, epoch).
        epoch: the epoch being read.
        position: how much of its permutation has been read.
        held: places in `rows` that were put off because their row was already in the batch.
    """

    rows: Rows
    repeats: Rows
    batch_size: int
    seed: int
    epoch: int = 0
    position: int = 0
    held: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _order: Rows | None = None

    def __post_init__(self) -> None:
        if len(self.rows) < self.batch_size:
            raise InputError(
                f"{len(self.rows)} unique pairs cannot fill a batch of {self.batch_size} without repeating "
                f"one; lower batch_size to {len(self.rows)} or give more pairs"
            )
        # At most one of a row's draws fits into each of the sum / batch_size batches of an epoch.
        most, total = int(self.repeats.max()), int(self.repeats.sum())
        if most * self.batch_size > total:
            raise InputError(
                f"a pair that is drawn {most} times in {total} draws stands more than once in a batch of "
                f"{self.batch_size}; lower batch_size to {total // most}, or the weight of its pool"
            )

    def __next__(self) -> Rows:
        """The next batch, [batch_size] row numbers without repeats."""
        return self.draw(self.batch_size)

    def draw(self, count: int) -> Rows:
        """The next `count` (at most `batch_size`) row numbers, without repeats."""
        chosen = np.empty(0, dtype=np.int64)
        waiting = self.held
        while len(chosen) < count:
            candidates = np.concatenate([chosen, waiting])
            _, first = np.unique(candidates, return_index=True)
            is_first = np.zeros(len(candidates), dtype=bool)
            is_first[first] = True
            is_first[np.flatnonzero(is_first)[count:]] = False
            chosen, self.held = candidates[is_first], candidates[~is_first]
            if len(chosen) < count:
                waiting = np.concatenate([self.held, self._read(count - len(chosen))])
        return self.rows[chosen]

    def _read(self, count: int) -> Rows:
        if self._order is None:
            places = np.repeat(np.arange(len(self.repeats)), self.repeats)
            self._order = np.random.default_rng([self.seed, self.epoch]).permutation(places)
        part = self._order[self.position : self.position + count]
        self.position += len(part)
        if self.position == len(self._order):
            self.epoch, self.position, self._order = self.epoch + 1, 0, None
        return part

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {"epoch": self.epoch, "position": self.position, "held": self.held.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken."""
        self.epoch, self.position = (
            from_record(int, state[name], place=name) for name in ("epoch", "position")
        )
        self.held = np.asarray(from_record(tuple[int, ...], state["held"], place="held"), dtype=np.int64)
        self._order = None
