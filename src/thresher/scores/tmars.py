"""Similarity of caption and image with the image's text covered, so that reading it does not help.

T-MARS (arXiv 2307.03132) finds text, covers it with the colour around it, scores the covered image with CLIP
and keeps the better half: `thresher cut --by tmars --edges 0.5`.
"""

import dataclasses

import numpy as np

from thresher.data.images.decode import ImageSpec
from thresher.scores.clip import clip_similarity
from thresher.sharded.masking import Masked, TextFree
from thresher.sharded.scorer import Images, Pending, Scorer
from thresher.sharded.text_detection import TextFinder, made_by

VERSION = "tmars-1"
FREE_VERSION = "text_free-1"
BATCH_SIZE = 32


def masked_similarity(
    *,
    model: str = "ViT-B-32",
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "auto",
    boxes: str = "read",
    side: int = 512,
) -> Scorer:
    """Scores pairs by the cosine of their embeddings once the text in the image is covered, from -1 to 1.

    An image without text has the score that `clip` gives it.

    Args:
        model: As for `clip_similarity`.
        pretrained: As for `clip_similarity`.
        device: As for `clip_similarity`.
        batch_size: As for `clip_similarity`.
        precision: As for `clip_similarity`.
        boxes: `read` covers the boxes in which two characters or more can be read, `all` every box of the
            detector.
        side: Longer side, in pixels, of the largest image that the detector sees; half of it costs a quarter.

    Raises:
        InputError: an option cannot be had.
        MissingExtra: torch, open_clip or the OCR package is not installed.
    """
    finder = TextFinder(boxes, side)
    made = made_by(finder, "the scorer tmars")
    clip = clip_similarity(
        model=model, pretrained=pretrained, device=device, batch_size=batch_size, precision=precision
    )
    assert isinstance(clip.spec, ImageSpec)
    return dataclasses.replace(
        clip, fingerprint=f"{VERSION} {made} {clip.fingerprint}", spec=Masked(clip.spec, finder)
    )


def text_free(*, boxes: str = "read", side: int = 512) -> Scorer:
    """Scores pairs by the share of the image's area where no text stands, from 0 to 1.

    Beside `tmars` with the same `boxes` and `side` it costs nothing: text is looked for once an image.

    Args:
        boxes: As for `masked_similarity`.
        side: As for `masked_similarity`.

    Raises:
        InputError: an option cannot be had.
        MissingExtra: the OCR package is not installed.
    """
    finder = TextFinder(boxes, side)

    def score(share_B1: Images | None, _captions: object) -> Pending:
        assert share_B1 is not None
        return lambda: np.asarray(share_B1[:, 0], dtype=np.float32)

    return Scorer(
        fingerprint=f"{FREE_VERSION} {made_by(finder, 'the scorer text_free')}",
        spec=TextFree(finder),
        batch_size=BATCH_SIZE,
        prepare=lambda _captions: None,
        score=score,
    )
