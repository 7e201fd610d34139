"""A decoder that dies of one image: the one whose JPEG header says 44 pixels wide."""

import io
import os
import signal

from PIL import Image

from thresher.sharded import decode
from thresher.sharded.decode import Decoded, DecodeTask


def decode_images(task: DecodeTask) -> Decoded:
    for data in task.images:
        with Image.open(io.BytesIO(data)) as image:
            if image.width == 44:
                os.kill(os.getpid(), signal.SIGSEGV)
    return decode.decode_images(task)
