"""Image bytes in, pixels out: what a decode worker does, for scoring and for training alike.

The worker loads numpy and Pillow only, and the text detector if a scorer needs it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from thresher.data.images.decode import BadImage, ImageSpec, decode, fit, open_rgb
from thresher.sharded.hashes import HASHED, ImageHashes, hash_image
from thresher.sharded.masking import Masked, TextFree, cover_text, text_free_share
from thresher.sharded.measure import Measure, measure
from thresher.sharded.text_detection import Corners, TextFinder, find_text

if TYPE_CHECKING:
    from thresher.data.index import Index
    from thresher.executor.local import WorkerPool

Form = ImageSpec | Masked | Measure | TextFree | ImageHashes
"""What is wanted of an image: its pixels in some size, numbers measured on it, or its hashes."""


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """Images and every form in which they are wanted.

    `images` are their bytes, or rows of the index that the workers have (see `row_decoder`).
    """

    images: Sequence[Any] | npt.NDArray[np.int64]
    specs: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What each form gives of the images that decode, and why each other image does not.

    Pixels are uint8 [B, H, W, 3], measured numbers float32 [B, F], hashes `HASHED` [B].
    `reasons` has an entry an image, None for a good one; B counts the good ones.
    """

    pixels: tuple[npt.NDArray[Any], ...]
    reasons: tuple[str | None, ...]


def decode_images(task: DecodeTask, read: Callable[[Any], bytes] = bytes) -> Decoded:
    """Decode each image once and bring it into every form; an image is good when it fits all of them."""
    pixels = [blank(spec, len(task.images)) for spec in task.specs]
    reasons: list[str | None] = []
    good = 0
    for image in task.images:
        try:
            for array, found in zip(pixels, _in_forms(read(image), task.specs), strict=True):
                array[good] = found
        except BadImage as error:
            reasons.append(str(error))
        else:
            reasons.append(None)
            good += 1
    return Decoded(tuple(array[:good] for array in pixels), tuple(reasons))


def row_decoder(index: "Index") -> Callable[[DecodeTask], Decoded]:
    """`decode_images` for workers that read the images of `index` themselves."""
    return partial(decode_images, read=index.image_bytes)


def decoded(tasks: Iterable[DecodeTask], pool: "WorkerPool", *, ahead: int) -> Iterator[Decoded]:
    """What comes of each task, in order; at most `ahead` are held."""
    for task, result in pool.map(tasks, ahead=ahead):
        yield survivors(task, result, pool)


def survivors(task: DecodeTask, result: Any, pool: "WorkerPool") -> Decoded:
    """The result of a task; one that killed its workers is decoded again, image by image.

    Only the images that kill a worker again are lost; they are refused like those that do not decode.
    """
    if isinstance(result, Decoded):
        return result
    parts: list[Decoded] = []
    singles = (DecodeTask(task.images[place : place + 1], task.specs) for place in range(len(task.images)))
    for _, part in pool.map(singles, ahead=1):
        if not isinstance(part, Decoded):
            nothing = tuple(blank(spec, 0) for spec in task.specs)
            part = Decoded(nothing, ("decoding this image kills the worker process or never ends",))
        parts.append(part)
    pixels = tuple(np.concatenate([part.pixels[place] for part in parts]) for place in range(len(task.specs)))
    return Decoded(pixels, tuple(part.reasons[0] for part in parts))


def blank(form: Form, count: int) -> npt.NDArray[Any]:
    """Room for `count` images in a form, not filled."""
    if isinstance(form, Measure):
        return np.empty((count, len(form.names)), dtype=np.float32)
    if isinstance(form, TextFree):
        return np.empty((count, 1), dtype=np.float32)
    if isinstance(form, ImageHashes):
        return np.empty(count, dtype=HASHED)
    return np.empty((count, form.size, form.size, 3), dtype=np.uint8)


def _in_forms(data: bytes, forms: tuple[Form, ...]) -> Iterator[Any]:
    """The image in every form; text that was found for one of them is not looked for again."""
    if len(forms) == 1 and isinstance(forms[0], ImageSpec):
        yield decode(data, forms[0])  # spares an image of that size the way through Pillow
        return
    image = open_rgb(data)
    found: dict[TextFinder, Corners] = {}
    for form in forms:
        yield hash_image(data, image) if isinstance(form, ImageHashes) else _in_form(image, form, found)


def _in_form(
    image: Image.Image, form: ImageSpec | Masked | Measure | TextFree, found: dict[TextFinder, Corners]
) -> npt.NDArray[Any]:
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
