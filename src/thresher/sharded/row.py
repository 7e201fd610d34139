"""What is known about a pair before its image is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thresher.data.pairs import Pair

LANGUAGE_FIELDS = ("language", "LANGUAGE")
"""Fields of a pair's json (columns of its table) that say the language of its caption; the first counts."""

ROW_COLUMNS = ("uid", "key", "shard", "caption")
"""Columns of a score table that are no scores."""


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
    """A size as a whole number; tables of text hold it as digits."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(value, 0)
    if isinstance(value, float):
        return int(value) if value.is_integer() and value > 0 else 0
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else 0
