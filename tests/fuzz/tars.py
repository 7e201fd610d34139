"""Tar files: damaged headers, odd records, joined and cut archives, held against `tarfile`."""

import functools
import gzip
import io
import json
import tarfile
from random import Random

from tests.data.bad_pool import jpeg
from tests.fuzz.case import Case, must
from tests.fuzz.damage import damaged
from tests.fuzz.scored import check_shard
from tests.small_pool import caption, uid
from thresher.data.pairs import IMAGE_EXTS, Pair, Reject

BLOCK = 512
FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "size": (124, 12),
    "time": (136, 12),
    "checksum": (148, 8),
    "type": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "device": (329, 16),
    "prefix": (345, 155),
}
VALUES = (
    *(
        b"",
        b"\0",
        b" ",
        b"0",
        b"7" * 11,
        b"77777777777\0",
        b"-1",
        b"+5",
        b"0x10",
        b"1_0",
        b"99999999999",
        b"00000000010 ",
    ),
    *(
        b"\x80" + bytes(10) + b"\x01",
        b"\x80" + b"\xff" * 11,
        b"\xff" * 12,
        b"\xff" + b"\xff" * 10 + b"\xfe",
        b"\xd9\xa1" * 5,
    ),
    *(
        b"../up.jpg\0",
        b"/etc/x.jpg\0",
        b"a\\..\\b.jpg\0",
        b"c:\\x.jpg\0",
        b".\0",
        b"x/\0",
        b"k.\xff\xfe.jpg\0",
        b"k..jpg\0",
        b"no-dot\0",
    ),
)
TYPES = b"01234567xgLKSVDMNAX \0\xff"
PAX_KEYS = (
    *("path", "size") * 4,
    "linkpath",
    "mtime",
    "uid",
    "GNU.sparse.major",
    "GNU.sparse.size",
    "GNU.sparse.map",
    "hdrcharset",
    "comment",
    "SCHILY.xattr.user.x",
    "x",
)
PAX_VALUES = (
    *(
        "9" * 5000,
        "1" * 4300,
        "0",
        "",
        "-1",
        "1e3",
        "3",
        "٣",
        "²",
        "1.5",
        "99999999999999999999",
        "0" * 5000 + "7",
    ),
    *(
        "../up.jpg",
        "/abs.jpg",
        "k.jpg",
        "k\0.jpg",
        "new.txt",
        "\ud800.jpg",
        "é.jpg",
        "BINARY",
        "a" * 300 + ".jpg",
        "0,1,2",
    ),
)


def tars(case: Case) -> None:
    data = make_tar(case.random)
    shard = case.inside / case.random.choice(
        ("00000.tar", "a b.tar", "é.tar", "[v2].tar", "a\nb.tar", "x" * 230 + ".tar")
    )
    shard.write_bytes(data)
    case.seal()
    items = check_shard(case, shard)
    compare(data, items)


def make_tar(random: Random) -> bytes:
    """An archive, damaged in one of many ways; every tenth one is whole."""
    data = archive(random, random.randint(1, 6))
    match random.randrange(12):
        case 0:
            return data
        case 1 | 2:
            return damaged(random, data)
        case 3 | 4 | 5:
            return with_odd_field(random, data)
        case 6 | 7:
            return with_odd_record(random, data)
        case 8:
            return data[
                : random.choice((random.randrange(len(data)), random.randrange(len(data)) // BLOCK * BLOCK))
            ]
        case 9:
            other = archive(random, 2, first=random.choice((0, 50)))
            end = data.rstrip(b"\0")
            whole = -(-len(end) // BLOCK) * BLOCK
            return random.choice(
                (data + other, data[:whole] + other, data[:whole] + bytes(BLOCK) + other, data + b"x")
            )
        case 10:
            packed = gzip.compress(data, 1, mtime=0)
            return random.choice((packed, damaged(random, packed), data[:BLOCK] + packed))
        case _:
            place = random.randrange(0, len(data), BLOCK)
            inserted = random.choice((bytes(BLOCK), bytes(2 * BLOCK), random.randbytes(BLOCK), data[:BLOCK]))
            return data[:place] + inserted + data[place:]


@functools.cache
def image(number: int) -> bytes:
    return jpeg(number % 8, (16, 12))


def members(random: Random, number: int) -> list[tuple[str, bytes]]:
    """The files of a pair, perhaps too many or too few, by a plain or an odd name."""
    key = f"{number:05d}"
    if random.random() < 0.3:
        key = (
            random.choice(("a/b/", "./", "é", "x" * 120, "日本/", "", "../", ".", "a.b/", "\udcff", " "))
            + key
        )
    held = [(f"{key}.jpg", image(number)), (f"{key}.txt", caption(number).encode())]
    if random.random() < 0.6:
        held.append((f"{key}.json", json.dumps({"uid": uid(number), "original_width": 400}).encode()))
    if random.random() < 0.3:
        extra = random.choice((".cls", ".png", ".JPG", ".txt", ".seg.png", ".npy", "." + "e" * 300, "./"))
        held.append((key + extra, random.choice((b"3", b"", image(number), b"9" * 5000))))
    if random.random() < 0.15:
        random.shuffle(held)
    if random.random() < 0.1:
        held.pop(random.randrange(len(held)))
    if random.random() < 0.1:
        held.append(random.choice(held))
    return held


def archive(random: Random, pairs: int, first: int = 0) -> bytes:
    """A tar file of pairs in one of the formats, with some special members among them."""
    file = io.BytesIO()
    form = random.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    files = [one for number in range(first, first + pairs) for one in members(random, number)]
    if random.random() < 0.1:
        random.shuffle(files)
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as tar:
        for name, content in files:
            if form == tarfile.USTAR_FORMAT and len(name.encode("utf-8", "surrogateescape")) > 100:
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if form == tarfile.PAX_FORMAT and random.random() < 0.2:
                info.mtime = 1.5
            if random.random() < 0.05:
                info.type = random.choice(
                    (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
                )
                info.linkname = random.choice((files[0][0][:90], "../canary/secret.jpg", "/etc/passwd"))
                info.size = 0
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def headers(data: bytes) -> list[int]:
    """Where `tarfile` finds the headers of plain members."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [info.offset for info in tar] or [0]


def signed(block: bytes) -> bytes:
    """A header with the checksum that it should have."""
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + f"{sum(blank):06o}\0 ".encode() + blank[156:]


def with_odd_field(random: Random, data: bytes) -> bytes:
    """One or more fields of a header replaced, mostly with the right checksum."""
    place = random.choice(headers(data))
    block = bytearray(data[place : place + BLOCK])
    for _ in range(random.choice((1, 1, 2))):
        start, length = FIELDS[random.choice(list(FIELDS))]
        value = random.choice((*VALUES, random.randbytes(length)))[:length]
        if length == 1:
            value = bytes([random.choice(TYPES)])
        block[start : start + length] = value.ljust(length, random.choice((b"\0", b" ", b"0")))
    made = signed(bytes(block)) if random.random() < 0.85 else bytes(block)
    return data[:place] + made + data[place + BLOCK :]


def with_odd_record(random: Random, data: bytes) -> bytes:
    """An extended header (pax or GNU) before a member, well formed or not."""
    place = random.choice(headers(data))
    kind = random.choice((b"x", b"x", b"x", b"g", b"L", b"K", b"X"))
    if kind in b"LK":
        payload = random.choice(
            (b"new.jpg\0", b"../../x.jpg\0", b"n" * 400 + b".jpg\0", b"", b"\0", b"\xff.jpg", b"k\0" * 400)
        )
    else:
        payload = b"".join(record(random) for _ in range(random.choice((1, 1, 2, 5))))
        if random.random() < 0.2:
            payload = damaged(random, payload)
    size = random.choice((len(payload),) * 8 + (0, 2**21, len(payload) + 1))
    block = bytearray(BLOCK)
    block[:8] = b"././@Pax"
    block[100:124] = b"0000644\0" * 3
    block[124:136] = f"{size:011o}\0".encode()
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[257:265] = b"ustar\00000"
    whole = signed(bytes(block)) + payload + bytes(-len(payload) % BLOCK)
    return data[:place] + whole * random.choice((1, 1, 1, 2)) + data[place:]


def record(random: Random) -> bytes:
    text = f" {random.choice(PAX_KEYS)}={random.choice(PAX_VALUES)}\n".encode("utf-8", "surrogatepass")
    length = len(text) + 1
    while length != len(text) + len(str(length)):
        length = len(text) + len(str(length))
    if random.random() < 0.1:
        length = random.choice((0, 1, 10**18, length + 1, length - 1))
    return str(length).encode() + text


def compare(data: bytes, items: list[Pair | Reject]) -> None:
    """Hold what was read against `tarfile`, where that reads the archive and nothing in it is special."""
    files = plain_files(data)
    if files is None:
        return
    by_key: dict[str, list[tuple[int, str, bytes]]] = {}
    for place, (name, content) in enumerate(files):
        split = split_plainly(name)
        if split is not None:
            by_key.setdefault(split[0], []).append((place, split[1], content))
    whole = all(item.key for item in items)
    found = {item.key for item in items}
    if whole:
        names = {key.encode("utf-8", "backslashreplace").decode() for key in by_key}
        must(found == names, f"tarfile has the keys {sorted(names)}, we have {sorted(found)}")
    for item in items:
        if isinstance(item, Pair):
            held = {
                ext: content for _, ext, content in reversed(by_key.get(item.key, []))
            }  # damage may hide the later
            must("txt" in held, f"tarfile has no caption of {item.key}")
            must(held.get(item.image.ext) == item.image_bytes, f"tarfile has another image of {item.key}")
            text = held["txt"].decode().removeprefix("\ufeff").rstrip("\r\n")
            must(text == item.caption, f"tarfile has another caption of {item.key}")
    pairs = {item.key for item in items if isinstance(item, Pair)}
    twins = {item.key for item in items if isinstance(item, Reject) and "duplicate uid" in item.reason}
    for key, held in by_key.items():
        if whole and is_plain_pair(key, held):
            must(key in pairs or key in twins, f"the pair {key!r} is refused and nothing is wrong with it")


def plain_files(data: bytes) -> list[tuple[str, bytes]] | None:
    """Names and contents of all members by `tarfile`; None where it fails, or some are special."""
    files = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                special = (
                    info.issparse() or tar.pax_headers or any("sparse" in key for key in info.pax_headers)
                )
                if special or not info.isreg() or not info.name:
                    return None
                file = tar.extractfile(info)
                assert file is not None
                files.append((info.name, file.read()))
                if len(files[-1][1]) != info.size:
                    return None
            if data[tar.offset : tar.offset + BLOCK].strip(b"\0"):
                return None  # it stopped in silence before the end
    except Exception:  # noqa: BLE001 - whatever it cannot read is no oracle
        return None
    return files


def split_plainly(name: str) -> tuple[str, str] | None:
    while name.endswith("/"):
        name = name[:-1]
    name = name.removeprefix("./")
    *folders, last = name.split("/")
    if "." not in last[1:]:
        return None
    if last.startswith("."):
        return None
    stem = last[: last.index(".")]
    ext = last[last.index(".") + 1 :]
    return ("/".join([*folders, stem]), ext.lower()) if ext else None


def is_plain_pair(key: str, held: list[tuple[int, str, bytes]]) -> bool:
    """Whether nothing at all is odd about a pair: an image, a caption, perhaps a json, side by side."""
    exts = [ext for _, ext, _ in held]
    contents = {ext: content for _, ext, content in held}
    images = [ext for ext in exts if ext in IMAGE_EXTS]
    beside = held[-1][0] - held[0][0] == len(held) - 1
    plain = key.isascii() and not set(key) & set("\\:\0") and not key.startswith("/") and ".." not in key
    if not beside or not plain or len(images) != 1 or not contents[images[0]] or len(set(exts)) != len(exts):
        return False
    if not set(exts) <= {images[0], "txt", "json"} or "txt" not in exts:
        return False
    try:
        text = contents["txt"].decode()
        record = json.loads(contents.get("json", b"{}"))
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and bool(text.strip("\ufeff \r\n\t")) and len(text) < 5000
