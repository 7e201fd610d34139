"""A decoder that never ends with one image: the one whose JPEG header says 44 pixels wide."""

import io
import time

from PIL import Image

from thresher.sharded import decode
from thresher.sharded.decode import Decoded, DecodeTask


def never_ends(task: DecodeTask) -> bool:
    """Whether the image is among those of the task."""
    for data in task.images:
        with Image.open(io.BytesIO(data)) as image:
            if image.width == 44:
                return True
    return False


def decode_images(task: DecodeTask) -> Decoded:
    if never_ends(task):
        time.sleep(3600)
    return decode.decode_images(task)
