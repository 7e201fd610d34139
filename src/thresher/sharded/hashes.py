"""What stands for an image in comparisons: two hashes and a thumbnail. numpy and Pillow only.

The perceptual hash has 64 bits, one for each of the lowest frequencies of the luma but its mean: whether the
coefficient of the discrete cosine transform exceeds half of their mean size. A threshold at zero or at
the median would let the coefficients that are nearly zero (half of them, in a symmetric drawing) fall on
either side by chance. The thumbnail tells apart what has the same outlines in other colours.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

VERSION = "hashes-1"
"""Stands in every part: raise it when the hash of the same image would change."""

SIDE = 32
BITS = 64
THUMBNAIL_BYTES = 96
DEAD_ZONE = 0.5
SMALLEST_COEFFICIENT = 2.0  # of 255; below it a coefficient is noise of the encoder

_FREQUENCIES = 12


HASHED = np.dtype(
    [
        ("sha256", "S32"),
        ("phash", np.uint64),
        ("thumbnail", np.uint8, (THUMBNAIL_BYTES,)),
        ("pixels", np.int64),
    ]
)
"""Of one image: digest of the bytes, perceptual hash, thumbnail (8 x 8 luma, then 4 x 4 of each of the two
chroma channels), width times height."""


@dataclass(frozen=True, slots=True)
class ImageHashes:
    """The hashes of images, as a form in which they are wanted."""


def hash_image(data: bytes, image: Image.Image) -> tuple[Any, ...]:
    """A row of `HASHED`: the hashes of an image of these bytes."""
    return (hashlib.sha256(data).digest(), *perceptual_hash(image), image.width * image.height)


def perceptual_hash(image: Image.Image) -> tuple[int, npt.NDArray[np.uint8]]:
    """The 64 bits and the thumbnail, uint8 [96], of an RGB image.

    >>> blank, _ = perceptual_hash(Image.new("RGB", (40, 30), "white"))
    >>> blank
    0
    """
    small = image.convert("YCbCr").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels_HWC = np.asarray(small, dtype=np.float32)
    coefficients = (_COSINES @ pixels_HWC[..., 0] @ _COSINES.T)[_ROWS, _COLUMNS]
    threshold = max(DEAD_ZONE * float(np.abs(coefficients).mean()), SMALLEST_COEFFICIENT)
    bits = np.packbits(coefficients > threshold).view(">u8")[0]
    luma = pixels_HWC[..., 0].reshape(8, 4, 8, 4).mean(axis=(1, 3))
    chroma = pixels_HWC[..., 1:].reshape(4, 8, 4, 8, 2).mean(axis=(1, 3))
    thumbnail = np.rint(np.concatenate([luma.ravel(), chroma.ravel()])).astype(np.uint8)
    return int(bits), thumbnail


def _cosines() -> npt.NDArray[np.float32]:
    """The first rows of the orthonormal DCT-II of `SIDE` values."""
    angles = np.pi * np.outer(np.arange(_FREQUENCIES), np.arange(SIDE) + 0.5) / SIDE
    matrix = np.cos(angles) * np.sqrt(2 / SIDE)
    matrix[0] /= np.sqrt(2)
    rows: npt.NDArray[np.float32] = matrix.astype(np.float32)
    return rows


def _lowest() -> npt.NDArray[np.int64]:
    """Row and column [2, 64] of the lowest frequencies in the order of their sum, without the mean."""
    places = [(u, v) for u in range(_FREQUENCIES) for v in range(_FREQUENCIES) if u + v]
    return np.array(sorted(places, key=lambda place: (sum(place), place))[:BITS]).T


_COSINES = _cosines()
_ROWS, _COLUMNS = _lowest()
