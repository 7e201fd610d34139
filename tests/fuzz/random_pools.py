"""Random pools of pairs as somebody may have them, before they stand in any file."""

import functools
import hashlib
import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

MOST_PAIRS = 50

WORDS = (
    *("a", "red", "dog", "on", "the", "wet", "sand", "photo", "of", "two", "houses", "5'", '27" screen'),
    *(
        "ein Hund läuft",
        "café",
        "cafe\u0301",
        "写真",
        "사진",
        "صورة قطة",
        "\u202eגבר\u202c",
        "🐈‍⬛",
        "👩🏽‍🚀",
        "𝔘",
    ),
    *('"quoted"', '""', "'", "`", "a,b", ";", "|", "\\", "\\n", "=1+1", "<b>", "&amp;", "{0..3}", "%20", "#"),
    *("NULL", "nan", "None", "0.50", "1e5", "IMG_2019.jpg", "other.png", "https://x.org/a.jpg?b", "$HOME"),
    *("\u200f", "\u200b", "\ufeff", "\u2028", "\u2029", "\x85", "\xa0", "\x0b", "\x0c", "\x1c", "\x1f"),
    *("\x01", "\x07", "\x1b[2J", "\x7f", "\ufffd", "\uffff"),
)
BREAKS = ("\n", "\r\n", "\r", "\n\n", "\t", "\t\t")

NAMES = (
    *("photo", "000010005", "007", "IMG 1", "a photo", " first", "last ", "naïve", "naïve".encode().decode()),
    *(
        "e\u0301",
        "写真",
        "صورة",
        "🐈‍⬛",
        "a,b",
        'a "b"',
        "it's",
        "x;y",
        "#1",
        "100%",
        "%20",
        "what?",
        "a&b=c",
    ),
    *(
        "[v2]",
        "{0..3}",
        "*",
        "~",
        "-",
        "--out",
        "C:",
        "12:30",
        "a::b",
        "filecache::a",
        "null",
        "NaN",
        "$HOME",
    ),
    *("a\\b", "tab\tname", "two\nlines", "cr\rname", "\x01", "\x1b[2J", "\x7f", "\u2028", "x" * 120),
    *("é" * 110, "latin\udce9", "_", "(1)", "+", "@", "=", "txt", "json", "uid"),
)
SIZES = ((1, 1), (3, 40), (48, 36), (64, 64), (200, 210), (240, 300), (620, 205))
DOTTED = ("v1.0", "a.b.c", "photo.jpg", "end.", "x.txt", "..up", ".hidden")
FOLDERS = (
    "Notes:",
    "cats",
    "dogs",
    "2019.05",
    "a b",
    "写真",
    "[v2]",
    "deep",
    "C:",
    "a::b",
    "y" * 90,
    "-",
    "...",
    ".git",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPair:
    """A pair in bytes: `caption` and `image` are None where it has none.

    `name` is its path without the extension; bytes that are not UTF-8 stand in it as surrogates. `fields` is
    what its json says, or its further columns. `size` is that of the image when upright, None where it does
    not decode.
    """

    name: str
    ext: str
    image: bytes | None
    caption: bytes | None
    fields: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    @property
    def text(self) -> str | None:
        """The caption as it has to come out; None where the pair has to be refused."""
        try:
            text = (self.caption or b"").decode()
        except UnicodeDecodeError:
            return None
        text = (text[1:] if text[:1] == "\ufeff" else text).rstrip("\r\n")
        return text if text.strip() and len(text) <= 10_000 else None

    @property
    def uid(self) -> str:
        """Its uid: the stated one, else what the documentation derives."""
        stated = self.fields.get("uid")
        if (
            isinstance(stated, str)
            and len(stated) == 32
            and not set(stated.lower()) - set("0123456789abcdef")
        ):
            return stated.lower()
        content = (self.image or b"") + b"\0" + (self.text or "").encode()
        return hashlib.blake2b(content, digest_size=16).hexdigest()


def random_pool(seed: int) -> list[RawPair]:
    """A pool of 0 to 50 pairs in the order of their names; those of even seeds state their uids."""
    rng = random.Random(seed)
    pairs: dict[str, RawPair] = {}
    number = rng.choice((0, 1, 2, rng.randint(3, MOST_PAIRS), rng.randint(3, MOST_PAIRS), MOST_PAIRS))
    sizes = rng.choice((None, None, _whole, _whole, _real, _digits))
    in_one_line = rng.random() < 0.5
    while len(pairs) < number:
        pair = _random_pair(rng, states_uid=seed % 2 == 0, size=sizes)
        if in_one_line and pair.caption is not None:
            pair = replace(pair, caption=re.sub(rb"[\t\r\n]+", b" ", pair.caption))
        if pairs and rng.random() < 0.05:  # the content of another pair, whose uid may repeat as well
            twin = rng.choice(list(pairs.values()))
            caption = (twin.caption or b"") + rng.choice((b"", b"\n", b"\r\n", b" "))
            pair = replace(
                twin, name=pair.name, caption=caption, fields=rng.choice((twin.fields, pair.fields))
            )
        pairs.setdefault(pair.name, pair)
    return [pairs[name] for name in sorted(pairs)]


def _random_pair(
    rng: random.Random, *, states_uid: bool, size: Callable[[random.Random], object] | None
) -> RawPair:
    ext, image, upright = _image(rng)
    fields: dict[str, Any] = {}
    if states_uid:
        fields["uid"] = _uid(rng)
    if size is not None:
        fields |= {"original_width": size(rng), "original_height": size(rng)}
    if rng.random() < 0.5:
        fields["language"] = rng.choice(("en", "EN-gb", "de", "", " ", None))
    caption = _caption(rng)
    if caption is None and image is None:
        caption = b"words alone"
    return RawPair(name=_name(rng), ext=ext, image=image, caption=caption, fields=fields, size=upright)


def _uid(rng: random.Random) -> str | None:
    uid = f"{rng.getrandbits(128):032x}"
    odd = (uid.upper(), uid[1:], f" {uid}", f"{uid}\n", "", None, "g" + uid[1:], "٣" + uid[1:])
    return rng.choice(odd) if rng.random() < 0.1 else uid


def _whole(rng: random.Random) -> int | None:
    odd = (0, -5, None, 199, 200, 10**8, 123_456_789, 10**9, 2**40)
    return rng.choice(odd) if rng.random() < 0.2 else rng.randint(50, 900)


def _real(rng: random.Random) -> float | None:
    odd = (0.0, -1.0, None, float("nan"), float("inf"), 200.5, 1e9, 1e300, 123_456_789.0)
    return rng.choice(odd) if rng.random() < 0.2 else float(rng.randint(50, 900))


def _digits(rng: random.Random) -> str:
    odd = (
        "",
        " ",
        "12a",
        "٣٠٠",
        "-4",
        "+300",
        "1_000",
        " 300",
        "200.5",
        "1e3",
        "nan",
        "9" * 5000,
        "0300",
        "640.0",
        "123456789",
    )
    return rng.choice(odd) if rng.random() < 0.3 else str(rng.randint(50, 900))


def _name(rng: random.Random) -> str:
    folders = [rng.choice(FOLDERS) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    last = rng.choice(DOTTED) if rng.random() < 0.1 else rng.choice(NAMES)
    if rng.random() < 0.7:
        last += rng.choice(("", " ", "-", "_")) + f"{rng.randrange(10**6)}"
    return "/".join([*folders, last])


def _caption(rng: random.Random) -> bytes | None:
    chance = rng.random()
    if chance < 0.03:
        return None
    if chance < 0.12:
        return rng.choice(_ODD_CAPTIONS)
    words = [rng.choice(WORDS) for _ in range(rng.choice((1, 2, 3, 5, 8, 13, 40)))]
    gaps = [rng.choice(BREAKS) if rng.random() < 0.08 else rng.choice((" ", " ", " ", "")) for _ in words]
    text = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    if rng.random() < 0.15:
        text = (
            rng.choice(("\ufeff", '"', " ", ",", "\t", "\n", "\r\n", "'", "\ufeff\ufeff", '\ufeff"')) + text
        )
    if rng.random() < 0.25:
        text += rng.choice(
            ("\n", "\r\n", "\r", "\n\n", " \n", '"', ",", " ", "\t", "\n ", "\\", "\x85", "\u2028")
        )
    return text.encode()


_ODD_CAPTIONS = (
    *(b"", b" ", b"\n", b"\r\n", b"\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\xc2\xa0", b"\x1c\x1d"),
    *(b'"', b'""', b'"""', b",", b'","', b'"a', b'a"', b'"a"', b"\\", b"-", b"x"),
    *(b"caf\xe9", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x90", b"fine \x80\n", b"\xc0\xaf"),
    *(
        ("word " * 2000).encode(),
        b"x" * 10_000,
        b"x" * 10_000 + b"\r\n\n",
        b"x" * 10_001,
        "猫".encode() * 10_000,
        "🐈".encode() * 10_000,
        "🐈".encode() * 10_001,
        b"one\nline " * 1050,
        b"x\n" * 400,
        b'"' * 999,
        b"y" * 70_000,
    ),
)


def _image(rng: random.Random) -> tuple[str, bytes | None, tuple[int, int] | None]:
    """Extension, bytes and upright size."""
    chance = rng.random()
    if chance < 0.03:
        return "jpg", None, None
    kind, size = rng.randrange(len(IMAGES)), rng.choice(SIZES)
    ext, _, turned = IMAGES[kind]
    image = _picture(kind, size, rng.randrange(3))
    if rng.random() < 0.2:
        ext = rng.choice((ext.upper(), "jpg", "JPeg", "png"))  # what a name says binds nobody
    if chance < 0.05:
        return ext, b"", None
    if chance < 0.08:
        return ext, rng.choice((b"<html>404</html>", image[: len(image) // 3], b"\0" * 64)), None
    return ext, image, size[::-1] if turned else size


@functools.cache
def _picture(kind: int, size: tuple[int, int], seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return IMAGES[kind][1](Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def _saver(mode: str, form: str, **options: Any) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.convert(mode).save(file, form, **options)
        return file.getvalue()

    return save


def _few_colours(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.quantize(8).save(file, "PNG", transparency=2)
    return file.getvalue()


def _deep_grey(form: str) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(file, form)
        return file.getvalue()

    return save


def _turned(orientation: int) -> Callable[[Image.Image], bytes]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _saver("RGB", "JPEG", exif=exif)


IMAGES = (
    ("jpg", _saver("RGB", "JPEG"), False),
    ("jpeg", _saver("RGB", "JPEG", progressive=True, subsampling=0), False),
    ("jfif", _saver("L", "JPEG"), False),
    ("jpg", _saver("CMYK", "JPEG"), False),
    *(("jpg", _turned(orientation), orientation > 4) for orientation in (1, 2, 3, 5, 6, 8)),
    *(("png", _saver(mode, "PNG"), False) for mode in ("RGB", "L", "LA", "P", "1", "RGBA")),
    ("png", _few_colours, False),
    ("png", _deep_grey("PNG"), False),
    ("webp", _saver("RGB", "WEBP"), False),
    ("webp", _saver("RGBA", "WEBP", lossless=True), False),
    ("bmp", _saver("RGB", "BMP"), False),
    ("bmp", _saver("1", "BMP"), False),
    ("gif", _saver("P", "GIF"), False),
    *(("tif", _saver(mode, "TIFF"), False) for mode in ("RGB", "L", "CMYK", "1", "RGBA")),
    ("tiff", _deep_grey("TIFF"), False),
)
"""Extension, how a picture is saved, and whether its sides change places when it stands upright."""
