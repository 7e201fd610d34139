"""A score of the caption's text alone, from four counts that cost microseconds."""

import math
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np

from thresher.sharded.scorer import Scorer

VERSION = "caption-1"
SATURATION_WORDS = 5.0
BATCH_SIZE = 1024

# One word: an ideograph or kana (written without spaces), or a run of other letters and digits.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W_{_IDEOGRAPH}]+(?:['’-][^\W_{_IDEOGRAPH}]+)*")


def caption_quality() -> Scorer:
    """Scores captions by `quality`; no image is decoded and no model is loaded."""
    return Scorer(
        fingerprint=VERSION,
        spec=None,
        batch_size=BATCH_SIZE,
        prepare=lambda captions: [quality(caption) for caption in captions],
        score=lambda _, qualities: lambda: np.asarray(qualities, dtype=np.float32),
    )


def quality(caption: str) -> float:
    """How much a caption looks like a description, from 0 to 1.

    With n words, u of them different (case ignored), r that repeat the word before them, and the share a of
    letters among the characters that are not white space:

        (1 - exp(-u / 5))  *  u / n  *  (1 - r / n)  *  a

    The four factors are: enough different words, few that come again, none that stutter, and letters rather
    than numbers, links and file names. A caption without a word scores 0.

    >>> round(quality("a brown dog runs over the wet sand"), 2), round(quality("IMG_20190412_1234.jpg"), 2)
    (0.8, 0.16)
    >>> quality("sale sale sale sale") < quality("a chair") < quality("a red chair by a window")
    True
    """
    words: list[str] = [word.casefold() for word in _WORD.findall(caption)]
    if not words:
        return 0.0
    different = len(set(words))
    repeats = sum(word == before for before, word in pairwise(words))
    enough = 1.0 - math.exp(-different / SATURATION_WORDS)
    return enough * (different / len(words)) * (1.0 - repeats / len(words)) * letter_share(caption)


def letter_share(text: str) -> float:
    """Share of letters and combining marks among the characters that are not white space; 0 without any."""
    letters = shown = 0
    for character, count in Counter(text).items():
        if character.isspace():
            continue
        shown += count
        if unicodedata.category(character)[0] in "LM":
            letters += count
    return letters / shown if shown else 0.0
