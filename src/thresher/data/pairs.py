"""One record type: an (image, caption) pair with the place of its bytes, or the reason why there is none.

A uid names a pair for good. It is the `uid` of the pair's json when that is 32 hexadecimal digits (DataComp),
else the 16-byte BLAKE2b digest of the image bytes, a NUL byte and the caption in UTF-8, in hexadecimal. So
equal bytes with an equal caption are one pair wherever they lie, and a new caption makes a new pair.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from thresher.data.digests import hasher

IMAGE_EXTS = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "gif", "bmp", "tif", "tiff")
"""Extensions of image members, lower case."""

MAX_CAPTION_CHARS = 10_000
MAX_IMAGE_BYTES = 256 * 2**20
MAX_JSON_BYTES = 4 * 2**20

_IMAGE_EXTS = frozenset(IMAGE_EXTS)
_UID = re.compile(r"[0-9a-fA-F]{32}")


class Member(NamedTuple):
    """Bytes `offset` to `offset + length` of the file `path`; length -1: row `offset` of a table file.

    `ext` is what follows the first dot of a tar member's name, lower case: `jpg`, `txt`, `json`.
    """

    ext: str
    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Pair:
    """An image with its caption; `image_bytes` is None when only places were asked for.

    `members` holds every file of the pair in the order found, the image too. `meta` is the pair's json (or
    the further columns of a table); a class label of a `.cls` member stands in it as `cls`.
    """

    uid: str
    key: str
    caption: str
    shard: str
    image: Member
    members: tuple[Member, ...]
    image_bytes: bytes | None
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """Why something of a shard is not used: `key` is empty when the shard as a whole is meant.

    `offset` is the byte (tar) or the row (table) where the trouble stands, 0 in a folder. `uid` is None where
    none is known. `stage` is the stage that refused: read, exclude, index, decode, ...
    """

    shard: str
    key: str
    uid: str | None
    stage: str
    reason: str
    offset: int


class BadPair(ValueError):
    """A pair that cannot be used; the text is the reason that the quarantine keeps."""


def uid_of(image_bytes: bytes, caption: str) -> str:
    """The derived uid: 32 lower-case hexadecimal digits of BLAKE2b-16 over image, NUL, caption.

    >>> uid_of(b"", "a cat")
    'a538f4128f9290bf975159760aa39424'
    """
    return hasher(image_bytes, b"\0", caption.encode("utf-8")).hexdigest()


def printable(name: str) -> str:
    """`name` with the bytes that are not UTF-8 written out as escapes, so that it can be stored and shown."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def pair_from_members(
    shard: str,
    key: str,
    members: Sequence[Member],
    read: Callable[[Member], bytes],
    *,
    with_images: bool,
    need_caption: bool = True,
    told: tuple[str, dict[str, Any]] | None = None,
) -> Pair:
    """The pair of the files that share `key`: one image, one `.txt`, perhaps `.json` and `.cls`.

    `read` returns the bytes of a member. The image is read when it is asked for or when its uid needs it.
    `told` is a caption, with its `meta`, that stands elsewhere and serves where there is no `.txt`. Without
    `need_caption` a missing one is empty.

    Raises:
        BadPair: the files do not make a pair.
        OSError: `read` failed.
    """
    by_ext: dict[str, Member] = {}
    for member in members:
        if member.ext in by_ext:
            raise BadPair(f"two members with the extension .{member.ext}")
        by_ext[member.ext] = member
    image = _only_image(by_ext)
    if "txt" in by_ext:
        caption, told = decode_caption(_read_text(by_ext["txt"], read)), None
    elif told is None and need_caption:
        raise BadPair(f"no .txt member beside .{image.ext}")
    else:
        caption = told[0] if told is not None else ""
    if need_caption:
        check_caption(caption)
    meta = _read_json(by_ext["json"], read) if "json" in by_ext else {}
    if "cls" in by_ext:
        meta["cls"] = _read_label(by_ext["cls"], read)
    kept = (
        tuple(members) if told is None else (image,)
    )  # as a table's row: what it tells is no file of its own
    meta = meta if told is None else {**told[1], **meta}
    return finish_pair(shard, key, caption, image, kept, lambda: read(image), meta, with_images=with_images)


def finish_pair(
    shard: str,
    key: str,
    caption: str,
    image: Member,
    members: tuple[Member, ...],
    load: Callable[[], bytes],
    meta: dict[str, Any],
    *,
    with_images: bool,
) -> Pair:
    """Check the image's size, find the uid and build the pair; `load` gives the image bytes.

    Raises:
        BadPair: the image is empty or too large.
    """
    if image.length >= 0:
        check_image_size(image.length)
    stored = meta.get("uid")
    uid = stored.lower() if isinstance(stored, str) and _UID.fullmatch(stored) else None
    data = load() if with_images or uid is None else None
    if uid is None:
        assert data is not None
        uid = uid_of(data, caption)
    return Pair(uid, key, caption, shard, image, members, data if with_images else None, meta)


def clean_caption(text: str) -> str:
    """A caption as every format gives it: without a byte-order mark before it and line breaks after it."""
    return text.removeprefix("\ufeff").rstrip("\r\n")


def decode_caption(data: bytes) -> str:
    """The caption in the bytes of a `.txt` file."""
    try:
        return clean_caption(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadPair(f"the caption is not valid UTF-8 (byte {error.start})") from error


def check_caption(caption: str) -> None:
    """Refuse a caption that is empty or longer than `MAX_CAPTION_CHARS`."""
    if not caption.strip():
        raise BadPair("the caption is empty")
    if len(caption) > MAX_CAPTION_CHARS:
        raise BadPair(f"the caption has {len(caption)} characters; at most {MAX_CAPTION_CHARS} are taken")


def check_image_size(num_bytes: int) -> None:
    """Refuse an image without bytes or with more than `MAX_IMAGE_BYTES`."""
    if num_bytes == 0:
        raise BadPair("the image is empty (0 bytes)")
    if num_bytes > MAX_IMAGE_BYTES:
        raise BadPair(f"the image has {num_bytes} bytes; at most {MAX_IMAGE_BYTES} are read")


def _only_image(by_ext: Mapping[str, Member]) -> Member:
    images = [member for ext, member in by_ext.items() if ext in _IMAGE_EXTS]
    if not images:
        raise BadPair(f"no image among the members {', '.join('.' + printable(ext) for ext in by_ext)}")
    if len(images) > 1:
        raise BadPair(f"several images for one caption: {', '.join('.' + member.ext for member in images)}")
    return images[0]


def _read_text(member: Member, read: Callable[[Member], bytes]) -> bytes:
    # four bytes a character at most, a byte-order mark and some line ends: more cannot be a caption we take
    if member.length > 4 * MAX_CAPTION_CHARS + 1024:
        raise BadPair(
            f"the caption has {member.length} bytes; at most {MAX_CAPTION_CHARS} characters are taken"
        )
    return read(member)


def _read_json(member: Member, read: Callable[[Member], bytes]) -> dict[str, Any]:
    if member.length > MAX_JSON_BYTES:
        raise BadPair(f"the json has {member.length} bytes; at most {MAX_JSON_BYTES} are read")
    try:
        meta = json.loads(read(member))
    except RecursionError as error:
        raise BadPair("the json is nested too deeply") from error
    except ValueError as error:
        raise BadPair(f"the json does not parse: {error}") from error
    if not isinstance(meta, dict):
        raise BadPair(f"the json holds a {type(meta).__name__}, not an object")
    return meta


def _read_label(member: Member, read: Callable[[Member], bytes]) -> int | str:
    text = read(member)[:1024].decode("utf-8", "replace").strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
