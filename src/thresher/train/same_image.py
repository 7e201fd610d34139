"""Which pairs share an image: two captions of one image in a batch would be each other's false negatives."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from thresher.data.digests import number_of
from thresher.selection.keys import uid_keys
from thresher.train.images import DecodedImages, Images, MappedImages
from thresher.train.pairs import Pairs
from thresher.train.reference import uids_of

Rows = npt.NDArray[np.int64]


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
