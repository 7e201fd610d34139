"""A decode worker: image bytes in, pixels out.

It loads numpy and Pillow only, and the text detector if a scorer needs it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from thresher.data.images.decode import BadImage, ImageSpec, fit, open_rgb
from thresher.sharded.masking import Masked, TextFree, cover_text, text_free_share
from thresher.sharded.measure import Measure, measure
from thresher.sharded.text_detection import Corners, TextFinder, find_text

Form = ImageSpec | Masked | Measure | TextFree
"""What is wanted of an image: its pixels in some size, or numbers measured on it."""


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """Images of neighbouring pairs, and every form in which they are wanted."""

    images: tuple[bytes, ...]
    specs: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What each form gives of the images that decode, and why each other image does not.

    Pixels are uint8 [B, H, W, 3], measured numbers float32 [B, F].
    `reasons` has an entry an image, None for a good one; B counts the good ones.
    """

    pixels: tuple[npt.NDArray[Any], ...]
    reasons: tuple[str | None, ...]


def decode_images(task: DecodeTask) -> Decoded:
    """Decode each image once and bring it into every form; an image is good when it fits all of them."""
    pixels = [blank(spec, len(task.images)) for spec in task.specs]
    reasons: list[str | None] = []
    good: list[int] = []
    for place, data in enumerate(task.images):
        try:
            image = open_rgb(data)
            found: dict[TextFinder, Corners] = {}
            for spec, array in zip(task.specs, pixels, strict=True):
                array[len(good)] = _in_form(image, spec, found)
        except BadImage as error:
            reasons.append(str(error))
        else:
            reasons.append(None)
            good.append(place)
    return Decoded(tuple(array[: len(good)] for array in pixels), tuple(reasons))


def blank(form: Form, count: int) -> npt.NDArray[Any]:
    """Room for `count` images in a form, not filled."""
    if isinstance(form, Measure):
        return np.empty((count, len(form.names)), dtype=np.float32)
    if isinstance(form, TextFree):
        return np.empty((count, 1), dtype=np.float32)
    return np.empty((count, form.size, form.size, 3), dtype=np.uint8)


def _in_form(image: Image.Image, form: Form, found: dict[TextFinder, Corners]) -> npt.NDArray[Any]:
    """The image in a form; the text that was `found` in it for another form is not looked for again."""
    if isinstance(form, Measure):
        return measure(image, form)
    if isinstance(form, ImageSpec):
        return np.asarray(fit(image, form))
    if form.finder not in found:
        found[form.finder] = find_text(image, form.finder)
    boxes = found[form.finder]
    if isinstance(form, TextFree):
        return np.asarray([text_free_share(image.size, boxes)], dtype=np.float32)
    return np.asarray(fit(cover_text(image, boxes), form.spec))
