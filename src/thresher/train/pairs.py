"""The pairs a run trains on: rows of images and captions, and batches of them.

Shapes: n unique pairs, B pairs a batch, H x W pixels, T tokens.

Images may be mirrored and shifted on their way from pixels to model input. Which pairs share an image is
known: two captions of one image in a batch would be each other's false negatives.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from thresher.data.digests import number_of
from thresher.errors import InputError
from thresher.models.towers import Towers, to_input
from thresher.selection.keys import uid_keys
from thresher.train.images import DecodedImages, Images, MappedImages
from thresher.train.recipe import Recipe
from thresher.train.stream import Stream

AHEAD = 4
MOST_AHEAD = 65_536
"""Pairs that are fetched ahead, at least one batch: large super-batches would fill the memory."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs in memory: their places, pixels uint8 and tokens int64."""

    rows_B: Rows
    images_BHWC: npt.NDArray[np.uint8]
    tokens_BT: torch.Tensor

    def take(self, places: Rows) -> "Batch":
        """The pairs at `places` of this batch."""
        return Batch(self.rows_B[places], self.images_BHWC[places], self.tokens_BT[torch.from_numpy(places)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Images and tokens of `n` pairs, of which `rows` are drawn, each `repeats` times an epoch.

    Attributes:
        uids: of all `n` pairs; selection and a reference need them.
    """

    images: Images
    tokens: torch.Tensor
    rows: Rows
    repeats: Rows
    uids: Sequence[str] | pa.ChunkedArray | None = None

    def feed(
        self,
        stream: Stream,
        share: Callable[[Rows], Rows],
        size: Callable[[int], int],
        step: int,
    ) -> Generator[tuple[Batch, dict[str, Any]]]:
        """Batches of this rank from step number `step` on without end, a few fetched ahead.

        Args:
            stream: the order of the pairs.
            share: this rank's part of the rows of a step.
            size: pairs that a step draws, over all ranks.
            step: number of the first step.

        Yields:
            A batch, and the state of the stream after it.
        """
        waiting: deque[tuple[Rows, Callable[[], npt.NDArray[np.uint8]], dict[str, Any]]] = deque()
        fetched = 0
        while True:
            while not waiting or (len(waiting) < AHEAD and fetched < MOST_AHEAD):
                rows = share(stream.draw(size(step)))
                waiting.append((rows, self.images.submit(rows), stream.state()))
                step, fetched = step + 1, fetched + len(rows)
            rows, pixels, state = waiting.popleft()
            fetched -= len(rows)
            yield self.fetched(rows, pixels()), state

    def fetched(self, rows: Rows, images_BHWC: npt.NDArray[np.uint8]) -> Batch:
        """The batch of `rows` whose pixels are there."""
        return Batch(rows, images_BHWC, self.tokens[torch.from_numpy(rows)].long())


def tokenize(towers: Towers, captions: Sequence[str]) -> torch.Tensor:
    """Tokens of all captions, int32 [n, T], a chunk at a time."""
    chunks = [captions[i : i + 4096] for i in range(0, len(captions), 4096)]
    return torch.cat([towers.tokenize(list(chunk)).int() for chunk in chunks])


def augment(
    towers: Towers, images_BHWC: npt.NDArray[np.uint8], recipe: Recipe, random: np.random.Generator
) -> torch.Tensor:
    """Model input [B, 3, H, W] with half of the images mirrored and each shifted, as the recipe says."""
    if recipe.crop:
        images_BHWC = _shift(images_BHWC, recipe.crop, random)
    if recipe.flip:
        mirrored = random.random(len(images_BHWC)) < 0.5
        images_BHWC = np.where(mirrored[:, None, None, None], images_BHWC[:, :, ::-1], images_BHWC)
    return to_input(towers, images_BHWC)


def _shift(
    images_BHWC: npt.NDArray[np.uint8], most: int, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    height, width = images_BHWC.shape[1:3]
    down, right = random.integers(-most, most + 1, size=(2, len(images_BHWC), 1))
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    shifted: npt.NDArray[np.uint8] = images_BHWC[
        np.arange(len(images_BHWC))[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return shifted


def uids_of(pairs: Pairs) -> Sequence[str] | pa.ChunkedArray:
    """The uids of all pairs.

    Raises:
        InputError: there are none.
    """
    uids: Sequence[str] | pa.ChunkedArray = pairs.uids if pairs.uids is not None else ()
    if not len(uids):
        raise InputError("selection and a reference find pairs by their uid; give Pairs their `uids`")
    return uids


def selection_keys(pairs: Pairs) -> torch.Tensor:
    """A key for every pair, int64 [n], of its uid; pairs of one image share that of the first.

    Of candidates with one key the selection takes one at most.

    Raises:
        InputError: the pairs have no uids.
    """
    uids = uids_of(pairs)
    keys_n = uid_keys(uids if isinstance(uids, Sequence) else uids.to_pylist())
    rows = np.unique(pairs.rows)
    first = first_of_image(pairs.images, rows)
    keys_n[torch.from_numpy(rows)] = keys_n[torch.from_numpy(first)]
    return keys_n


def first_of_image(images: Images, rows: Rows) -> Rows:
    """For each of `rows` the first of them that has its image.

    Images are the same where their pixels are, if these are in memory or mapped; where they are decoded on
    the way, where they are the same bytes of the same file. Near-duplicates are not found.
    """
    if isinstance(images, MappedImages):
        image_of = np.array([number_of(images.pixels[row].tobytes()) for row in rows], dtype=np.uint64)
    elif isinstance(images, DecodedImages):
        table = images.index.table.select(["image_path", "image_offset"])
        where = table.take(images.rows[rows])
        path = where.column("image_path").combine_chunks().dictionary_encode().indices.to_numpy()
        image_of = np.stack([path, where.column("image_offset").to_numpy()], axis=1)
    else:
        return rows
    _, first, inverse = np.unique(image_of, axis=0, return_index=True, return_inverse=True)
    return rows[first[inverse.reshape(-1)]]
