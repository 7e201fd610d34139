"""What a run trains on: places of images and captions, and batches of them.

Shapes: n unique pairs, B pairs a batch, H x W pixels, T tokens.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thresher.data.pixels import Images
from thresher.models.towers import Towers
from thresher.train.stream import Stream

AHEAD = 4
Rows = npt.NDArray[np.int64]
Batch = tuple[Rows, npt.NDArray[np.uint8], torch.Tensor, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Images and tokens of `n` pairs, of which `rows` are drawn, each `repeats` times an epoch."""

    images: Images
    tokens: torch.Tensor
    rows: Rows
    repeats: Rows

    def feed(self, stream: Stream, share: Callable[[Rows], Rows]) -> Generator[Batch]:
        """Batches of this rank without end, a few fetched ahead.

        Yields:
            Places [B], pixels [B, H, W, 3], tokens [B, T], and the state of the stream after this batch.
        """
        waiting: deque[tuple[Rows, Callable[[], npt.NDArray[np.uint8]], dict[str, Any]]] = deque()
        while True:
            while len(waiting) < AHEAD:
                rows = share(next(stream))
                waiting.append((rows, self.images.submit(rows), stream.state()))
            rows, pixels, state = waiting.popleft()
            yield rows, pixels(), self.tokens[torch.from_numpy(rows)].long(), state


def tokenize(towers: Towers, captions: Sequence[str]) -> torch.Tensor:
    """Tokens of all captions, int32 [n, T], a chunk at a time."""
    chunks = [captions[i : i + 4096] for i in range(0, len(captions), 4096)]
    return torch.cat([towers.tokenize(list(chunk)).int() for chunk in chunks])
