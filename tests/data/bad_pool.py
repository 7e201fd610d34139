"""A pool with every kind of bad input, each written down with what has to become of it."""

import io
import json
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

OK = "ok"
HUGE = 1_000_000
HOSTILE_KEY = "<img src=x onerror=alert(1)>"


def write_bad_pool(folder: Path) -> dict[str, str]:
    """Write tar files into `folder`; what each case has to become.

    A case is the key of a pair, or the name of a tar file when the whole file is meant. It maps to "ok" when
    the pair has to be usable, else to a part of the reason that must stand in the quarantine. Some images are
    refused only when they are decoded: `DECODE_CASES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected = _write_pairs(folder / "00000.tar")
    expected |= _write_truncated(folder / "truncated.tar")
    (folder / "empty.tar").write_bytes(b"")
    expected["empty.tar"] = "0 bytes"
    write_tar(folder / "no_members.tar", [])
    expected["no_members.tar"] = "no pairs"
    (folder / "not_a_tar.tar").write_text("<html>404</html>" * 100, encoding="utf-8")
    expected["not_a_tar.tar"] = "not a tar file"
    return expected


DECODE_CASES = frozenset({"truncated_jpeg", "png_bomb", "not_an_image"})


def write_bad_images(folder: Path) -> dict[str, str]:
    """Write a folder of images with what a file system can do to one; cases as in `write_bad_pool`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("whole", "no_caption", "latin")):
        (folder / f"{name}.jpg").write_bytes(jpeg(30 + number))
    for name in ("whole", "no_image", "directory", "pipe", "broken_link"):
        (folder / f"{name}.txt").write_text(f"the words of {name}", encoding="utf-8")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "directory.jpg").mkdir(exist_ok=True)
    (folder / "broken_link.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "whole": OK,
        "no_caption": "no .txt",
        "no_image": "no image",
        "latin": "not valid UTF-8",
        "directory": "is a folder, not a file",
        "pipe": "a pipe or a broken link",
        "broken_link": "a pipe or a broken link",
    }


def write_refused(folder: Path) -> dict[str, str]:
    """Write inputs that no stage may start on: shard patterns, each with a part of its sentence."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in (0, 2):
        write_tar(folder / f"{number:05d}.tar", pair_members("only", jpeg(1), "a red square"))
    (folder / "directory.tar").mkdir(exist_ok=True)
    (folder / "notes.md").write_text("no shard", encoding="utf-8")
    (folder / "hollow").mkdir(exist_ok=True)
    return {
        f"{folder}/{{00000..00002}}.tar": "00001.tar",
        f"{folder}/{{00000..00002.tar": "never closes",
        f"{folder}/00000}}.tar": "never opened",
        f"{folder}/{{00000-00002}}.tar": "neither a range",
        f"{folder}/directory.tar": "is a folder, not a tar file",
        f"{folder}/absent.tar": "there is no file or folder",
        f"{folder}/nothing-*.tar": "matches nothing",
        f"{folder}/notes.md": "is no shard",
        f"{folder}/hollow": "holds no tar file, image or table",
    }


def jpeg(seed: int, size: tuple[int, int] = (48, 40), **options: object) -> bytes:
    """A JPEG of coloured noise; the same seed gives the same bytes."""
    return encoded(noise(seed, size), "JPEG", **options)


def noise(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    """Smooth coloured noise of a width and height."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def pair_members(
    key: str, image: bytes, caption: str | bytes, uid: str | None = None
) -> list[tuple[str, bytes]]:
    """Names and contents of a pair's members, in the order in which img2dataset writes them."""
    text = caption if isinstance(caption, bytes) else caption.encode("utf-8")
    members = [(f"{key}.jpg", image), (f"{key}.txt", text)]
    if uid is not None:
        members.append((f"{key}.json", json.dumps({"key": key, "uid": uid}).encode()))
    return members


def write_tar(path: Path, members: list[tuple[str, bytes] | tarfile.TarInfo]) -> None:
    """A tar file of the members; a `TarInfo` stands for an entry without data."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))


def png_bomb(side: int = 30_000) -> bytes:
    """A valid PNG of `side` x `side` black pixels, made row by row so that it never stands in memory."""
    packer = zlib.compressobj(6)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _write_pairs(path: Path) -> dict[str, str]:
    members: list[tuple[str, bytes] | tarfile.TarInfo] = []
    expected: dict[str, str] = {}

    def add(key: str, image: bytes, caption: str | bytes, outcome: str, ext: str = "jpg") -> None:
        members.extend([(f"{key}.{ext}", image), *pair_members(key, b"", caption)[1:]])
        expected[key] = outcome

    add("plain", jpeg(2), "a photo of a field", OK)
    add("emoji", jpeg(3), "a cat 🐈‍⬛ and a 🌈", OK)
    add("right_to_left", jpeg(4), "صورة قطة على سجادة", OK)
    add("html", jpeg(5), "<script>alert('caption')</script> & <b>bold</b>", OK)
    members.append((f"{HOSTILE_KEY}.jpg", jpeg(24)))
    expected[HOSTILE_KEY] = "no .txt"
    add("control", jpeg(25), "a dog\x00 and\u202e a\x1b[2J cat", OK)
    add("wordy", jpeg(26), "wordy " * 1500, OK)
    add("cmyk", encoded(noise(6, mode="CMYK"), "JPEG"), "ink on paper", OK)
    add("sixteen_bit", encoded(sixteen_bit(7), "PNG"), "a deep grey scan", OK, "png")
    add("animated", animated(8), "a moving picture", OK, "gif")
    add("palette", encoded(noise(9).quantize(16), "PNG", transparency=0), "few colours", OK, "png")
    add("exif_rotated", exif_rotated(10), "a photo taken upright", OK)
    add("zero_byte_image", b"", "nothing to see", "0 bytes")
    add("truncated_jpeg", jpeg(11, (200, 160), quality=95)[:4000], "half a photo", "truncated")
    add("png_bomb", png_bomb(), "a very large black square", "pixels", "png")
    add("not_an_image", b"<html>404</html>", "a page that was not found", "no image of a known format")
    add("invalid_utf8", jpeg(12), b"caf\xe9 au lait", "not valid UTF-8")
    add("huge_caption", jpeg(13), "word " * (HUGE // 5), "at most 10000 characters")
    add("long_caption", jpeg(14), "x" * 10_001, "at most 10000")
    add("empty_caption", jpeg(15), " \n", "caption is empty")
    add("bad_json", jpeg(16), "a caption", "json does not parse")
    members.append(("bad_json.json", b'{"uid": '))
    members.append(("missing_txt.jpg", jpeg(17)))
    expected["missing_txt"] = "no .txt"
    members.append(("missing_image.txt", b"a caption alone"))
    expected["missing_image"] = "no image"
    for key, outcome in (("twin_first", OK), ("twin_second", "duplicate uid")):
        members.extend(pair_members(key, jpeg(18), "one of two", uid="0123456789abcdef" * 2))
        expected[key] = outcome
    members.extend(
        [("split.jpg", jpeg(19)), *pair_members("between", jpeg(20), "in the way"), ("split.txt", b"far")]
    )
    expected |= {"split": "not adjacent", "between": OK}
    for key in ("../escape", "/absolute", "inner/../../escape"):
        add(key, jpeg(21), "outside", "points outside the archive")
    for key, kind, outcome in (
        ("linked", tarfile.SYMTYPE, "is a link"),
        ("device", tarfile.CHRTYPE, "is a device"),
        ("folder_member", tarfile.DIRTYPE, "is a folder"),
    ):
        info = tarfile.TarInfo(f"{key}.jpg")
        info.type = kind
        info.linkname = "/etc/hostname"
        members.extend([info, (f"{key}.txt", b"not a file")])
        expected[key] = outcome
    write_tar(path, members)
    return expected


def _write_truncated(path: Path) -> dict[str, str]:
    whole = [
        *pair_members("before_cut", jpeg(22), "the pair before"),
        *pair_members("at_cut", jpeg(23), "lost"),
    ]
    write_tar(path, whole)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"at_cut.jpg") + 512 + 700])
    return {"before_cut": OK, "at_cut": "the tar file is cut"}


def sixteen_bit(seed: int) -> Image.Image:
    """A grey image of 16 bits a pixel."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 2**16, (40, 48), dtype=np.uint16))


def animated(seed: int) -> bytes:
    """A GIF of two frames."""
    return encoded(noise(seed), "GIF", save_all=True, append_images=[noise(seed + 100)], duration=40)


def exif_rotated(seed: int) -> bytes:
    """A JPEG whose EXIF tag asks for a quarter turn to the right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(seed, exif=exif)
