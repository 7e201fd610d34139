import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.data.tar import BLOCK, Entry, TarDamage, _plain_file, walk

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=150).filter(
    lambda name: name not in (".", "..")
)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=1200)), max_size=6)


def packed(members: list[tuple[str, bytes]], tar_format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def walked(data: bytes, path: Path) -> tuple[list[Entry], TarDamage | None]:
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    entries = []
    try:
        for entry in walk(descriptor):
            entries.append(entry)  # noqa: PERF402 - those before the damage count
    except TarDamage as error:
        return entries, error
    finally:
        os.close(descriptor)
    return entries, None


@given(members=MEMBERS, tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_the_walk_agrees_with_the_standard_library(tmp_path_factory, members, tar_format):
    data = packed(members, tar_format)
    entries, damage = walked(data, tmp_path_factory.getbasetemp() / "walk.tar")
    assert damage is None
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        listed = [(info.name, info.offset_data, info.size) for info in tar]
    assert [(entry.name.rstrip("/"), entry.offset, entry.size) for entry in entries] == listed
    assert [data[entry.offset :][: entry.size] for entry in entries] == [content for _, content in members]


@given(members=MEMBERS, cut=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_gives_the_members_before_the_cut_and_says_so(tmp_path_factory, members, cut):
    data = packed(members, tarfile.GNU_FORMAT)
    path = tmp_path_factory.getbasetemp() / "cut.tar"
    whole, _ = walked(data, path)
    keep = int(cut * len(data))
    entries, damage = walked(data[:keep], path)
    assert entries == [entry for entry in whole if entry.offset + entry.size <= keep]
    end_mark = max((entry.offset + -(-entry.size // 512) * 512 for entry in whole), default=0)
    assert (damage is None) == (keep >= end_mark + 512)


@given(members=MEMBERS, place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_never_gives_a_member_outside_the_file(tmp_path_factory, members, place, value):
    data = bytearray(packed(members, tarfile.PAX_FORMAT))
    data[int(place * len(data))] = value
    entries, _ = walked(bytes(data), tmp_path_factory.getbasetemp() / "changed.tar")
    assert all(0 <= entry.offset <= entry.offset + entry.size <= len(data) for entry in entries)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: b"", "empty"),
        (lambda data: b"\x1f\x8b\x08" + data, "compressed"),
        (lambda _: b"<html>" * 200, "not a tar file"),
        (lambda data: data + data, "more data follows the end mark"),
        (lambda data: data[:1024] + b"garbage!" * 64 + data[1536:], "no tar header at byte 1024"),
        (lambda data: data[:1024], "without its end mark"),
    ],
)
def test_damage_is_named(tmp_path, change, reason):
    data = packed([("a.txt", b"one"), ("b.txt", b"two")], tarfile.GNU_FORMAT)
    _, damage = walked(change(data), tmp_path / "x.tar")
    assert damage is not None
    assert reason in str(damage)


def test_links_and_devices_carry_no_data(tmp_path):
    buffer = io.BytesIO()
    kinds = {
        "link": tarfile.SYMTYPE,
        "device": tarfile.BLKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "folder": tarfile.DIRTYPE,
    }
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type = kind
            info.size = 10_000
            tar.addfile(info)
        after = tarfile.TarInfo("after")
        after.size = 5
        tar.addfile(after, io.BytesIO(b"there"))
    entries, damage = walked(buffer.getvalue(), tmp_path / "x.tar")
    assert damage is None
    assert [(entry.name, entry.kind) for entry in entries] == [(kind, kind) for kind in kinds] + [
        ("after", "file")
    ]


def with_checksum(header: bytes) -> bytes:
    """A header whose checksum is right again."""
    total = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    return header[:148] + b"%06o\0 " % total + header[156:]


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    kind=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]),
    place=st.integers(0, BLOCK - 1),
    value=st.integers(0, 255),
    mended=st.booleans(),
)
def test_a_plain_header_is_read_as_the_standard_library_reads_it(name, kind, place, value, mended):
    info = tarfile.TarInfo(name)
    info.size, info.mtime = 12345, 1_700_000_000
    header = bytearray(info.tobuf(kind)[-BLOCK:])
    assert "/" in name or not name.isascii() or _plain_file(bytes(header)) == (name, 12345)
    header[place] = value
    changed = with_checksum(bytes(header)) if mended else bytes(header)
    found = _plain_file(changed)
    if found is not None:
        theirs = tarfile.TarInfo.frombuf(changed, "utf-8", "surrogateescape")
        assert theirs.isreg()
        assert (theirs.name, theirs.size) == found


@pytest.mark.parametrize("filling", [b"a", b"\xff"])
def test_a_checksum_that_is_right_only_modulo_that_of_adler_is_wrong(filling: bytes) -> None:
    info = tarfile.TarInfo("a.jpg")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[157:257], header[346:BLOCK] = filling * 100, filling * 166
    right = with_checksum(bytes(header))
    assert _plain_file(right) == ("a.jpg", 0)
    for off in (-65_521, 65_521):
        wrong = int(right[148:154], 8) + off
        if wrong >= 0:
            assert _plain_file(right[:148] + b"%06o\0 " % wrong + right[156:]) is None


@pytest.mark.parametrize("size", ["9" * 5000, "0" * 5000 + "7", "99999999999999999999", "-1", "1_0", "²", ""])
def test_one_bad_input_ends_the_run_a_pax_size_of_any_form_is_read_or_named(
    tmp_path: Path, size: str
) -> None:
    record = f"size={size}\n".encode()
    length = next(n for n in range(len(record), len(record) + 9) if n == len(f"{n} ") + len(record))
    payload = f"{length} ".encode() + record
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, len(payload)
    data = head.tobuf(tarfile.USTAR_FORMAT) + payload + bytes(-len(payload) % BLOCK)
    info = tarfile.TarInfo("a.txt")
    data += info.tobuf(tarfile.USTAR_FORMAT) + b"a scene".ljust(BLOCK, b"\0") + bytes(2 * BLOCK)
    entries, damage = walked(data, tmp_path / "a.tar")
    if size.endswith("7"):
        assert ([entry.size for entry in entries], damage) == ([7], None)
    else:
        assert entries == []
        assert len(str(damage)) < 200


def extended(kind: bytes, payload: bytes) -> bytes:
    head = tarfile.TarInfo("extended")
    head.type, head.size = kind, len(payload)
    return head.tobuf(tarfile.USTAR_FORMAT) + payload + bytes(-len(payload) % BLOCK)


@pytest.mark.parametrize(
    "heads",
    [
        [(tarfile.XHDTYPE, b"14 path=a.jpg\n"), (tarfile.XHDTYPE, b"13 mtime=1.5\n")],
        [(tarfile.XHDTYPE, b"14 path=a.jpg\n"), (tarfile.XHDTYPE, b"14 path=b.jpg\n")],
        [(tarfile.XHDTYPE, b"14 path=a.jpg\n"), (tarfile.GNUTYPE_LONGNAME, b"b.jpg\0")],
        [(tarfile.GNUTYPE_LONGNAME, b"a.jpg\0"), (tarfile.XHDTYPE, b"14 path=b.jpg\n")],
        [(tarfile.GNUTYPE_LONGNAME, b"a.jpg\0"), (tarfile.GNUTYPE_LONGNAME, b"b.jpg\0")],
    ],
)
def test_of_several_headers_before_a_member_the_first_counts(
    tmp_path: Path, heads: list[tuple[bytes, bytes]]
) -> None:
    """As the standard library has it."""
    data = b"".join(extended(kind, payload) for kind, payload in heads)
    data += tarfile.TarInfo("c.jpg").tobuf(tarfile.USTAR_FORMAT) + bytes(2 * BLOCK)
    entries, damage = walked(data, tmp_path / "a.tar")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [entry.name for entry in entries] == tar.getnames() == ["a.jpg"]
    assert damage is None
