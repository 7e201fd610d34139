"""A decoder that never ends with one image: the one whose JPEG header says 44 pixels wide."""

import io
import time

from PIL import Image

from thresher.sharded import decode
from thresher.sharded.decode import Decoded, DecodeTask


def decode_images(task: DecodeTask) -> Decoded:
    for data in task.images:
        with Image.open(io.BytesIO(data)) as image:
            if image.width == 44:
                time.sleep(600)
    return decode.decode_images(task)
