"""The pairs of some shards, ready for training: decoded images and tokens, kept in a cache folder.

A `Dataset` is a description that can be sent to another process; `open` there maps what the first one
prepared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from thresher.data.digests import hasher
from thresher.data.files.atomic import atomic_path
from thresher.data.files.quarantine import from_rejects
from thresher.data.files.record_file import own_file
from thresher.data.images.decode import ImageSpec
from thresher.data.index import Index, build_index
from thresher.data.pairs import Reject
from thresher.data.shard_index import Marks, marks_of
from thresher.data.uids import UidRows, uid_bytes
from thresher.errors import InputError
from thresher.models.towers import Towers
from thresher.train.images import Images, open_images
from thresher.train.pairs import tokenize

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Unique pairs to train on.

    Attributes:
        shards: where they are.
        uids: which of them, in this order; None takes all.
        exclude: uids that are left out.
        spec: size and resize of the images.
        tokens: tokens of the pairs that decode, int32 [n, T], .npy.
        cache: folder of index, pixels and tokens.
        limit_bytes: most bytes of decoded pixels to keep.
        workers: decoding processes.
        marks: of the shards, as they were when they were first looked at.
    """

    shards: tuple[str, ...]
    uids: tuple[str, ...] | None
    exclude: frozenset[str]
    spec: ImageSpec
    tokens: Path
    cache: Path
    limit_bytes: int
    workers: int
    marks: Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDataset:
    """Images and tokens by place 0..n-1, and the uid of each place.

    Attributes:
        rejects: pairs whose image does not decode.
        unread: what the index of the shards refused, a quarantine table.
    """

    images: Images
    tokens_nT: torch.Tensor
    uids: pa.ChunkedArray
    rejects: list[Reject]
    unread: pa.Table

    def places(self, uids: Sequence[str] | pa.ChunkedArray) -> Rows:
        """Place of each uid; those whose image does not decode are left out."""
        places = self.find(uids)
        return places[places >= 0]

    def find(self, uids: Sequence[str] | pa.ChunkedArray) -> Rows:
        """Place of each uid, int64; -1 where its image does not decode or it was not asked for."""
        return UidRows(uid_bytes(self.uids)).find(uid_bytes(uids))

    @property
    def quarantine(self) -> pa.Table:
        """All that is not trained on: what the index refused and what does not decode."""
        return pa.concat_tables([self.unread, from_rejects(self.rejects)])


def describe_dataset(
    shards: Sequence[str],
    towers: Towers,
    *,
    cache: Path,
    uids: Sequence[str] | None = None,
    exclude: frozenset[str] = frozenset(),
    limit_bytes: int = 4 << 30,
    workers: int = 2,
    marks: Marks | None = None,
) -> Dataset:
    """Decode and tokenise what is not in `cache` yet, and describe where it is.

    Raises:
        InputError: no pair of the shards can be used, or a uid is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(
        shards=tuple(shards),
        uids=None if uids is None else tuple(uids),
        exclude=exclude,
        spec=towers.spec,
        tokens=cache,
        cache=cache,
        limit_bytes=limit_bytes,
        workers=workers,
        marks=marks_of(shards) if marks is None else marks,
    )
    with _opened(dataset) as (index, _, rows, rejects):
        if not len(rows):
            reasons = [*(reject.reason for reject in rejects), *index.rejects.column("reason").to_pylist()]
            first = f" (the first: {reasons[0]})" if reasons else ""
            raise InputError(f"no pair of {', '.join(shards)} can be used{first}; give other shards")
        path = _write_tokens(towers, index.table.column("caption").take(rows).to_pylist(), cache)
    return replace(dataset, tokens=path)


def _write_tokens(towers: Towers, captions: Sequence[str], cache: Path) -> Path:
    """Path of the tokens of `captions`; written unless it is there."""
    digest = hasher(repr((towers.name, towers.spec)).encode())
    for caption in captions:
        digest.update(f"{len(caption)} {caption}".encode("utf-8", "surrogatepass"))
    path = cache / f"tokens-{digest.hexdigest()}.npy"
    if not _is_whole(path, len(captions)):
        tokens = tokenize(towers, captions)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, tokens.numpy(), allow_pickle=False)
    return path


def _is_whole(path: Path, count: int) -> bool:
    """Whether the tokens of so many captions can be read."""
    with suppress(InputError), own_file(path, ""):
        return len(np.load(path, mmap_mode="r", allow_pickle=False)) == count
    return False


@contextmanager
def open_dataset(dataset: Dataset) -> Iterator[OpenDataset]:
    """Images and tokens of a described dataset, as long as the block lasts."""
    with _opened(dataset) as (index, images, rows, rejects):
        # Mapped copy-on-write, since torch warns of read-only memory; nothing is written.
        tokens = torch.from_numpy(np.load(dataset.tokens, mmap_mode="c", allow_pickle=False))
        uids = index.table.column("uid").take(rows)
        yield OpenDataset(images=images, tokens_nT=tokens, uids=uids, rejects=rejects, unread=index.rejects)


@contextmanager
def _opened(dataset: Dataset) -> Iterator[tuple[Index, Images, Rows, list[Reject]]]:
    index = build_index(
        dataset.shards, cache=dataset.cache / "index", exclude=dataset.exclude, marks=dataset.marks
    )
    rows = np.arange(len(index)) if dataset.uids is None else index.rows(dataset.uids)
    with open_images(
        index,
        rows,
        dataset.spec,
        cache=dataset.cache,
        limit_bytes=dataset.limit_bytes,
        workers=dataset.workers,
    ) as (images, kept, rejects):
        yield index, images, kept, rejects
