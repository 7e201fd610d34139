"""Shards as a stream of batches that a model can take as they are.

One thread walks through the shards, hands images to the decode workers, takes the pixels back in order, and
prepares the captions. A batch never holds pairs of two shards, so what a shard scores does not depend on the
shards before it or on where an earlier run stopped; the workers are already busy with the next one, though.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thresher.data.pairs import Pair, Reject
from thresher.data.shards import read_pairs
from thresher.executor.local import WorkerPool
from thresher.sharded.decode import Decoded, DecodeTask, Form, decoded
from thresher.sharded.scorer import Images, Row, Scorer, row_of

CHUNK_PAIRS = 32
CHUNK_BYTES = 8 * 2**20
TEXT_CHUNK_PAIRS = 1024


@dataclass(slots=True)
class Chunk:
    """Neighbouring pairs of shard `number` on their way through the decoder; `last` closes the shard."""

    number: int
    rows: list[Row] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    num_bytes: int = 0
    last: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs of one shard, `number` of the run, ready for the scorers.

    `inputs` has for each scorer its images (or None) and its prepared captions. `rejects` are those found
    since the batch before. `last` closes the shard; a last batch may hold no pairs. `failure` says why the
    shard could not be read to its end, so that nothing of it may be kept.
    """

    number: int
    rows: list[Row]
    inputs: list[tuple[Images | None, Any]]
    rejects: list[Reject]
    last: bool
    failure: str | None


def batches(
    shards: Sequence[str],
    scorers: Sequence[Scorer],
    pool: WorkerPool,
    exclude: frozenset[str],
    *,
    ahead: int,
    stage: str = "score",
    need_caption: bool = True,
) -> Generator[Batch]:
    """Every shard in batches of one size, the last one smaller; at most `ahead` chunks are decoded early.

    Images that do not decode are rejects of `stage`.
    """
    specs = tuple(dict.fromkeys(scorer.spec for scorer in scorers if scorer.spec is not None))
    of_images = [scorer.batch_size for scorer in scorers if scorer.spec is not None]
    size = max(of_images or [scorer.batch_size for scorer in scorers])
    builder = _Builder(scorers, specs, stage)
    chunks = _chunks(shards, exclude, with_images=bool(specs), need_caption=need_caption)
    for chunk, found in _with_pixels(chunks, specs, pool, ahead):
        builder.add(chunk, found)
        while builder.num_rows >= size:
            # a full batch that ends its shard is its last one, so that no empty one follows
            yield builder.take(size, chunk, last=chunk.last and builder.num_rows == size)
        if chunk.last and not builder.closed:
            yield builder.take(builder.num_rows, chunk, last=True)


def _chunks(
    shards: Sequence[str], exclude: frozenset[str], *, with_images: bool, need_caption: bool
) -> Iterator[Chunk]:
    most = CHUNK_PAIRS if with_images else TEXT_CHUNK_PAIRS
    for number, shard in enumerate(shards):
        chunk = Chunk(number)
        try:
            for item in read_pairs(
                shard, with_images=with_images, exclude=exclude, need_caption=need_caption
            ):
                if len(chunk.rows) >= most or chunk.num_bytes >= CHUNK_BYTES:
                    yield chunk
                    chunk = Chunk(number)
                _append(chunk, item)
        except OSError as error:
            chunk.failure = f"cannot be read: {error.strerror or error or type(error).__name__}"
        chunk.last = True
        yield chunk


def _append(chunk: Chunk, item: Pair | Reject) -> None:
    if isinstance(item, Reject):
        chunk.rejects.append(item)
        return
    chunk.rows.append(row_of(item))
    if item.image_bytes is not None:
        chunk.images.append(item.image_bytes)
        chunk.num_bytes += len(item.image_bytes)


def _with_pixels(
    chunks: Iterator[Chunk], specs: tuple[Form, ...], pool: WorkerPool, ahead: int
) -> Iterator[tuple[Chunk, Decoded | None]]:
    """Each chunk with its pixels (None when no scorer wants images), in order."""
    if not specs:
        for chunk in chunks:
            yield chunk, None
        return
    waiting: deque[Chunk] = deque()

    def tasks() -> Iterator[DecodeTask]:
        for chunk in chunks:
            waiting.append(chunk)
            task = DecodeTask(tuple(chunk.images), specs)
            chunk.images.clear()
            yield task

    for result in decoded(tasks(), pool, ahead=ahead):
        yield waiting.popleft(), result


class _Builder:
    """Collects the good pairs of one shard and hands them out in batches."""

    def __init__(self, scorers: Sequence[Scorer], specs: tuple[Form, ...], stage: str) -> None:
        self._scorers = scorers
        self._stage = stage
        self._specs = specs
        self._rows: list[Row] = []
        self._pixels: list[tuple[Images, ...]] = []
        self._rejects: list[Reject] = []
        self.closed = True

    @property
    def num_rows(self) -> int:
        return len(self._rows)

    def add(self, chunk: Chunk, found: Decoded | None) -> None:
        self.closed = False
        self._rejects.extend(chunk.rejects)
        if found is None:
            self._rows.extend(chunk.rows)
            return
        for row, reason in zip(chunk.rows, found.reasons, strict=True):
            if reason is None:
                self._rows.append(row)
            else:
                self._rejects.append(Reject(row.shard, row.key, row.uid, self._stage, reason, row.offset))
        if any(reason is None for reason in found.reasons):
            self._pixels.append(found.pixels)

    def take(self, count: int, chunk: Chunk, *, last: bool) -> Batch:
        rows, self._rows = self._rows[:count], self._rows[count:]
        rejects, self._rejects = self._rejects, []
        self.closed = last
        inputs: list[tuple[Images | None, Any]] = []
        if rows:
            images = self._take_pixels(count)
            captions = [row.caption for row in rows]
            inputs = [
                (
                    images[scorer.spec] if scorer.spec else None,
                    scorer.prepare(rows if scorer.of_rows else captions),
                )
                for scorer in self._scorers
            ]
        return Batch(chunk.number, rows, inputs, rejects, last, chunk.failure)

    def _take_pixels(self, count: int) -> dict[Form, Images]:
        found: dict[Form, Images] = {}
        rest: list[Images] = []
        for place, spec in enumerate(self._specs):
            joined = np.concatenate([pixels[place] for pixels in self._pixels])
            found[spec] = joined[:count]
            rest.append(joined[count:])
        self._pixels = [tuple(rest)] if rest and len(rest[0]) else []
        return found
