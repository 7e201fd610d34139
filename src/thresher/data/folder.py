"""Pairs of a folder of images: `photo.jpg` with `photo.txt`, and perhaps `photo.json`, at any depth.

The captions of images without a `.txt` may stand in a `metadata.jsonl` beside them, as Hugging Face has it.
"""

import json
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thresher.data.files.location import filesystem, is_remote, open_binary, read_bytes
from thresher.data.pairs import IMAGE_EXTS, BadPair, Member, Pair, Reject, pair_from_members, printable
from thresher.data.table import CAPTION_COLUMNS, caption_of

_EXTS = frozenset({*IMAGE_EXTS, "txt", "json", "cls"})
METADATA = "metadata.jsonl"
_NO_CAPTION = f"no .txt beside the image, and its row of {METADATA} has none of {', '.join(CAPTION_COLUMNS)}"
_TABLES = ("metadata.csv", "metadata.parquet")
_IS_FOLDER = -2
_UNREADABLE = -3


def read_folder(folder: str, *, with_images: bool, need_caption: bool = True) -> Iterator[Pair | Reject]:
    """Every name with an image or a caption as a pair or a reject, sorted by key.

    The key is the path below the folder without the last extension. Hidden files, files of other kinds and a
    json without image and caption are no part of the pool.

    Raises:
        OSError: the folder cannot be listed.
    """
    groups: dict[str, list[Member]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, path, length in sorted(_files(folder)):
        key, _, ext = name.rpartition(".")
        if name.rpartition("/")[2] != METADATA:
            groups.setdefault(key, []).append(Member(ext.lower(), path, 0, length))
            continue
        for number, row in _rows(path):
            reason = f"line {number} of {name} is no JSON object with a text `file_name`"
            if row is not None:
                image = posixpath.normpath(name[: -len(METADATA)] + row.pop("file_name"))
                if rows.setdefault(image.rpartition(".")[0] or image, row) is row:
                    continue
                reason = f"line {number} of {name} names an image again; its first row counts"
            yield Reject(folder, name, None, "read", reason, 0)
    for key in sorted({*groups, *rows}):
        members, row = groups.get(key, []), rows.get(key)
        if row is not None or any(member.ext not in ("json", "cls") for member in members):
            yield _verdict(folder, key, members, row, with_images=with_images, need_caption=need_caption)


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Number and row of each line of a `metadata.jsonl`; None for one that names no file."""
    with open_binary(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            file_name = row.get("file_name") if isinstance(row, dict) else None
            yield number, row if isinstance(file_name, str) and file_name else None


def _told(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Caption and meta of a row."""
    lower = {name.lower(): name for name in reversed(row)}
    column = next((lower[name] for name in CAPTION_COLUMNS if name in lower), None)
    if column is None:
        raise BadPair(_NO_CAPTION)
    return caption_of(row[column]), {name: value for name, value in row.items() if name != column}


def fingerprint_folder(folder: str) -> str:
    """Names, sizes and (of a local folder) modification times of the files that `read_folder` reads."""
    lines = []
    for name, path, length in sorted(_files(folder)):
        time = 0 if is_remote(path) or length < 0 else Path(path).stat().st_mtime_ns
        lines.append(f"{name}\0{length}\0{time}")
    return "\n".join(lines)


def _files(folder: str) -> Iterator[tuple[str, str, int]]:
    """Name below the folder, full path and size of every file with an extension of a pair."""
    if is_remote(folder):
        fs, root = filesystem(folder)
        for path, info in fs.find(root, detail=True).items():
            name = str(path)[len(root.rstrip("/")) + 1 :]
            if _wanted(name):
                yield name, str(fs.unstrip_protocol(path)), int(info["size"] or 0)
        return
    for parent, folders, names in os.walk(folder, onerror=_fail):
        inner = Path(parent).relative_to(folder).as_posix()
        prefix = "" if inner == "." else inner + "/"
        for name in folders:
            if _wanted(name):
                yield prefix + name, str(Path(parent) / name), _IS_FOLDER
        folders[:] = [name for name in folders if not name.startswith(".") and not _wanted(name)]
        for name in names:
            if _wanted(name):
                path = Path(parent) / name
                yield prefix + name, str(path), path.stat().st_size if path.is_file() else _UNREADABLE


def _fail(error: OSError) -> None:
    raise error


def _wanted(name: str) -> bool:
    last = name.rpartition("/")[2]
    stem, _, ext = last.rpartition(".")
    return last == METADATA or (bool(stem) and not last.startswith(".") and ext.lower() in _EXTS)


def _verdict(
    folder: str,
    key: str,
    members: list[Member],
    row: dict[str, Any] | None,
    *,
    with_images: bool,
    need_caption: bool,
) -> Pair | Reject:
    def read(member: Member) -> bytes:
        return read_bytes(member.path)

    try:
        if printable(key) != key:
            raise BadPair(f"the file name {printable(key)!r} is not valid UTF-8")
        for member in members:
            if member.length == _IS_FOLDER:
                raise BadPair(f"the member .{member.ext} is a folder, not a file")
            if member.length == _UNREADABLE:
                raise BadPair(
                    f"the member .{member.ext} is no file that can be read (a pipe or a broken link)"
                )
        if not members:
            raise BadPair(f"{METADATA} names it, and there is no such image")
        told = None
        if row is not None and need_caption and all(member.ext != "txt" for member in members):
            told = _told(row)
        return pair_from_members(
            folder, key, members, read, with_images=with_images, need_caption=need_caption, told=told
        )
    except BadPair as error:
        reason = str(error)
        table = next((name for name in _TABLES if (Path(folder) / name).exists()), None)
        if table is not None and reason.startswith("no .txt"):
            reason += f"; captions of {table} are read where that file is named in place of the folder"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
    return Reject(folder, printable(key), None, "read", reason, 0)
