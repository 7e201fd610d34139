"""What a scorer is: a fingerprint, the images it wants, and two functions that are given rows.

A model that embeds pairs is one as well: its result has a vector a pair in place of a number.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.pairs import Pair
from thresher.sharded.decode import Form

LANGUAGE_FIELDS = ("language", "LANGUAGE")
"""Fields of a pair's json (columns of its table) that say the language of its caption; the first counts."""

LARGEST_SIZE = 9
"""Digits of a width or height that is taken for meant."""

SIZE = re.compile(rf"[0-9]{{1,{LARGEST_SIZE}}}(\.0*)?")
"""A width or height as text."""


@dataclass(frozen=True, slots=True)
class Row:
    """A pair without its image.

    Attributes:
        uid: Its name for good.
        key: Its name in the shard.
        shard: The shard.
        caption: The caption.
        offset: Where its image lies.
        original: (width, height) before a downloader made the image smaller, where the pair says so.
        language: Language of the caption, where the pair says so.
    """

    uid: str
    key: str
    shard: str
    caption: str
    offset: int
    original: tuple[int, int] | None = None
    language: str | None = None


def row_of(pair: Pair) -> Row:
    """What is kept of a pair; sizes that are no whole numbers above 0 count as not said."""
    meta = pair.meta
    width, height = _whole(meta.get("original_width")), _whole(meta.get("original_height"))
    original = (width, height) if width and height else None
    return Row(pair.uid, pair.key, pair.shard, pair.caption, pair.image.offset, original, _language(meta))


def _language(meta: Mapping[str, Any]) -> str | None:
    for field in LANGUAGE_FIELDS:
        value = meta.get(field)
        if isinstance(value, str) and value.strip():
            return value
    return None


def _whole(value: object) -> int:
    """A size as a whole number, 0 where it is none; tables of text hold it as digits, or as `640.0`."""
    if isinstance(value, str) and SIZE.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**LARGEST_SIZE:
        return 0
    return int(value) if value == int(value) else 0


Images = npt.NDArray[Any]
Pending = Callable[[], npt.NDArray[Any]]
NUMBER = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """An open scorer.

    Attributes:
        fingerprint: Changes whenever the scores of the same pairs would change.
        spec: How the images are wanted, as pixels, numbers measured on them or hashes; None for a scorer of
            captions, which gets no images.
        batch_size: Pairs wanted at once; a scorer of captions takes what the others want.
        prepare: Makes of captions what can be made before their turn (tokens), in a thread beside the model.
        score: (images uint8 [B, H, W, 3], numbers float32 [B, F], or None; what was prepared) -> a function
            that returns the B scores. So a GPU may still be working when the next batch is handed over.
        of_rows: Whether `prepare` gets rows (`Row`) in place of captions.
        result: What the score of one pair is: a float32, or an array.
    """

    fingerprint: str
    spec: Form | None
    batch_size: int
    prepare: Callable[[Sequence[Any]], Any]
    score: Callable[[Images | None, Any], Pending]
    of_rows: bool = False
    result: np.dtype[Any] = NUMBER
