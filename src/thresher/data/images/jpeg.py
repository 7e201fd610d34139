"""JPEG bytes to pixels by a leaner decoder than Pillow's, wherever the pixels are the same.

Opening a small JPEG costs Pillow more than decoding it. `simplejpeg` (extra `fast`) drives the same library,
libjpeg-turbo, directly. It is used for the plain files that downloaders of image-text pairs write, and only
after it gave Pillow's pixels, bit for bit, on images made for that; whatever is out of the ordinary is
Pillow's, whose verdict counts.
"""

import functools
import importlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

_SOI = b"\xff\xd8"
_SCAN = 0xDA
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive, all with Huffman codes
_TABLES = frozenset({0xC4, 0xDB, 0xDD, 0xFE})  # Huffman and quantisation tables, restart interval, comment
_JFIF = (0xE0, b"JFIF\0")
_PROFILE = (0xE2, b"ICC_PROFILE\0")  # both readers leave colour profiles alone
_SHORTEST_APP = 16
_SAMPLINGS = frozenset({0x11, 0x21, 0x22})  # 4:4:4, 4:2:2, 4:2:0


def decode_plain(data: bytes, *, max_pixels: int) -> Pixels | None:
    """RGB pixels [H, W, 3] of a plain JPEG, those that Pillow gives; None where Pillow has to look itself.

    That is the case without `simplejpeg`, for other formats, more than `max_pixels`, anything in the header
    that may turn the image or change its colours (EXIF, XMP, Adobe's marker, CMYK), and damaged data.
    """
    decoder = fast_decoder()
    if decoder is None:
        return None
    size = _plain_size(data)
    if size is None or size[0] * size[1] > max_pixels:
        return None
    try:
        return decoder(data)
    except ValueError:  # a warning or an error of the library
        return None


@functools.cache
def fast_decoder() -> Callable[[bytes], Pixels] | None:
    """The decoder beside Pillow, or None where it is not installed or gives other pixels."""
    try:
        decode: Callable[[bytes], Pixels] = importlib.import_module("simplejpeg").decode_jpeg
    except ImportError:
        return None
    same = all(np.array_equal(decode(data), _by_pillow(data)) for data in _samples())
    return decode if same else None


def _by_pillow(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _samples() -> list[bytes]:
    """Small noisy JPEGs of every kind that `_plain_size` lets through."""
    numbers = np.arange(41 * 27 * 3, dtype=np.uint64) * np.uint64(2654435761)
    noise = Image.fromarray(((numbers >> np.uint64(13)) & np.uint64(255)).astype(np.uint8).reshape(41, 27, 3))
    smooth = noise.resize((27, 41), Image.Resampling.BICUBIC, box=(0, 0, 5, 5))
    kinds: list[dict[str, Any]] = [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}]
    images = [(image, kind) for image in (noise, smooth) for kind in (*kinds, {"progressive": True})]
    images.append((noise.convert("L"), {}))
    found = []
    for image, kind in images:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85, **kind)
        found.append(file.getvalue())
    return found


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG of which both readers make the same; None for any other."""
    if data[:2] != _SOI:
        return None
    size, place, end = None, 2, len(data) - 8
    while place < end and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _SCAN:
            return size
        length = data[place + 2] << 8 | data[place + 3]
        if marker in _FRAMES:
            if size is not None or not _plain_frame(data[place + 4 : place + 2 + length]):
                return None
            size = data[place + 7] << 8 | data[place + 8], data[place + 5] << 8 | data[place + 6]
        elif marker not in _TABLES:
            start = data[place + 4 : place + 16]
            known = any(marker == number and start.startswith(name) for number, name in (_JFIF, _PROFILE))
            if not known or length < _SHORTEST_APP:
                return None
        place += 2 + length
    return None


def _plain_frame(frame: bytes) -> bool:
    """Whether a frame header is of 8 bits, not empty, and grey or YCbCr in a usual sampling."""
    if len(frame) < 9 or frame[0] != 8 or frame[1:3] == b"\0\0" or frame[3:5] == b"\0\0":
        return False
    if frame[5] == 1:
        return len(frame) == 9
    return (
        frame[5] == 3
        and len(frame) == 15
        and (frame[6], frame[9], frame[12]) == (1, 2, 3)  # other names may stand for RGB
        and frame[7] in _SAMPLINGS
        and frame[10] == frame[13] == 0x11
    )
