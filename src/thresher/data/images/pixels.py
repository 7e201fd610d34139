"""Decoded images at model size: cached on disk and mapped if they fit, otherwise decoded on the fly.

Probe runs read the same pairs again and again from several processes; decoding them once and mapping the
file costs one copy of the pixels in memory for all of them.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from thresher.data.digests import digest, hasher
from thresher.data.files.atomic import atomic_path, write_json
from thresher.data.images.decode import BadImage, ImageSpec, decode
from thresher.data.index import Index
from thresher.data.pairs import Reject
from thresher.errors import InputError
from thresher.executor.local import TaskFailed, WorkerPool

CHUNK = 256
AHEAD = 8
BITE = 32  # images that a worker decodes at a time for a batch
WORKER = "thresher.data.images.pixels:row_decoder"
INLINE = 2048  # fewer images than this are decoded without worker processes
Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


class Images(Protocol):
    """Something that gives pixels for places 0..n-1."""

    def submit(self, places: Rows) -> Callable[[], Pixels]:
        """Start fetching; the call of what comes back waits and gives uint8 [B, H, W, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class MappedImages:
    """All images in one array, usually a mapped file; uint8 [n, H, W, 3]."""

    pixels: Pixels

    def submit(self, places: Rows) -> Callable[[], Pixels]:
        """Pixels of `places`, copied when called."""
        return lambda: self.pixels[places]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels of some rows, and why others have none (place among the rows, reason)."""

    pixels: Pixels
    bad: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """Images decoded when they are asked for, by worker processes or, without them, by this one."""

    decoder: "Decoder"
    index_rows: Rows

    def submit(self, places: Rows) -> Callable[[], Pixels]:
        """Start decoding `places` in the workers."""
        rows = self.index_rows[places]
        parts = [self.decoder.start(rows[i : i + BITE]) for i in range(0, len(rows), BITE)]
        return lambda: _joined([part() for part in parts])


def _joined(parts: list[Decoded]) -> Pixels:
    for part in parts:
        if part.bad:
            raise InputError(
                f"an image that decoded before no longer does: {part.bad[0][1]}; check the shards"
            )
    return parts[0].pixels if len(parts) == 1 else np.concatenate([part.pixels for part in parts])


@contextmanager
def open_images(
    index: Index, rows: Rows, spec: ImageSpec, *, cache: Path, limit_bytes: int, workers: int
) -> Iterator[tuple[Images, Rows, list[Reject]]]:
    """Images of index `rows` for training.

    Args:
        index: where the bytes are.
        rows: index rows wanted.
        spec: model size and resize.
        cache: folder for the decoded pixels, and for the list of images that cannot be decoded.
        limit_bytes: above this, no pixels are kept and images are decoded whenever they are drawn.
        workers: decoding processes; 0 decodes in this one.

    Yields:
        The images, the rows that they belong to (`rows` without those that cannot be decoded), and a
        reject for each of the others.
    """
    kept = len(rows) * spec.size**2 * 3 <= limit_bytes
    path = cache / f"pixels-{_digest(index, rows, spec)}.npy"
    with _decoder(index, spec, 0 if kept and len(rows) <= INLINE else workers) as decoder:
        bad = _known_bad(path, kept=kept)
        if bad is None:
            bad = _decode_all(rows, spec, path if kept else None, decoder)
            content = {"schema": "thresher.pixels", "version": 1, "bad": sorted(bad.items())}
            write_json(path.with_suffix(".json"), content)
        places = np.setdiff1d(np.arange(len(rows)), np.asarray(list(bad), dtype=np.int64))
        rejects = [_reject(index, int(rows[place]), reason) for place, reason in sorted(bad.items())]
        if kept:
            mapped = MappedImages(np.load(path, mmap_mode="r", allow_pickle=False))
            yield mapped, rows[places], rejects
        else:
            yield DecodedImages(decoder, rows[places]), rows[places], rejects


def _reject(index: Index, row: int, reason: str) -> Reject:
    columns = ("shard", "key", "uid", "image_offset")
    shard, key, uid, offset = (index.table.column(name)[row].as_py() for name in columns)
    return Reject(shard=shard, key=key, uid=uid, stage="decode", reason=reason, offset=offset)


def _digest(index: Index, rows: Rows, spec: ImageSpec) -> str:
    found = hasher(digest(asdict(spec)).encode())
    table = index.table.select(["uid", "image_path", "image_offset", "image_length"]).take(rows)
    for column in table.itercolumns():
        found.update("\n".join(map(str, column.to_pylist())).encode())
    return found.hexdigest()


def _known_bad(path: Path, *, kept: bool) -> dict[int, str] | None:
    """Place and reason of the images that do not decode, or None where that is still to be found out."""
    listed = path.with_suffix(".json")
    if not listed.exists() or (kept and not path.exists()):
        return None
    return dict(json.loads(listed.read_text())["bad"])


def _decode_all(rows: Rows, spec: ImageSpec, path: Path | None, decoder: "Decoder") -> dict[int, str]:
    """Place and reason of each image that does not decode; the pixels of the others go to `path`, a .npy."""
    bad: dict[int, str] = {}
    with ExitStack() as stack:
        file = None
        if path is not None:
            file = stack.enter_context(stack.enter_context(atomic_path(path)).open("wb"))
            start_of_data = _write_header(file, len(rows), spec)
        for start, part in _decode_in_order(rows, decoder):
            bad |= {start + place: reason for place, reason in part.bad}
            if file is not None:
                file.write(part.pixels.tobytes())
        if file is not None:
            file.seek(0)
            length = _write_header(file, len(rows) - len(bad), spec)
            assert length == start_of_data, "the header of the pixel file changed its length"
    return bad


def _write_header(file: IO[bytes], count: int, spec: ImageSpec) -> int:
    """Write the header of a .npy; its length, which does not depend on `count` (numpy leaves room)."""
    shape = (count, spec.size, spec.size, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _decode_in_order(rows: Rows, decoder: "Decoder") -> Iterator[tuple[int, Decoded]]:
    waiting: deque[tuple[int, Callable[[], Decoded]]] = deque()
    for start in range(0, len(rows), CHUNK):
        waiting.append((start, decoder.start(rows[start : start + CHUNK])))
        if len(waiting) > AHEAD:
            first, part = waiting.popleft()
            yield first, part()
    for first, part in waiting:
        yield first, part()


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes rows of an index in the workers of `pool`, or in this process where that is None."""

    index: Index
    spec: ImageSpec
    pool: WorkerPool | None

    def start(self, rows: Rows) -> Callable[[], Decoded]:
        """Start decoding; the call of what comes back waits for it."""
        if self.pool is None:
            return lambda: _decode_rows(self.index, self.spec, rows)
        future = self.pool.submit(rows)

        def wait() -> Decoded:
            found = future.result()
            if isinstance(found, TaskFailed):
                raise self._broken(rows, found.reason)
            made: Decoded = found
            return made

        return wait

    def _broken(self, rows: Rows, reason: str) -> InputError:
        ends = [
            " of ".join(self.index.table.column(name)[int(row)].as_py() for name in ("key", "shard"))
            for row in (rows[0], rows[-1])
        ]
        return InputError(
            f"a decoding process ended without a word at or before the images {ends[0]} to {ends[1]} "
            f"(is the memory full, or an image malicious?; {reason}); exclude the image, or set workers to 0 "
            "to see it fail here"
        )


@contextmanager
def _decoder(index: Index, spec: ImageSpec, workers: int) -> Iterator[Decoder]:
    if workers == 0:
        yield Decoder(index, spec, None)
        return
    with WorkerPool(WORKER, workers=workers, settings=(index, spec)) as pool:
        yield Decoder(index, spec, pool)


def row_decoder(settings: tuple[Index, ImageSpec]) -> Callable[[Rows], Decoded]:
    """What a worker process does with rows of the index."""
    return partial(_decode_rows, *settings)


def _decode_rows(index: Index, spec: ImageSpec, rows: Rows) -> Decoded:
    pixels = np.empty((len(rows), spec.size, spec.size, 3), dtype=np.uint8)
    good, bad = 0, []
    for place, row in enumerate(rows.tolist()):
        try:
            pixels[good] = decode(index.image_bytes(row), spec)
        except BadImage as error:
            bad.append((place, str(error)))
        else:
            good += 1
    return Decoded(pixels[:good], bad)
