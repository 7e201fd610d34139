"""Images: damaged bytes, odd headers, pixels that are many and files that are few."""

import functools
import io
import struct
import zlib
from random import Random
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from tests.data.bad_pool import encoded, noise, write_tar
from tests.fuzz.case import Case, must
from tests.fuzz.damage import damaged
from tests.fuzz.scored import check_reason, check_shard
from tests.small_pool import caption
from thresher.data.images.decode import BadImage, ImageSpec, decode, open_rgb
from thresher.data.images.jpeg import decode_plain

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
EXTS = {"JPEG": "jpg", "TIFF": "tif"}
SPECS = (ImageSpec(32), ImageSpec(32, "squash", "bilinear"), ImageSpec(224))


def pictures(case: Case) -> None:
    random = case.random
    images = []
    for _ in range(random.choice((1, 2, 3))):
        form = random.choice(FORMATS)
        data = odd(random) if random.random() < 0.25 else whole(random, form)
        if random.random() < 0.8 and len(data) < 2**20:
            data = damaged_image(random, data)
        images.append((random.choice((EXTS.get(form, form.lower()), "jpg", "png")), data))
    files = []
    for number, (ext, data) in enumerate(images):
        files += [(f"{number:05d}.{ext}", data), (f"{number:05d}.txt", caption(number).encode())]
    shard = case.inside / "00000.tar"
    write_tar(shard, files)
    case.seal()
    for _, data in images:
        check_pixels(random, data)
    if random.random() < 0.4:
        check_shard(case, shard, scorers=("image:feature=quality",))


def check_pixels(random: Random, data: bytes) -> None:
    """The same pixels each time, of the right form, or a reason; both decoders of JPEG agree."""
    spec = random.choice(SPECS)
    found: list[Any] = []
    for _ in range(2 if len(data) < 2**16 else 1):
        try:
            found.append(decode(data, spec))
            must(found[-1].shape == (spec.size, spec.size, 3) and found[-1].dtype == np.uint8, "odd pixels")
        except BadImage as error:
            check_reason(str(error))
            found.append(str(error))
    must(len(found) == 1 or np.array_equal(found[0], found[1]), "decoding twice gave two images")
    plain = decode_plain(data, max_pixels=10**6)
    if plain is not None:
        with Image.open(io.BytesIO(data)) as held:
            must(np.array_equal(plain, np.asarray(held.convert("RGB"))), "the two decoders of JPEG differ")
    if random.random() < 0.2:
        try:
            must(open_rgb(data).mode == "RGB", "an image that is not RGB")
        except BadImage as error:
            must(
                isinstance(found[0], str) or "long and thin" in str(error),
                "decoded in one way and not in another",
            )


@functools.cache
def sample(form: str, mode: str, side: int) -> bytes:
    image = noise(side, (side, side * 3 // 4), mode)
    return encoded(image, form)


def whole(random: Random, form: str) -> bytes:
    """An image of a usual or a rare kind of its format."""
    side = random.choice((8, 33, 64))
    modes = {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
        "WEBP": ("RGB", "RGBA"),
        "TIFF": ("RGB", "L", "1", "CMYK", "LAB", "I;16", "F", "YCbCr"),
        "GIF": ("P", "L"),
        "BMP": ("RGB", "L", "1", "P"),
        "AVIF": ("RGB", "RGBA"),
    }
    mode = random.choice(modes[form])
    if mode == "I;16":
        file = io.BytesIO()
        Image.fromarray(np.arange(side * side, dtype=np.uint16).reshape(side, side)).save(file, form)
        return file.getvalue()
    if form == "JPEG" and random.random() < 0.4:
        return encoded(
            noise(side, (side, side)),
            "JPEG",
            progressive=True,
            quality=random.choice((5, 95)),
            exif=exif(random),
        )
    if form == "TIFF" and random.random() < 0.5 and mode in ("RGB", "L"):
        kind = random.choice(("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "raw"))
        return encoded(noise(side, (side, side), mode), "TIFF", compression=kind)
    if form in ("GIF", "WEBP", "PNG") and random.random() < 0.3:
        frames = [noise(number, (side, side)) for number in range(3)]
        return encoded(frames[0], form, save_all=True, append_images=frames[1:])
    try:
        return sample(form, mode, side)
    except (OSError, ValueError, KeyError):
        return sample("PNG", "RGB", side)


def exif(random: Random) -> bytes:
    held = Image.Exif()
    held[0x0112] = random.choice((1, 2, 3, 5, 6, 8, 9, 0, 65535))
    return held.tobytes()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    *more: bytes,
    interlace: int = 0,
    rows: bytes | None = None,
) -> bytes:
    """A PNG of zeros (or of any rows), with other chunks before its pixels."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    if rows is None:
        line = bytes(1 + (width * channels * depth + 7) // 8)
        packer = zlib.compressobj(1)
        rows = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *more, chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )


@functools.cache
def zeros(count: int) -> bytes:
    """So many zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(10**5)) for _ in range(count // 10**5)) + packer.flush()


@functools.cache
def many_frames() -> bytes:
    frames = [noise(number, (8, 8)).quantize(4) for number in range(200)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def odd(random: Random) -> bytes:
    """What is well formed, and still too much of something."""
    bomb = zeros(2 * 10**8 if random.random() < 0.05 else random.choice((10**5, 10**7)))
    palette = chunk(b"PLTE", random.randbytes(3 * random.choice((1, 16, 256, 300))))
    match random.randrange(14):
        case 0:
            return png(8, 8, 8, 2, *[chunk(b"zTXt", b"k\0\0" + bomb)] * random.choice((1, 3)))
        case 1:
            return png(8, 8, 8, 2, chunk(b"iCCP", b"k\0\0" + bomb))
        case 2:
            return png(
                8, 8, 8, 2, *[chunk(b"tEXt", b"k%d\0" % number + b"x" * 1000) for number in range(1000)]
            )
        case 3:
            return png(8, 8, 8, 2, chunk(b"iTXt", b"k\0\x01\0\0\0" + bomb))
        case 4:
            width, height = random.choice(
                ((1, 60_000), (60_000, 1), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5), (2**31, 2**31))
            )
            return png(width, height, 8, 0, rows=zlib.compress(bytes(70_000)))
        case 5:
            return png(
                64,
                64,
                random.choice((1, 2, 4, 8, 16, 3)),
                random.choice((0, 2, 3, 4, 6, 5)),
                palette,
                interlace=random.choice((0, 1, 2)),
            )
        case 6:
            return png(8, 8, 8, 2, rows=bomb)
        case 7:
            control = struct.pack(">II", random.choice((0, 1, 2**31 - 1)), 0)
            frame = struct.pack(">IIIIIHHBB", 0, random.choice((8, 2**31)), 8, 0, 0, 1, 1, 0, 0)
            return png(8, 8, 8, 6, chunk(b"acTL", control), chunk(b"fcTL", frame))
        case 8:
            return many_frames()
        case 9:
            head = struct.pack(
                "<6sHHBBB", b"GIF89a", *random.choice(((65535, 65535), (1, 65535), (0, 0), (8, 8))), 0, 0, 0
            )
            body = (
                b","
                + struct.pack("<HHHHB", 0, 0, *random.choice(((65535, 65535), (8, 8), (0, 0))), 0x80)
                + bytes(6)
                + b"\x02\x02\x4c\x01\x00;"
            )
            return head + body
        case 10:
            return tiff(random)
        case 11:
            side = random.choice((3000, 3000, 7990)) if random.random() < 0.05 else 200
            return png(
                side,
                side,
                random.choice((8, 16)),
                random.choice((0, 2, 4, 6)),
                interlace=random.choice((0, 1)),
            )
        case 12:
            held = PngImagePlugin.PngInfo()
            held.add_text("a", "b" * 10**6, zip=True)
            return encoded(noise(2), "PNG", pnginfo=held)
        case _:
            bits, sides = (
                random.choice((0, 1, 2, 4, 8, 16, 24, 32, 64)),
                random.choice(((8, 8), (8, -8), (2**31 - 1, 1), (30_000, 30_000))),
            )
            head = struct.pack(
                "<IiiHHIIiiII",
                40,
                *sides,
                1,
                bits,
                random.choice((0, 1, 2, 3)),
                0,
                0,
                0,
                random.choice((0, 2**31)),
                0,
            )
            return b"BM" + struct.pack("<IHHI", 400, 0, 0, 54) + head + random.randbytes(400)


def tiff(random: Random) -> bytes:
    """A TIFF of one strip whose tags are any numbers."""
    width, height = random.choice(((8, 8), (8, 8), (60_000, 60_000), (1, 10**9), (0, 8)))
    tags = {
        256: width,
        257: height,
        258: random.choice((1, 8, 12, 16, 32, 9, 0)),
        259: random.choice((1, 1, 5, 8, 7, 32773, 4)),
        262: random.choice((0, 1, 2, 3, 5, 6, 8)),
    }
    tags |= {
        273: 8,
        277: random.choice((1, 3, 4, 0, 65535)),
        278: random.choice((height, 1)),
        279: random.choice((64, 2**31, 10**9)),
        284: random.choice((1, 2)),
        339: random.choice((1, 2, 3)),
    }
    for tag in random.sample(sorted(tags), random.choice((0, 0, 1))):
        del tags[tag]
    body = random.randbytes(192)
    entries = b"".join(
        struct.pack(
            "<HHII", tag, random.choice((4, 4, 4, 3, 2, 5, 12, 99)), random.choice((1, 1, 1, 2, 2**30)), value
        )
        for tag, value in sorted(tags.items())
    )
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(body))
        + body
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", random.choice((0, 8, 8 + len(body))))
    )


def damaged_image(random: Random, data: bytes) -> bytes:
    """Damage anywhere, mostly to the headers at the beginning; a PNG may get right checksums again."""
    match random.randrange(5):
        case 0 | 1:
            return damaged(random, data)
        case 2:
            return damaged(random, data[:200]) + data[200:]
        case 3:
            return data[: random.randrange(len(data) + 1)]
        case _:
            return with_right_sums(damaged(random, data))


def with_right_sums(data: bytes) -> bytes:
    if not data.startswith(b"\x89PNG"):
        return data
    made, place = data[:8], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        if place + 12 + length > len(data):
            break
        made += chunk(data[place + 4 : place + 8], data[place + 8 : place + 8 + length])
        place += 12 + length
    return made + data[place:]
