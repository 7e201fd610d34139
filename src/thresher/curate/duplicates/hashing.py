"""Hashing the images of shards: one table a shard, and a run that was stopped goes on with the next one."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.curate.duplicates.hashes import THUMBNAIL_BYTES, VERSION, Hashed, HashTask
from thresher.data.pairs import Pair, Reject
from thresher.data.shards import read_pairs
from thresher.data.uids import uid_bytes
from thresher.executor.local import TaskFailed, WorkerPool
from thresher.executor.run import run_shards
from thresher.sharded.job import FolderRun, Made, Part, make_parts, plan_shards, write_shard
from thresher.sharded.parts import Stage, digest_of, list_parts
from thresher.sharded.remote import RemotePart, receive, remote_part

HASH = "thresher.curate.duplicates.hashes:hash_images"
HASHER = "thresher.curate.duplicates.hashing:hasher"
CHUNK_PAIRS = 64
CHUNK_BYTES = 16 * 2**20

Progress = Callable[[int, int, int], None]
"""Called with (shards done, of how many, pairs so far)."""


def _other_hashes(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    if dict(found) == dict(now):
        return None
    return "holds hashes of another release; name another folder, or delete this one to hash again"


HASHES = Stage(
    name="dedup",
    done="hashed",
    noun="hashes",
    differs=_other_hashes,
    exclude_remedy="give the same list, or name another folder",
)


@dataclass(frozen=True, slots=True)
class Images:
    """Hashes of the images of a pool, sorted by uid, each uid once.

    Attributes:
        uid_n: 16 bytes each, `S16`.
        hashed: Of each image.
        repeated: Rows left out because their uid stood already.
    """

    uid_n: npt.NDArray[np.bytes_]
    hashed: Hashed
    repeated: int

    def __len__(self) -> int:
        return len(self.uid_n)


@dataclass(frozen=True, slots=True)
class HashSettings:
    """uids to leave out, whether a pair without a caption is one, and how many processes decode images."""

    exclude: frozenset[str]
    need_caption: bool
    workers: int


def hash_folder(
    folder: Path,
    shards: Sequence[str],
    *,
    exclude: frozenset[str] = frozenset(),
    need_caption: bool = True,
    workers: int = 2,
    executor: str = "local",
    ray_address: str | None = None,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Hash every shard that has no part in `folder` yet; the caller holds the folder's lock.

    The options are those of `thresher.scores.score.score_shards`; on Ray every worker takes whole shards.

    Returns:
        Shard -> why nothing of it could be read. Such a shard has no part and is tried again by the next run.

    Raises:
        InputError: the folder holds hashes of other shards, of one that changed, or of another release.
    """
    plan = plan_shards(folder, shards, {"hashes": VERSION}, digest_of(exclude), HASHES)
    settings = HashSettings(exclude, need_caption, workers)

    def after(run: FolderRun, _: Made) -> None:
        if progress is not None:
            progress(run.done, len(plan.parts), run.pairs)

    return make_parts(plan, lambda parts, _: _made(parts, settings, executor, ray_address), after).unreadable


def _made(
    parts: Sequence[Part], settings: HashSettings, executor: str, ray_address: str | None
) -> Generator[Made]:
    """Each shard once its part is written."""
    if executor == "ray":
        cpus = max(settings.workers, 1)
        results = run_shards(
            HASHER, parts, settings=settings, executor=executor, address=ray_address, cpus=cpus
        )
        for part, found in results:
            yield receive(part, found, HASHES)
        return
    with WorkerPool(HASH, workers=settings.workers) as pool:
        for part in parts:
            yield _hash_shard(part, pool, settings)


def hasher(settings: HashSettings) -> Callable[[Part], RemotePart]:
    """The function that a worker on Ray applies to shards."""
    pool = WorkerPool(HASH, workers=settings.workers)
    return lambda part: remote_part(part, lambda here: _hash_shard(here, pool, settings), {}, pool)


def read_hashes(folder: Path) -> Images:
    """The hashes of all parts of a folder, sorted by uid: about 160 bytes a pair in memory.

    Of rows with one uid the one with the smallest digest stays, so the order of the shards does not matter.
    """
    parts = list_parts(folder)
    tables = [pq.read_table(part, partitioning=None) for part in parts]
    if not tables:
        return no_images()
    table = pa.concat_tables(tables)
    uids = uid_bytes(table.column("uid"))
    hashed = Hashed(
        _fixed(table, "sha256", 32).view("S32").reshape(-1),
        table.column("phash").to_numpy(),
        _fixed(table, "thumbnail", THUMBNAIL_BYTES),
        table.column("pixels").to_numpy(),
        (),
    )
    order = np.lexsort((hashed.sha256_n, uids))
    first = np.ones(len(order), dtype=bool)
    first[1:] = uids[order[1:]] != uids[order[:-1]]
    rows = order[first]
    return Images(uids[rows], hashed.good(rows), len(order) - len(rows))


def no_images() -> Images:
    """The hashes of nothing."""
    return Images(np.empty(0, "S16"), _empty(), 0)


def _hash_shard(part: Part, pool: WorkerPool, settings: HashSettings) -> Made:
    """Write the part of a shard, unless it cannot be read or changes meanwhile."""
    rejects: list[Reject] = []
    waiting: list[list[Pair]] = []

    def tasks() -> Iterator[HashTask]:
        for chunk in _chunks(part.stamp.shard, settings, rejects):
            waiting.append(chunk)
            yield HashTask(tuple(pair.image_bytes or b"" for pair in chunk))

    pairs: list[Pair] = []
    done: list[Hashed] = []
    failure: str | None = None
    try:
        for task, result in pool.map(tasks(), ahead=2 * settings.workers + 2):
            hashed = _one_by_one(task, pool) if isinstance(result, TaskFailed) else [result]
            chunk = waiting.pop(0)
            reasons = [reason for some in hashed for reason in some.reasons]
            for pair, reason in zip(chunk, reasons, strict=True):
                if reason is None:
                    pairs.append(replace(pair, members=(), image_bytes=None, meta={}))
                else:
                    place = pair.image.offset
                    rejects.append(Reject(pair.shard, pair.key, pair.uid, HASHES.name, reason, place))
            done += [some.good(np.array([not why for why in some.reasons], dtype=bool)) for some in hashed]
    except OSError as error:
        failure = f"cannot be read: {error.strerror or error or type(error).__name__}"
    return write_shard(part, failure, len(pairs), rejects, lambda: _table(pairs, done), HASHES)


def _chunks(shard: str, settings: HashSettings, rejects: list[Reject]) -> Iterator[list[Pair]]:
    """Neighbouring pairs of a shard."""
    chunk: list[Pair] = []
    num_bytes = 0
    for item in read_pairs(shard, exclude=settings.exclude, need_caption=settings.need_caption):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        chunk.append(item)
        num_bytes += len(item.image_bytes or b"")
        if len(chunk) >= CHUNK_PAIRS or num_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def _one_by_one(task: HashTask, pool: WorkerPool) -> list[Hashed]:
    """The chunk that killed its workers, image by image: only those that kill a worker again are lost."""
    found = []
    for _, result in pool.map((HashTask((image,)) for image in task.images), ahead=1):
        if isinstance(result, TaskFailed):
            result = _empty(1, ("decoding this image kills the worker process or never ends",))
        found.append(result)
    return found


def _table(pairs: Sequence[Pair], done: Sequence[Hashed]) -> pa.Table:
    parts = [_empty(), *done]
    sha256 = np.concatenate([part.sha256_n for part in parts])
    thumbnails = np.concatenate([part.thumbnail_nT for part in parts])
    return pa.table(
        {
            "uid": pa.array([pair.uid for pair in pairs], pa.string()),
            "key": pa.array([pair.key for pair in pairs], pa.string()),
            "shard": pa.array([pair.shard for pair in pairs], pa.string()),
            "sha256": _binary(sha256.tobytes(), 32),
            "phash": pa.array(np.concatenate([part.bits_n for part in parts])),
            "thumbnail": _binary(thumbnails.tobytes(), THUMBNAIL_BYTES),
            "pixels": pa.array(np.concatenate([part.pixels_n for part in parts])),
        }
    )


def _binary(data: bytes, width: int) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(width), len(data) // width, [None, pa.py_buffer(data)])


def _fixed(table: pa.Table, column: str, width: int) -> npt.NDArray[np.uint8]:
    """The bytes [n, width] of a column of fixed size."""
    data = b"".join(b"".join(chunk.to_pylist()) for chunk in table.column(column).chunks)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, width)


def _empty(count: int = 0, reasons: tuple[str | None, ...] = ()) -> Hashed:
    return Hashed(
        np.zeros(count, "S32"),
        np.zeros(count, np.uint64),
        np.zeros((count, THUMBNAIL_BYTES), np.uint8),
        np.zeros(count, np.int64),
        reasons,
    )
