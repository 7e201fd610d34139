"""Pictures with and without text, and a shard of them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.data.bad_pool import encoded, jpeg, pair_members, write_tar
from tests.small_pool import uid

TEXT = "a brown dog"
SIZE = (200, 120)


def meadow(size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture without text."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([60 + 80 * rows / height, 120 + 60 * columns / width, 90 + 0 * rows], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def with_text(picture: Image.Image, text: str = TEXT, at: tuple[int, int] = (20, 40)) -> Image.Image:
    """The picture with white text over it."""
    written = picture.copy()
    ImageDraw.Draw(written).text(at, text, font=ImageFont.load_default(24), fill=(255, 255, 255))
    return written


def write_written(path: Path, *, first: int = 0) -> None:
    """Six pairs: three with text, two without, and one whose image does not decode."""
    members = []
    for number in range(6):
        picture = meadow((SIZE[0] + 8 * number, SIZE[1]))
        image = encoded(with_text(picture) if number % 2 else picture, "PNG")
        if number == 2:
            image = encoded(picture, "JPEG", quality=95)
        if number == 4:
            image = jpeg(number)[:300]
        key = f"{first + number:09d}"
        members += pair_members(key, image, TEXT, uid(first + number))
    write_tar(path, members)
