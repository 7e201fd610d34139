"""The gallery: a few real pairs of each pool, with small images embedded in the page."""

import base64
import contextlib
import dataclasses
import io
from collections.abc import Sequence
from pathlib import PurePath

from PIL import Image

from thresher.data.images.decode import BadImage, open_rgb
from thresher.data.index import Index, build_index
from thresher.data.patterns import expand
from thresher.errors import InputError
from thresher.report.pool_stats import Shown
from thresher.report.wording import cut_caption, number_text

LONGER_SIDE = 192
JPEG_QUALITY = 80


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One pair as the page shows it; `image` is a data URI, or empty with the cause in `problem`."""

    uid: str
    caption: str
    remark: str
    label: str
    scores: list[tuple[str, str]]
    image: str
    problem: str


def cards(
    shown: dict[str, list[Shown]], shards: Sequence[str] | None
) -> tuple[dict[str, list[Card]], list[str]]:
    """The cards of each pool, and sentences on what could not be shown.

    Only shards that hold a chosen pair are read. `shards` are patterns that say where the shards lie now;
    they are matched by path, then by file name. Without them the paths in the pool table are used.
    """
    wanted = sorted({pair.shard for pairs in shown.values() for pair in pairs if pair.shard})
    index, problems = _index(wanted, shards)
    places = {} if index is None else {uid: row for row, uid in enumerate(index.table["uid"].to_pylist())}
    made: dict[str, list[Card]] = {}
    for pool, pairs in shown.items():
        made[pool] = []
        for pair in pairs:
            image, problem = "", "its shard was not at hand"
            if index is not None and pair.uid in places:
                image, problem = _thumbnail(index, places[pair.uid])
            caption, remark = cut_caption(pair.caption)
            made[pool].append(
                Card(
                    uid=pair.uid,
                    caption=caption,
                    remark=remark,
                    label=pair.label,
                    scores=[(name, number_text(value)) for name, value in pair.scores.items()],
                    image=image,
                    problem="" if image else problem,
                )
            )
    return made, problems


def _index(wanted: list[str], shards: Sequence[str] | None) -> tuple[Index | None, list[str]]:
    """An index of the shards that hold the pairs, and a sentence on those that are not there."""
    places = _places(wanted, shards)
    absent = [shard for shard in wanted if shard not in places]
    problems = []
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        problems.append(f"Some images are not shown: {PurePath(absent[0]).name}{more} could not be found.")
    if not places:
        return None, problems
    try:
        return build_index(sorted(set(places.values())), cache=None), problems
    except (OSError, InputError) as error:
        return None, [*problems, f"No images are shown, because their shards could not be read: {error}."]


def _places(wanted: list[str], shards: Sequence[str] | None) -> dict[str, str]:
    """Where each wanted shard lies now: among `shards` by path or else by file name, or at its own path."""
    if shards:
        found = expand(shards)
        by_name = {PurePath(shard).name: shard for shard in found}
        known = {shard: shard if shard in found else by_name.get(PurePath(shard).name) for shard in wanted}
        return {shard: place for shard, place in known.items() if place is not None}
    places = {}
    for shard in wanted:
        with contextlib.suppress(InputError, OSError):
            if expand([shard]) == [shard]:
                places[shard] = shard
    return places


def _thumbnail(index: Index, row: int) -> tuple[str, str]:
    try:
        image = open_rgb(index.image_bytes(row))
    except BadImage as error:
        return "", str(error)
    except (OSError, InputError):
        return "", "its shard can no longer be read"
    image.thumbnail((LONGER_SIDE, LONGER_SIDE))
    return data_uri(image, "JPEG"), ""


def data_uri(image: Image.Image, kind: str) -> str:
    """The image as a JPEG, or without loss as a PNG, inside a `data:` address."""
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=JPEG_QUALITY, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
