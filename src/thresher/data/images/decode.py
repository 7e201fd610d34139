"""Image bytes to pixels: exactly what open_clip feeds a model, before its conversion to a tensor.

open_clip reads shards with webdataset's `pilrgb`, so an image becomes RGB first and is resized after; we do
the same, and turn the image upright by its EXIF orientation before. numpy and Pillow only: decode workers
stay light.
"""

import functools
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from thresher.data.images.jpeg import decode_plain

MAX_PIXELS = 64_000_000
"""Most pixels that an image may have, stored or resized; the header is checked before anything is decoded."""

MAX_SCANNED_PIXELS = 4_000_000_000
"""Most pixels over all scans of a JPEG: a progressive one may hold thousands of them in few bytes."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_RESIZES = ("shortest", "squash")
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0
_SCAN = b"\xff\xda"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# what Pillow's readers raise on malformed files
_MALFORMED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """The pixels that a model takes, `size` x `size`.

    `shortest` brings the shorter side to `size` and cuts out the centre, `squash` changes the aspect ratio.
    """

    size: int
    resize: Literal["shortest", "squash"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"image size {self.size} is below 1 pixel")
        if self.resize not in _RESIZES:
            raise ValueError(f"resize {self.resize!r} is unknown; use one of {', '.join(_RESIZES)}")
        if self.interpolation not in _FILTERS:
            raise ValueError(
                f"interpolation {self.interpolation!r} is unknown; use one of {', '.join(_FILTERS)}"
            )


class BadImage(ValueError):
    """An image that cannot be used; the text is the reason that the quarantine keeps."""


def decode(data: bytes, spec: ImageSpec, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Pixels [H, W, 3], H = W = `spec.size`: RGB, upright, the first frame.

    Alpha is dropped as open_clip drops it; 16-bit grey keeps its high byte.

    Raises:
        BadImage: the bytes are no image of a known format, are cut, have too many pixels, or have pixels
        without
            a meaning in RGB.
    """
    plain = decode_plain(data, max_pixels=max_pixels)
    if plain is not None and plain.shape == (spec.size, spec.size, 3):
        return plain  # resizing to its own size leaves an image as it is
    image = _open_rgb(data, max_pixels) if plain is None else Image.fromarray(plain)
    return np.asarray(fit(image, spec, max_pixels=max_pixels), dtype=np.uint8)


def open_rgb(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image at its own size: RGB, upright, the first frame; refuses like `decode`."""
    plain = decode_plain(data, max_pixels=max_pixels)
    return _open_rgb(data, max_pixels) if plain is None else Image.fromarray(plain)


def _open_rgb(data: bytes, max_pixels: int) -> Image.Image:
    rgb, turn = _load(data, max_pixels)  # here the pixels as they are stored are gone
    return rgb if turn is None else rgb.transpose(turn)


def _load(data: bytes, max_pixels: int) -> tuple[Image.Image, Image.Transpose | None]:
    """RGB pixels, and what turns them upright."""
    if not data:
        raise BadImage("the image is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; what matters here raises
        try:
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise BadImage(f"{width} x {height} pixels; at most {max_pixels} are decoded")
                if image.format == "JPEG" and width * height * data.count(_SCAN) > MAX_SCANNED_PIXELS:
                    raise BadImage(f"{data.count(_SCAN)} scans of {width} x {height} pixels are too many")
                image.load()
                return _to_rgb(image), _turn(image)
        except BadImage:
            raise
        except UnidentifiedImageError as error:
            raise BadImage(f"no image of a known format ({', '.join(_formats())})") from error
        except Image.DecompressionBombError as error:
            raise BadImage(f"more pixels than the {max_pixels} that are decoded") from error
        except _MALFORMED as error:
            raise BadImage(f"cannot be decoded: {error or type(error).__name__}") from error


def fit(image: Image.Image, spec: ImageSpec, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An RGB image resized (and cropped) to `spec`, with torchvision's rounding.

    Raises:
        BadImage: the image is so long and thin that it would have more than `max_pixels` when resized.
    """
    resample = _FILTERS[spec.interpolation]
    if spec.resize == "squash":
        return image.resize((spec.size, spec.size), resample)
    width, height = image.size
    short, long = min(width, height), max(width, height)
    long_after = int(spec.size * long / short)
    if spec.size * long_after > max_pixels:
        raise BadImage(f"{width} x {height} pixels are too long and thin to resize to {spec.size}")
    size = (spec.size, long_after) if width <= height else (long_after, spec.size)
    resized = image.resize(size, resample)
    left, top = round((size[0] - spec.size) / 2.0), round((size[1] - spec.size) / 2.0)
    return resized.crop((left, top, left + spec.size, top + spec.size))


@functools.cache
def _formats() -> list[str]:
    """The formats that this build of Pillow reads, of those that occur in pools of pairs."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What turns the image upright, by its EXIF orientation."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except _MALFORMED:
        return None  # broken metadata on a whole picture


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _high_bits(image)
    if image.mode == "I" and image.format == "PNG":  # older Pillow opens 16-bit grey so
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise BadImage(f"pixels of mode {image.mode} have no fixed range, so they have no meaning in RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_bits(image: Image.Image) -> Image.Image:
    """Grey of 9 to 16 bits by its 8 highest; a TIFF says how many there are, and whether zero is white."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else ImageFileDirectory_v2()
    bits = int(tags.get(_BITS, (16,))[0])
    if not 8 < bits <= 16:
        raise BadImage(f"grey of {bits} bits is not supported")
    grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey).convert("RGB")
