"""Pairs of a WebDataset tar file: members whose names share everything before the first dot.

All headers are read before the first pair, so that the verdict on a key knows every place where the key
stands; then the data is read once, front to back. A remote file is first copied to a temporary file, for the
same reason.
"""

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from thresher.data.files.location import check_regular, is_remote, open_binary
from thresher.data.pairs import IMAGE_EXTS, BadPair, Member, Pair, Reject, pair_from_members, printable
from thresher.data.tar import Entry, TarDamage, Window, walk

_MOST_LETTERS = 255  # of an extension, as file systems have it
_PAIR_EXTS = frozenset({*IMAGE_EXTS, "txt", "json", "cls"})


@dataclass(slots=True)
class _Group:
    """Adjacent members of one key; `problem` is the first reason why they cannot be used."""

    key: str
    header: int
    members: list[Member] = field(default_factory=list)
    problem: str | None = None


def read_tar(shard: str, *, with_images: bool, need_caption: bool = True) -> Iterator[Pair | Reject]:
    """Every key of the tar file as a pair or a reject, in the order of their first members.

    Raises:
        OSError: the file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        descriptor = _open(shard, stack)
        groups, damage = _groups(descriptor, shard)
        places = Counter(group.key for group in groups)
        window = Window(descriptor)
        for group in groups:
            times = places[group.key]
            if times == 0:
                continue
            if times > 1:
                places[group.key] = 0  # one reject for all its places
                group.problem = f"the members of this key are not adjacent: they stand in {times} places"
            yield _verdict(window, shard, group, with_images=with_images, need_caption=need_caption)
        if damage is not None:
            yield Reject(shard, "", None, "read", printable(str(damage)), damage.offset)


def _open(shard: str, stack: contextlib.ExitStack) -> int:
    if is_remote(shard):
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
        stack.callback(copy.close)
        with open_binary(shard) as source:
            shutil.copyfileobj(source, copy, 2**22)
        copy.flush()
        return copy.fileno()
    check_regular(shard)
    descriptor = os.open(shard, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def _groups(descriptor: int, shard: str) -> tuple[list[_Group], TarDamage | None]:
    """Runs of adjacent members with one key, and damage that belongs to no key."""
    groups: list[_Group] = []
    try:
        for entry in walk(descriptor):
            split = split_name(entry.name)
            if split is None or (entry.kind == "folder" and split[1] not in _PAIR_EXTS):
                continue
            group = _group_of(groups, split[0], entry.header)
            problem = _problem(entry, split[1])
            group.problem = group.problem or problem
            group.members.append(Member(split[1], shard, entry.offset, entry.size))
    except TarDamage as error:
        split = split_name(error.name) if error.name else None
        if split is None:
            return groups, error
        group = _group_of(groups, split[0], error.offset)
        group.problem = group.problem or printable(str(error))
    return groups, None


def _group_of(groups: list[_Group], key: str, header: int) -> _Group:
    if not groups or groups[-1].key != key:
        groups.append(_Group(key, header))
    return groups[-1]


def split_name(name: str) -> tuple[str, str] | None:
    """Key and lower-case extension of a member's name, cut at the first dot of its last part.

    None for hidden files and names without an extension, which no reader of this format takes for data.

    >>> split_name("./part/000010005.seg.PNG")
    ('part/000010005', 'seg.png')
    """
    name = name.rstrip("/").removeprefix("./")
    folder, slash, last = name.rpartition("/")
    stem, dot, ext = last.partition(".")
    if not dot or not stem or not ext:
        return None
    return folder + slash + stem, ext.lower()


def _problem(entry: Entry, ext: str) -> str | None:
    parts = entry.name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or parts[0][1:] == ":":
        return f"the member name {printable(entry.name)!r} points outside the archive"
    if not entry.name.isascii() and printable(entry.name) != entry.name:
        return f"the member name {printable(entry.name)!r} is not valid UTF-8"
    if "\0" in entry.name:
        return "the member name holds a NUL byte"
    if len(ext) > _MOST_LETTERS:
        return f"the extension .{printable(ext[:20])}... has {len(ext)} characters, more than {_MOST_LETTERS}"
    if entry.kind != "file":
        return f"the member .{ext} is a {entry.kind}, not a file"
    return None


def _verdict(
    window: Window, shard: str, group: _Group, *, with_images: bool, need_caption: bool
) -> Pair | Reject:
    def read(member: Member) -> bytes:
        return window.read(member.offset, member.length)

    key = printable(group.key)
    try:
        if group.problem is not None:
            raise BadPair(group.problem)
        return pair_from_members(
            shard, key, group.members, read, with_images=with_images, need_caption=need_caption
        )
    except BadPair as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    return Reject(shard, key, None, "read", reason, group.header)
