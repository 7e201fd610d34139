"""Rows spilled to disk and read back bucket by bucket, so that only one bucket is in memory.

Rows are gathered into runs. A full run is sorted by bucket (rows of one bucket keep their order) and appended
to one file; a bucket is read as its piece of every run. The file has no name, so the system takes it away
when the process ends, however it ends.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

RUN_ROWS = 2**19
"""Rows that are held before they are written; 24 bytes a row make 12 MiB, and twice that to sort."""

BUCKET_ROWS = 2**18
"""Rows that a bucket is meant to have."""

MOST_BITS = 16


def bucket_bits(num_rows: int) -> int:
    """Bits of a number that tell so many rows apart into buckets of about `BUCKET_ROWS`.

    >>> bucket_bits(1000), bucket_bits(10_000_000)
    (0, 6)
    """
    return min(max(-(-num_rows // BUCKET_ROWS) - 1, 0).bit_length(), MOST_BITS)


class Spill:
    """Rows of a structured dtype in `num_buckets` buckets (at most 65,536, empty ones too) on disk."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        dtype: npt.DTypeLike,
        num_buckets: int,
        *,
        run_rows: int | None = None,
    ) -> None:
        assert 1 <= num_buckets <= 2**MOST_BITS
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` closes it
        self._dtype = np.dtype(dtype)
        self.num_buckets = num_buckets
        self._run_rows = run_rows or RUN_ROWS
        self._held: list[tuple[npt.NDArray[np.uint16], npt.NDArray[Any]]] = []
        self._num_held = 0
        self._runs: list[tuple[int, npt.NDArray[np.uint32]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, buckets: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
        """Put rows aside, each into its bucket (an integer from 0)."""
        start = 0
        while start < len(rows):
            end = min(len(rows), start + self._run_rows - self._num_held)
            self._held.append((buckets[start:end].astype(np.uint16), rows[start:end].astype(self._dtype)))
            self._num_held += end - start
            if self._num_held == self._run_rows:
                self._write_run()
            start = end

    def bucket(self, number: int) -> npt.NDArray[Any]:
        """The rows of a bucket, in the order in which they came."""
        self._write_run()
        pieces = []
        for position, starts in self._runs:
            first, last = int(starts[number]), int(starts[number + 1])
            if last > first:
                size = self._dtype.itemsize
                data = os.pread(self._file.fileno(), (last - first) * size, position + first * size)
                pieces.append(np.frombuffer(data, self._dtype))
        return np.concatenate(pieces) if pieces else np.empty(0, self._dtype)

    def close(self) -> None:
        """Let go of the file and of its space on the disk."""
        self._file.close()

    def _write_run(self) -> None:
        if not self._num_held:
            return
        buckets = np.concatenate([part for part, _ in self._held])
        rows = np.concatenate([part for _, part in self._held])
        self._held, self._num_held = [], 0
        order = np.argsort(buckets, kind="stable")
        starts = np.zeros(self.num_buckets + 1, dtype=np.uint32)
        np.cumsum(np.bincount(buckets, minlength=self.num_buckets), out=starts[1:])
        position = self._file.seek(0, os.SEEK_END)
        self._file.write(rows[order].data)
        self._file.flush()
        self._runs.append((position, starts))
