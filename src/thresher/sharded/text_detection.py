"""Where text stands in an image, by an OCR package whose models come with it; nothing is downloaded.

Shapes: N boxes of four corners, x and y in pixels.
"""

import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from thresher.data.images.decode import BadImage
from thresher.errors import InputError, MissingExtra

PACKAGES = ("rapidocr", "onnxruntime")
DETECTOR = "PP-OCRv6_det_small.onnx"
READER = "PP-OCRv6_rec_small.onnx"
SMALLEST_SIDE = 224
STEP = 32
MOST = 2048
SURE = 0.5
FEWEST_CHARACTERS = 2
KINDS = ("read", "all")

Corners = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TextFinder:
    """How text is looked for.

    Attributes:
        boxes: `read` keeps the boxes in which at least two characters can be read, `all` every box of the
            detector, which takes many a star, ring or patch of noise for a letter.
        side: Longer side, in pixels, of the largest image that the detector sees; larger ones are made
            smaller.
    """

    boxes: str = "read"
    side: int = 512

    def __post_init__(self) -> None:
        if self.boxes not in KINDS:
            raise InputError(f"boxes={self.boxes!r} is unknown; use one of {', '.join(KINDS)}")
        if not STEP <= self.side <= MOST:
            raise InputError(f"side={self.side} is not from {STEP} to {MOST} pixels")


def made_by(finder: TextFinder, needed_for: str) -> str:
    """What the boxes of `finder` depend on: its settings and the versions of the packages.

    Raises:
        MissingExtra: a package is not installed.
        InputError: it is installed without its models.
    """
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise MissingExtra("ocr", needed_for)
    for model in (DETECTOR, READER):
        if not (_models() / model).is_file():
            raise InputError(
                f"rapidocr {importlib.metadata.version('rapidocr')} has no {model} in {_models()}; install a "
                'version that brings it: pip install "rapidocr==3.10.0"'
            )
    versions = " ".join(f"{name}-{importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{versions} {DETECTOR} {finder.boxes} {SMALLEST_SIDE}-{finder.side}"


def find_text(image: Image.Image, finder: TextFinder) -> Corners:
    """The boxes of text in an RGB image, float32 [N, 4, 2], in its own pixels, slanted where the text is.

    The detector sees the image with its longer side brought to at least 224 and at most `finder.side` pixels
    (T-MARS detects at 512), and both sides rounded to multiples of 32, which the network needs.

    Raises:
        BadImage: the OCR package fails on the image.
        MissingExtra: it is not installed.
    """
    size = _seen_size(image.size, finder.side)
    seen = image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)
    blue_first = np.ascontiguousarray(np.asarray(seen)[:, :, ::-1])
    reads = finder.boxes == "read"
    engine, failures = _engine()
    try:
        found = engine(blue_first, use_det=True, use_cls=False, use_rec=reads)
    except failures as error:
        raise BadImage(f"text cannot be looked for: {error or type(error).__name__}") from error
    if found.boxes is None or not len(found.boxes):
        return np.empty((0, 4, 2), dtype=np.float32)
    boxes = np.asarray(found.boxes, dtype=np.float32)
    if reads:
        boxes = boxes[[len("".join(text.split())) >= FEWEST_CHARACTERS for text in found.txts]]
    scale = np.divide(image.size, size, dtype=np.float32)
    return boxes * scale


def _seen_size(size: tuple[int, int], most: int) -> tuple[int, int]:
    longest = max(size)
    scale = min(max(longest, SMALLEST_SIDE), most) / longest
    width, height = (max(round(side * scale / STEP), 1) * STEP for side in size)
    return width, height


def _models() -> Path:
    found = importlib.util.find_spec("rapidocr")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "models"


@functools.cache
def _engine() -> tuple[Callable[..., Any], tuple[type[Exception], ...]]:
    """Detector and reader, once a process, and how they fail; on one core, since decode workers are many."""
    try:
        import cv2
        import rapidocr
    except ModuleNotFoundError as error:
        raise MissingExtra("ocr", "finding text in images") from error
    cv2.setNumThreads(1)
    settings = {
        "Global.log_level": "critical",
        "Global.use_cls": False,
        "Global.text_score": SURE,
        "Global.use_preprocess_img": False,
        "Global.use_vertical_padding": False,
        "Det.limit_type": "max",
        "Det.limit_side_len": 2 * MOST,  # images come in the size in which they are to be seen
        "Det.model_path": str(_models() / DETECTOR),  # named, so that the package has nothing to fetch
        "Rec.model_path": str(_models() / READER),
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return rapidocr.RapidOCR(params=settings), (cv2.error, ArithmeticError, LookupError, ValueError)
