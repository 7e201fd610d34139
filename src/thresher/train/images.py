"""Decoded images at model size: cached on disk and mapped if they fit, otherwise decoded on the fly.

Probe runs read the same pairs again and again from several processes; decoding them once and mapping the
file costs one copy of the pixels in memory for all of them.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from thresher.data.digests import digest, hasher
from thresher.data.files.atomic import atomic_path, write_json
from thresher.data.files.record_file import from_record, own_file
from thresher.data.images.decode import ImageSpec
from thresher.data.index import Index
from thresher.data.pairs import Reject
from thresher.errors import InputError
from thresher.executor.local import WorkerPool
from thresher.sharded.decode import DecodeTask, decoded, survivors

CHUNK = 256
AHEAD = 9
BITE = 32  # images that a worker decodes at a time for a batch
WORKER = "thresher.sharded.decode:row_decoder"
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
    """Images of rows of an index, decoded by the workers of `pool` when they are asked for."""

    index: Index
    rows: Rows
    spec: ImageSpec
    pool: WorkerPool

    def submit(self, places: Rows) -> Callable[[], Pixels]:
        """Start decoding `places` in the workers."""
        tasks = list(_tasks(self.rows[places], self.spec, BITE))
        futures = [self.pool.submit(task) for task in tasks]

        def pixels() -> Pixels:
            parts = [
                survivors(task, future.result(), self.pool)
                for task, future in zip(tasks, futures, strict=True)
            ]
            for reason in (reason for part in parts for reason in part.reasons if reason is not None):
                raise InputError(f"an image that decoded before no longer does: {reason}; check the shards")
            arrays = [part.pixels[0] for part in parts]
            return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

        return pixels


def _tasks(rows: Rows, spec: ImageSpec, size: int) -> Iterator[DecodeTask]:
    return (DecodeTask(rows[start : start + size], (spec,)) for start in range(0, len(rows), size))


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
    workers = 0 if kept and len(rows) <= INLINE else workers
    with WorkerPool(WORKER, workers=workers, settings=index) as pool:
        bad = _known_bad(path, len(rows) if kept else None, spec)
        if bad is None:
            bad = _decode_all(rows, spec, path if kept else None, pool)
            content = {"schema": "thresher.pixels", "version": 1, "bad": sorted(bad.items())}
            write_json(path.with_suffix(".json"), content)
        places = np.setdiff1d(np.arange(len(rows)), np.asarray(list(bad), dtype=np.int64))
        rejects = [_reject(index, int(rows[place]), reason) for place, reason in sorted(bad.items())]
        if kept:
            mapped = MappedImages(np.load(path, mmap_mode="r", allow_pickle=False))
            yield mapped, rows[places], rejects
        else:
            yield DecodedImages(index, rows[places], spec, pool), rows[places], rejects


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


def _known_bad(path: Path, kept: int | None, spec: ImageSpec) -> dict[int, str] | None:
    """Place and reason of the images that do not decode, or None where that is still to be found out.

    `kept` is how many images there are, None where their pixels are not kept. What is damaged counts as
    absent.
    """
    listed = path.with_suffix(".json")
    if not listed.exists() or (kept is not None and not path.exists()):
        return None
    with suppress(InputError), own_file(listed, ""):
        record = json.loads(listed.read_bytes())
        bad: dict[int, str] = dict(from_record(tuple[tuple[int, str], ...], record["bad"], place="bad"))
        shape = (kept or 0) - len(bad), spec.size, spec.size, 3
        if kept is None or np.load(path, mmap_mode="r", allow_pickle=False).shape == shape:
            return bad
    return None


def _decode_all(rows: Rows, spec: ImageSpec, path: Path | None, pool: WorkerPool) -> dict[int, str]:
    """Place and reason of each image that does not decode; the pixels of the others go to `path`, a .npy."""
    bad: dict[int, str] = {}
    with ExitStack() as stack:
        file = None
        if path is not None:
            file = stack.enter_context(stack.enter_context(atomic_path(path)).open("wb"))
            start_of_data = _write_header(file, len(rows), spec)
        first = 0
        for part in decoded(_tasks(rows, spec, CHUNK), pool, ahead=AHEAD):
            bad |= {first + place: reason for place, reason in enumerate(part.reasons) if reason is not None}
            first += len(part.reasons)
            if file is not None:
                file.write(part.pixels[0].tobytes())
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
