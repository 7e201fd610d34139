"""Hashing the images of shards: one table a shard, and a run that was stopped goes on with the next one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.uids import uid_bytes
from thresher.sharded.hashes import HASHED, THUMBNAIL_BYTES, VERSION, ImageHashes
from thresher.sharded.job import Part
from thresher.sharded.parts import Stage, list_parts, read_part
from thresher.sharded.scorer import Images as Inputs
from thresher.sharded.scorer import Pending, Row, Scorer
from thresher.sharded.shard import OpenScorers, ShardWork
from thresher.sharded.stage import Progress as StageProgress
from thresher.sharded.stage import run_stage

BATCH_SIZE = 64

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
        hashed: Of each image, `HASHED`.
        repeated: Rows left out because their uid stood already.
    """

    uid_n: npt.NDArray[np.bytes_]
    hashed: npt.NDArray[Any]
    repeated: int

    def __len__(self) -> int:
        return len(self.uid_n)


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

    The options are those of `thresher.scores.score.score_shards`; a pair needs a caption unless
    `need_caption` is False, and `progress` is called after every shard.

    Returns:
        Shard -> why nothing of it could be read. Such a shard has no part and is tried again by the next run.

    Raises:
        InputError: the folder holds hashes of other shards, of one that changed, or of another release.
    """
    told = 0

    def tell(at: StageProgress) -> None:
        nonlocal told
        if progress is not None and at.shards_done > told:
            told = at.shards_done
            progress(at.shards_done, at.num_shards, at.pairs)

    work = ShardWork(
        stage=HASHES,
        open=open_hashing,
        options=None,
        exclude=exclude,
        workers=workers,
        gpu=False,
        need_caption=need_caption,
    )
    summary = run_stage(
        *(folder, shards, work, lambda summary, _, __: summary.content()),
        executor=executor,
        ray_address=ray_address,
        progress=tell,
    )
    return dict(summary.unreadable)


def open_hashing(_: None) -> OpenScorers:
    """What gives a pair the hashes of its image, ready to make parts."""
    scorer = Scorer(
        fingerprint=VERSION,
        spec=ImageHashes(),
        batch_size=BATCH_SIZE,
        prepare=lambda _: None,
        score=_as_decoded,
        result=HASHED,
    )
    return OpenScorers(scorers=[scorer], made_by={"hashes": VERSION}, table=_table)


def _as_decoded(hashed: Inputs | None, _: Any) -> Pending:
    """The hashes as they came from the decode processes."""
    assert hashed is not None
    return lambda: hashed


def read_hashes(folder: Path) -> Images:
    """The hashes of all parts of a folder, sorted by uid: about 160 bytes a pair in memory.

    Of rows with one uid the one with the smallest digest stays, so the order of the shards does not matter.
    """
    parts = list_parts(folder)
    tables = [read_part(part, HASHES) for part in parts]
    if not tables:
        return no_images()
    table = pa.concat_tables(tables)
    uids = uid_bytes(table.column("uid"))
    hashed = np.empty(len(table), dtype=HASHED)
    hashed["sha256"] = _fixed(table, "sha256", 32).view("S32").reshape(-1)
    hashed["phash"] = table.column("phash").to_numpy()
    hashed["thumbnail"] = _fixed(table, "thumbnail", THUMBNAIL_BYTES)
    hashed["pixels"] = table.column("pixels").to_numpy()
    order = np.lexsort((hashed["sha256"], uids))
    first = np.ones(len(order), dtype=bool)
    first[1:] = uids[order[1:]] != uids[order[:-1]]
    rows = order[first]
    return Images(uids[rows], hashed[rows], len(order) - len(rows))


def no_images() -> Images:
    """The hashes of nothing."""
    return Images(np.empty(0, "S16"), np.empty(0, dtype=HASHED), 0)


def _table(_: Part, rows: Sequence[Row], results: Sequence[npt.NDArray[Any]]) -> pa.Table:
    (hashed,) = results
    names = {name: [getattr(row, name) for row in rows] for name in ("uid", "key", "shard")}
    return pa.table(
        {
            **{name: pa.array(values, pa.string()) for name, values in names.items()},
            "sha256": _binary(hashed["sha256"].tobytes(), 32),
            "phash": pa.array(np.ascontiguousarray(hashed["phash"])),
            "thumbnail": _binary(hashed["thumbnail"].tobytes(), THUMBNAIL_BYTES),
            "pixels": pa.array(np.ascontiguousarray(hashed["pixels"])),
        }
    )


def _binary(data: bytes, width: int) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(width), len(data) // width, [None, pa.py_buffer(data)])


def _fixed(table: pa.Table, column: str, width: int) -> npt.NDArray[np.uint8]:
    """The bytes [n, width] of a column of fixed size."""
    data = b"".join(b"".join(chunk.to_pylist()) for chunk in table.column(column).chunks)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
