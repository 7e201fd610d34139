"""Decoded images at model size: kept on disk and mapped where they fit, decoded on the way where not.

Probe runs read the same pairs again and again from several processes; decoding them once and mapping the
file costs one copy of the pixels in memory for all of them.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from thresher.data.images import BadImage, ImageSpec, decode
from thresher.data.index import Index
from thresher.data.shards import Reject
from thresher.data.writer import atomic_path, write_json
from thresher.errors import InputError

CHUNK = 256
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
class DecodedImages:
    """Images decoded by worker processes when they are asked for."""

    pool: ProcessPoolExecutor
    index_rows: Rows

    def submit(self, places: Rows) -> Callable[[], Pixels]:
        """Start decoding `places` in the workers."""
        rows = self.index_rows[places]
        parts: list[Future[Decoded]] = [
            self.pool.submit(_decode_rows, rows[i : i + 32]) for i in range(0, len(rows), 32)
        ]
        return lambda: _joined([part.result() for part in parts])


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels of some rows, and why others have none (place among the rows, reason)."""

    pixels: Pixels
    bad: list[tuple[int, str]]


def _joined(parts: list[Decoded]) -> Pixels:
    for part in parts:
        if part.bad:
            raise InputError(
                f"an image that decoded before no longer does: {part.bad[0][1]}; check the shards"
            )
    return np.concatenate([part.pixels for part in parts])


@contextmanager
def open_images(
    index: Index, rows: Rows, spec: ImageSpec, *, cache: Path, limit_bytes: int, workers: int
) -> Iterator[tuple[Images, Rows, list[Reject]]]:
    """Images of index `rows` for training.

    Args:
        index: where the bytes are.
        rows: index rows wanted.
        spec: model size and resize.
        cache: folder for the decoded pixels.
        limit_bytes: above this, nothing is cached and images are decoded whenever they are drawn.
        workers: decoding processes.

    Yields:
        The images, the rows that they belong to (`rows` without those that cannot be decoded), and a
        reject for each of the others.
    """
    with _pool(index, spec, workers if len(rows) > INLINE else 0) as pool:
        if len(rows) * spec.size**2 * 3 <= limit_bytes:
            path = _decode_once(index, rows, spec, cache, pool)
            bad = dict(json.loads(path.with_suffix(".json").read_text())["bad"])
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            if pool is None:
                raise InputError(f"{len(rows)} images do not fit limit_bytes={limit_bytes}; raise it")
            pixels = None
            bad = {}
            for start, part in _decode_all(index, rows, spec, pool):
                bad |= {start + place: reason for place, reason in part.bad}
        keep = np.setdiff1d(np.arange(len(rows)), np.asarray(list(bad), dtype=np.int64))
        rejects = [_reject(index, int(rows[place]), reason) for place, reason in sorted(bad.items())]
        if pixels is not None:
            yield MappedImages(pixels), rows[keep], rejects
        else:
            assert pool is not None
            yield DecodedImages(pool, rows[keep]), rows[keep], rejects


def _reject(index: Index, row: int, reason: str) -> Reject:
    columns = ("shard", "key", "uid", "image_offset")
    shard, key, uid, offset = (index.table.column(name)[row].as_py() for name in columns)
    return Reject(shard=shard, key=key, uid=uid, stage="decode", reason=reason, offset=offset)


def _decode_once(
    index: Index, rows: Rows, spec: ImageSpec, cache: Path, pool: ProcessPoolExecutor | None
) -> Path:
    """Path of the .npy with the pixels of all rows that decode; beside it a .json with those that do not."""
    digest = hashlib.blake2b(json.dumps(asdict(spec)).encode(), digest_size=8)
    table = index.table.select(["uid", "image_path", "image_offset", "image_length"]).take(rows)
    for column in table.itercolumns():
        digest.update("\n".join(map(str, column.to_pylist())).encode())
    path = cache / f"pixels-{digest.hexdigest()}.npy"
    if path.exists() and path.with_suffix(".json").exists():
        return path
    bad: dict[int, str] = {}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), spec.size, spec.size, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        start_of_data = file.tell()
        for start, part in _decode_all(index, rows, spec, pool):
            bad |= {start + place: reason for place, reason in part.bad}
            file.write(part.pixels.tobytes())
        file.seek(0)
        header["shape"] = (len(rows) - len(bad), spec.size, spec.size, 3)
        np.lib.format.write_array_header_1_0(file, header)
        assert file.tell() == start_of_data, "the header of the pixel file changed its length"
    write_json(
        path.with_suffix(".json"), {"schema": "thresher.pixels", "version": 1, "bad": sorted(bad.items())}
    )
    return path


def _decode_all(
    index: Index, rows: Rows, spec: ImageSpec, pool: ProcessPoolExecutor | None
) -> Iterator[tuple[int, Decoded]]:
    chunks = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
    if pool is None:
        _start_worker(index, spec)
        for number, chunk in enumerate(chunks):
            yield number * CHUNK, _decode_rows(chunk)
        return
    ahead = 8
    futures = [pool.submit(_decode_rows, chunk) for chunk in chunks[:ahead]]
    for number in range(len(chunks)):
        part = futures[number].result()
        futures[number] = Future()
        if number + ahead < len(chunks):
            futures.append(pool.submit(_decode_rows, chunks[number + ahead]))
        yield number * CHUNK, part


@contextmanager
def _pool(index: Index, spec: ImageSpec, workers: int) -> Iterator[ProcessPoolExecutor | None]:
    if workers == 0:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (index, spec)) as pool:
        yield pool


_worker: dict[str, object] = {}


def _start_worker(index: Index, spec: ImageSpec) -> None:
    _worker["index"], _worker["spec"] = index, spec


def _decode_rows(rows: Rows) -> Decoded:
    index, spec = _worker["index"], _worker["spec"]
    assert isinstance(index, Index)
    assert isinstance(spec, ImageSpec)
    images, bad = [], []
    for place, row in enumerate(rows.tolist()):
        try:
            images.append(decode(index.image_bytes(row), spec))
        except BadImage as error:
            bad.append((place, str(error)))
    shape = (0, spec.size, spec.size, 3)
    return Decoded(np.stack(images) if images else np.empty(shape, dtype=np.uint8), bad)
