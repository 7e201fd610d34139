"""The rows of a score table while it is cut: score and fate of each, on disk, in input order.

What a row is depends on rows far from it (a uid that stood before), so rows are told twice: first by uid,
bucket by bucket, then in order. Some 40 bytes a row lie on disk meanwhile; what is in memory does not grow
with the rows.

A pair exists if its uid was found in the shards, whatever a metadata table lists.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from thresher.curate.pools.keys import Keys
from thresher.data.files.spill import Spill, bucket_bits
from thresher.data.shard_index import index_shards
from thresher.data.uids import UidRows, uid_words
from thresher.errors import InputError
from thresher.sharded.parts import shard_state

IN, EXCLUDED, DUPLICATE, NO_SCORE, ABSENT, CONDITION = range(6)
"""Fates: may get into a pool, or why not. `CONDITION` + i: the i-th condition does not hold."""

CHUNK_ROWS = 2**18

_ROW = np.dtype([("key", "<u4"), ("fate", "u1")])
_PLACED = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<i8")])
_CHANGE = np.dtype([("row", "<i8"), ("first", "<i8")])
_SPREAD = np.uint64(0x9E3779B97F4A7C15)

Words = npt.NDArray[np.uint64]
Table = npt.NDArray[Any]


class RowStore:
    """Key (see `keys_of`) and fate of every row, at most `num_rows` of them; `settle` ends the adding."""

    def __init__(self, folder: str | os.PathLike[str], num_rows: int) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._bits = bucket_bits(num_rows)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the end of the block closes it
        self._placed = Spill(folder, _PLACED, 2**self._bits)
        self._changes = Spill(folder, _CHANGE, max(1, -(-num_rows // CHUNK_ROWS)))
        self._num_rows = 0
        self._last: tuple[int, Table] = (-1, np.empty(0, _CHANGE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._placed.close()
        self._changes.close()

    def __len__(self) -> int:
        return self._num_rows

    def add(self, words: Words, keys: Keys, fates: npt.NDArray[np.uint8]) -> None:
        """Append rows with their uids (uint64 [n, 2])."""
        rows = np.empty(len(keys), _ROW)
        rows["key"], rows["fate"] = keys, fates
        self._file.write(rows.data)
        inside = np.flatnonzero(fates == IN)
        placed = np.empty(len(inside), _PLACED)
        placed["high"], placed["low"] = words[inside, 0], words[inside, 1]
        placed["row"] = inside + self._num_rows
        self._placed.add(self._bucket_of(words[inside]), placed)
        self._num_rows += len(keys)

    def settle(self, available: Iterable[Words] | None = None) -> npt.NDArray[np.int64]:
        """Make rows `ABSENT` whose uid is not `available`, and later ones of a uid `DUPLICATE`.

        Only rows with the fate `IN` change. What comes back: the number of rows by fate.
        """
        self._file.flush()
        if available is None:
            for number in range(self._placed.num_buckets):
                self._change_repeats(self._placed.bucket(number))
        else:
            with Spill(self._folder, "<u8,<u8", self._placed.num_buckets) as there:
                for words in available:
                    there.add(self._bucket_of(words), np.ascontiguousarray(words).view("<u8,<u8").reshape(-1))
                for number in range(self._placed.num_buckets):
                    self._change_repeats(
                        self._without_absent(self._placed.bucket(number), there.bucket(number))
                    )
        self._placed.close()
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, self._num_rows, CHUNK_ROWS):
            rows = self.rows(start, CHUNK_ROWS)
            changes = self._changes.bucket(start // CHUNK_ROWS)
            if len(changes):
                rows["fate"][changes["row"] - start] = np.where(changes["first"] < 0, ABSENT, DUPLICATE)
                os.pwrite(self._file.fileno(), rows.data, start * _ROW.itemsize)
            counts += np.bincount(rows["fate"], minlength=256)
        return counts

    def rows(self, start: int, count: int) -> Table:
        """Some rows in order: structured, `key` and `fate`."""
        size = min(count, self._num_rows - start) * _ROW.itemsize
        return np.frombuffer(bytearray(os.pread(self._file.fileno(), size, start * _ROW.itemsize)), _ROW)

    def keys(self) -> Iterator[Keys]:
        """The keys of the rows that may get into a pool, some at a time."""
        for start in range(0, self._num_rows, CHUNK_ROWS):
            rows = self.rows(start, CHUNK_ROWS)
            yield rows["key"][rows["fate"] == IN]

    def first_of(self, row: int) -> int:
        """The row in which the uid of a repeated row stood first."""
        chunk = row // CHUNK_ROWS
        if self._last[0] != chunk:
            changes = self._changes.bucket(chunk)
            self._last = (chunk, changes[np.argsort(changes["row"])])
        changes = self._last[1]
        return int(changes["first"][np.searchsorted(changes["row"], row)])

    def _bucket_of(self, words: Words) -> npt.NDArray[np.uint64]:
        """Spread evenly even where uids are counted up."""
        mixed = (words[:, 0] ^ (words[:, 1] * _SPREAD)) * _SPREAD
        return mixed >> np.uint64(64 - self._bits) if self._bits else np.zeros(len(words), dtype=np.uint64)

    def _change(self, rows: npt.NDArray[np.int64], first: npt.NDArray[np.int64] | int) -> None:
        changes = np.empty(len(rows), _CHANGE)
        changes["row"], changes["first"] = rows, first
        self._changes.add(rows // CHUNK_ROWS, changes)

    def _change_repeats(self, placed: Table) -> None:
        later, first = repeats(placed["high"], placed["low"])
        self._change(placed["row"][later], placed["row"][first])

    def _without_absent(self, placed: Table, there: Table) -> Table:
        """The rows whose uid is there; the others change their fate."""
        known = there.astype([("f0", ">u8"), ("f1", ">u8")]).view("S16")
        uids = np.stack([placed["high"], placed["low"]], axis=1).astype(">u8").view("S16").reshape(-1)
        found = UidRows(known).find(uids) >= 0
        self._change(placed["row"][~found], -1)
        return placed[found]


def repeats(
    high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of uids that stood before, and for each the place where it stood first.

    >>> places, first = repeats(np.array([5, 7, 5, 5], np.uint64), np.zeros(4, np.uint64))
    >>> sorted(zip(places.tolist(), first.tolist()))
    [(2, 0), (3, 0)]
    """
    ordered = np.sort(high)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):  # nearly always: half of a uid tells it from all others
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(twice, high), len(twice) - 1)
    candidates = np.flatnonzero(twice[at] == high)
    order = candidates[np.lexsort((low[candidates], high[candidates]))]  # stable: the first stays first
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
    starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    return order[same], order[starts[same]]


def uids_in(
    shards: Sequence[str],
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 0,
) -> Iterator[npt.NDArray[np.uint64]]:
    """The uids of each shard's pairs (words, uint64 [n, 2]); pairs that the index refuses are not there.

    With `cache`, a folder, a shard that has not changed is not read again. The others are read by so many
    processes (0: this one).
    """
    found = index_shards(shards, cache, workers, columns=["uid"])
    for done, (_, indexed) in enumerate(found, start=1):
        yield uid_words(indexed.pairs.column("uid"))
        if progress is not None:
            progress(done, len(shards))


def state_of(shards: Sequence[str]) -> list[str]:
    """The shards with what changes when they do.

    Raises:
        InputError: a shard cannot be looked at.
    """
    try:
        return [f"{shard} {shard_state(shard)}" for shard in shards]
    except OSError as error:
        raise InputError(
            f"{error.filename or 'a shard'} cannot be read ({error.strerror or error}); check the path"
        ) from error
