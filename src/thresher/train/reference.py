"""A reference model's embeddings of the pairs that are trained on.

Shapes: n pairs, B pairs of a batch, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from thresher.errors import InputError
from thresher.selection.embeddings import Embeddings
from thresher.train.pairs import Pairs

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


class ReferenceSource(Protocol):
    """Embeddings by uid; such as `open_embeddings` of `thresher.scores.embeddings.stored`."""

    @property
    def scale(self) -> float:
        """Factor of the cosines in the loss of the model."""
        ...

    @property
    def bias(self) -> float:
        """What the loss adds to them; 0 for a model without one."""
        ...

    def find(self, uids: Sequence[str] | pa.ChunkedArray) -> Rows:
        """Place of each uid; an `InputError` names one that is missing."""
        ...

    def image(self, places: Rows) -> Vectors:
        """Image embeddings of unit length, [B, D]."""
        ...

    def text(self, places: Rows) -> Vectors:
        """Caption embeddings of unit length, [B, D]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Reference embeddings by the rows of `Pairs`."""

    source: ReferenceSource
    places_n: Rows  # -1 for pairs that are never drawn

    def embeddings(self, rows: Rows, device: torch.device) -> Embeddings:
        """Embeddings of `rows`, fp32 on `device`."""
        places = self.places_n[rows]
        return Embeddings(
            image_BD=torch.from_numpy(self.source.image(places)).to(device, non_blocking=True),
            text_BD=torch.from_numpy(self.source.text(places)).to(device, non_blocking=True),
            scale=self.source.scale,
            bias=self.source.bias,
        )


def join(source: ReferenceSource, pairs: Pairs) -> Reference:
    """The embeddings of every pair that is drawn.

    Raises:
        InputError: the pairs have no uids, or one of these has no embedding.
    """
    uids = uids_of(pairs)
    drawn = np.unique(pairs.rows)
    wanted = uids.take(drawn) if isinstance(uids, pa.ChunkedArray) else [uids[row] for row in drawn.tolist()]
    places = np.full(len(uids), -1, dtype=np.int64)
    places[drawn] = source.find(wanted)
    return Reference(source, places)


def uids_of(pairs: Pairs) -> Sequence[str] | pa.ChunkedArray:
    """The uids of all pairs.

    Raises:
        InputError: there are none.
    """
    uids: Sequence[str] | pa.ChunkedArray = pairs.uids if pairs.uids is not None else ()
    if not len(uids):
        raise InputError("selection and a reference find pairs by their uid; give Pairs their `uids`")
    return uids
