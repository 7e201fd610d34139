"""What a decode worker does: the bytes of some images in, their pixels out. numpy and Pillow only."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.data.images import BadImage, ImageSpec, fit, open_rgb


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """Images of neighbouring pairs, and every form in which they are wanted."""

    images: tuple[bytes, ...]
    specs: tuple[ImageSpec, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels of the images that decode, uint8 [B, H, W, 3] for each spec, and why each other image does not.

    `reasons` has an entry an image, None for a good one; B counts the good ones.
    """

    pixels: tuple[npt.NDArray[np.uint8], ...]
    reasons: tuple[str | None, ...]


def decode_images(task: DecodeTask) -> Decoded:
    """Decode each image once and fit it to every spec; an image is good when it fits all of them."""
    pixels = [np.empty((len(task.images), spec.size, spec.size, 3), dtype=np.uint8) for spec in task.specs]
    reasons: list[str | None] = []
    good: list[int] = []
    for place, data in enumerate(task.images):
        try:
            image = open_rgb(data)
            for spec, array in zip(task.specs, pixels, strict=True):
                array[len(good)] = np.asarray(fit(image, spec))
        except BadImage as error:
            reasons.append(str(error))
        else:
            reasons.append(None)
            good.append(place)
    return Decoded(tuple(array[: len(good)] for array in pixels), tuple(reasons))
