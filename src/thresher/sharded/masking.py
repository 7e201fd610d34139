"""Text in an image covered with the colour around it, as T-MARS does before it scores (arXiv 2307.03132).

Shapes: N boxes of four corners (x, y), h rows and w columns of pixels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from thresher.data.images.decode import ImageSpec
from thresher.sharded.text_detection import Corners, TextFinder

MARGIN, THINNEST_MARGIN = 0.08, 1.0
RING, THINNEST_RING = 0.25, 2.0
"""A share of a box's shorter side, and the fewest pixels."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Masked:
    """A form in which an image may be wanted: its pixels as `spec` says, with text covered before."""

    spec: ImageSpec
    finder: TextFinder

    @property
    def size(self) -> int:
        """Width and height of the pixels."""
        return self.spec.size


@dataclass(frozen=True, slots=True)
class TextFree:
    """A form in which an image may be wanted: the share of its area where no text stands."""

    finder: TextFinder


def cover_text(image: Image.Image, boxes: Corners) -> Image.Image:
    """The RGB image with every box filled; an image without boxes is returned itself.

    A box is made larger by 8% of its shorter side all around, at least by a pixel (letters reach over the
    edge, and JPEG leaves a halo), and gets the mean colour of a ring around it, a quarter of that side wide,
    at least 2 pixels, in which the pixels of other boxes do not count. A box with nothing around it gets the
    mean colour of all that is outside boxes, or of the whole image where nothing is.
    """
    if not len(boxes):
        return image
    pixels_hw3 = np.array(image, dtype=np.uint8)
    grown = [_grown(box, max(MARGIN * _short_side(box), THINNEST_MARGIN)) for box in boxes]
    covered_hw = _covered(grown, image.size)
    outside = pixels_hw3[~covered_hw]
    elsewhere = (outside if len(outside) else pixels_hw3.reshape(-1, 3)).mean(axis=0)
    fills = []
    for box in grown:
        wide = _grown(box, max(RING * _short_side(box), THINNEST_RING))
        rows, columns = _span(wide, image.size)
        ring = _drawn(wide, rows, columns) & ~covered_hw[rows, columns]
        around = pixels_hw3[rows, columns][ring]
        fills.append(around.mean(axis=0) if len(around) else elsewhere)
    for box, colour in zip(grown, fills, strict=True):
        rows, columns = _span(box, image.size)
        pixels_hw3[rows, columns][_drawn(box, rows, columns)] = np.rint(colour).astype(np.uint8)
    return Image.fromarray(pixels_hw3)


def text_free_share(size: tuple[int, int], boxes: Corners) -> float:
    """Share of an image's area (of width and height `size`) outside its boxes; 1 without any."""
    if not len(boxes):
        return 1.0
    return 1.0 - float(np.mean(_covered(list(boxes), size)))


def _covered(boxes: list[Corners], size: tuple[int, int]) -> Mask:
    mask_hw = np.zeros(size[::-1], dtype=np.bool_)
    for box in boxes:
        rows, columns = _span(box, size)
        mask_hw[rows, columns] |= _drawn(box, rows, columns)
    return mask_hw


def _grown(box: Corners, by: float) -> Corners:
    """The box with every side moved outwards by so many pixels."""
    before, after = np.roll(box, 1, axis=0), np.roll(box, -1, axis=0)
    return box + by * (_unit(box - before) + _unit(box - after))


def _unit(vectors: Corners) -> Corners:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Corners = vectors / np.maximum(lengths, 1e-6)
    return unit


def _short_side(box: Corners) -> float:
    return float(np.linalg.norm(box - np.roll(box, 1, axis=0), axis=1).min())


def _span(box: Corners, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of an image of `size` that hold the box."""
    low = np.floor(box.min(axis=0)).clip(0, None).astype(int)
    high = (np.ceil(box.max(axis=0)) + 1).clip(None, size).astype(int)
    return slice(low[1], max(low[1], high[1])), slice(low[0], max(low[0], high[0]))


def _drawn(box: Corners, rows: slice, columns: slice) -> Mask:
    """Which pixels of the rows and columns lie in the box, its border among them."""
    shape = rows.stop - rows.start, columns.stop - columns.start
    if 0 in shape:
        return np.zeros(shape, dtype=np.bool_)
    mask = Image.new("1", shape[::-1])
    corners = [(round(float(x)) - columns.start, round(float(y)) - rows.start) for x, y in box]
    ImageDraw.Draw(mask).polygon(corners, fill=1, outline=1)
    return np.asarray(mask)
