"""Shard patterns: brace ranges, `::`, globs, folders and URLs become the list of shards they mean.

What exists as it is written is no pattern, nor is a folder whose name holds such marks.
"""

import functools
import glob
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from thresher.data.braces import expand_braces
from thresher.data.files.location import filesystem, is_remote
from thresher.data.pairs import IMAGE_EXTS, printable
from thresher.errors import InputError

TABLE_EXTS = ("csv", "tsv", "parquet")

_QUOTES = "'\""
_log = logging.getLogger(__name__)


def expand(patterns: str | Sequence[str]) -> list[str]:
    """The shards that the patterns mean, each once: in the order given, of globs and folders in sorted order.

    A shard is a tar file, a CSV/TSV/Parquet table, or a folder of images. A folder with tar files means its
    tar files, and a glob that matches tar files means those alone (img2dataset leaves tables beside them).

    Raises:
        InputError: something named does not exist, a pattern matches nothing, a brace is not closed, a file
            or folder is no shard, or a name is not UTF-8.
    """
    if not isinstance(patterns, str) and not patterns:
        raise InputError("no shards were given; name tar files, a table or a folder")
    return _expand(patterns, None)


def expand_files(patterns: str | Sequence[str], ending: str) -> list[str]:
    """The files that the patterns mean, each once, in the order of `expand`.

    A folder means those of its files whose names end in `ending`, and so does a glob.

    Raises:
        InputError: something named does not exist, a pattern matches nothing, or a folder holds no such file.
    """
    return _expand(patterns, ending)


def _expand(patterns: str | Sequence[str], ending: str | None) -> list[str]:
    """Files of an ending; shards without one."""
    given = [patterns] if isinstance(patterns, str) else patterns
    names = [name for pattern in given for source in split_sources(pattern) for name in _braces(source)]
    folders = _RemoteFolders()
    found: dict[str, str] = {}
    again: list[str] = []
    missing: list[str] = []
    for name in names:
        meant = _remote(name, ending, folders) if is_remote(name) else _local(name, ending)
        for shard in meant:
            place = shard if is_remote(shard) else os.path.realpath(shard)
            if place in found:
                again.append(shard)
            found.setdefault(place, shard)
        if not meant:
            missing.append(name)
    if again:
        _say_repeats(len(again), again[0])
    if missing:
        raise InputError(_missing_sentence(missing, len(names), "files" if ending else "shards"))
    wrong = next((name for name in found.values() if printable(name) != name), None)
    if wrong is not None:
        raise InputError(
            f"the name {printable(wrong)} is not valid UTF-8, as shards' names have to be; rename it"
        )
    return list(found.values())


@functools.cache  # patterns are expanded several times in one command
def _say_repeats(count: int, first: str) -> None:
    _log.warning("%d of the files named stand there twice, the first is %s; each counts once", count, first)


def kind_of(shard: str) -> Literal["tar", "table", "folder"]:
    """The kind of a shard, by its name."""
    ext = _extension(shard)
    if ext == "tar":
        return "tar"
    return "table" if ext in TABLE_EXTS else "folder"


def split_sources(pattern: str) -> list[str]:
    """The parts of a pattern between `::`, where a caching protocol stays with the URL it caches.

    >>> split_sources("a.tar::s3://b/{0..1}.tar::filecache::s3://c/2.tar")
    ['a.tar', 's3://b/{0..1}.tar', 'filecache::s3://c/2.tar']
    """
    sources: list[str] = []
    chain = ""
    for part in pattern.split("::"):
        if not part:
            raise InputError(f"the pattern {pattern!r} has nothing on one side of '::'")
        if part != pattern and "/" not in part and _is_protocol(part):
            chain += part + "::"
            continue
        sources.append(chain + part)
        chain = ""
    if chain:
        raise InputError(f"the pattern {pattern!r} ends in a protocol without a path")
    return sources


def _is_protocol(part: str) -> bool:
    from fsspec import available_protocols  # local shards should not wait for it

    return part in available_protocols()


def _braces(source: str) -> list[str]:
    if source.startswith("pipe:") and not Path(source).exists():
        inside = next((f" {word.strip(_QUOTES)}" for word in source.split() if "://" in word), "")
        raise InputError(
            f"{source}: shards are not read through a command; name the files or addresses{inside} themselves"
        )
    if is_remote(source):
        return list(expand_braces(source))
    source = os.path.expanduser(source)  # noqa: PTH111 - Path changes how names are written
    literal = _literal(source, os.path.exists)
    return [literal + rest for rest in expand_braces(source[len(literal) :])]


def _literal(name: str, exists: Callable[[str], bool]) -> str:
    """The longest beginning of a name, to the end of one of its parts, that exists as it is written.

    Braces and marks of globs in it stand for themselves. It is looked for only where there are such.
    """
    ends = [place for place, letter in enumerate(f"{name}/") if letter == "/" and place]
    special = (name[:end] for end in reversed(ends) if any(mark in name[:end] for mark in "*?[{}"))
    return next((beginning for beginning in special if exists(beginning)), "")


def _local(name: str, ending: str | None) -> list[str]:
    if Path(name).is_dir():
        return _folder(name, ending)
    if Path(name).exists():
        return [name] if ending else [_checked_file(name)]
    literal = _literal(name, os.path.exists)
    if not _has_glob(name[len(literal) :]):
        return []
    pattern = glob.escape(literal) + name[len(literal) :]
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob changes names
    if ending:
        return _among(matches, ending)
    usable = _tars(matches) or [
        match for match in matches if kind_of(match) == "table" or Path(match).is_dir()
    ]
    if matches and not usable:
        raise InputError(
            f"the pattern {name} matches no tar file, table or folder; its first match is {matches[0]}"
        )
    return [shard for match in usable for shard in _local(match, None)]


def _folder(folder: str, ending: str | None) -> list[str]:
    """A folder's files of the ending.

    Without one its tar files, else the folder itself when it holds images, else its tables.
    """
    paths = sorted(str(path) for path in Path(folder).iterdir() if not path.name.startswith("."))
    if ending:
        return _only_files(folder, [path for path in paths if not Path(path).is_dir()], ending)
    if kind_of(folder.rstrip("/")) == "tar":
        raise InputError(f"{folder} is a folder, not a tar file; rename it, or name the tar files in it")
    tars = _tars(paths)
    if tars:
        return [_checked_file(path) for path in tars]
    if any(_extension(name) in IMAGE_EXTS for _, _, names in os.walk(folder) for name in names):
        return [folder]
    tables = [path for path in paths if kind_of(path) == "table"]
    if not tables:
        deeper = f"{folder.rstrip('/')}/**/*.tar"
        raise InputError(
            f"the folder {folder} holds no tar file, image or table; of tar files below write '{deeper}'"
        )
    return tables


def _checked_file(path: str) -> str:
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder, not a file; rename it, or name the files in it")
    if kind_of(path) == "folder":
        raise InputError(
            f"{path} is no shard; give .tar files, a .csv, .tsv or .parquet table, or a folder of images"
        )
    return path


def _only_files(folder: str, paths: Sequence[str], ending: str) -> list[str]:
    found = _among(paths, ending)
    if not found:
        raise InputError(
            f"the folder {folder} holds no {ending} file; of files below it write "
            f"'{folder.rstrip('/')}/**/*{ending}'"
        )
    return found


class _RemoteFolders:
    """Listings of remote folders, each asked for once however many names in it are looked up."""

    def __init__(self) -> None:
        self._listed: dict[str, frozenset[str] | None] = {}

    def holds(self, fs: Any, path: str) -> bool:
        parent = path.rpartition("/")[0]
        if parent not in self._listed:
            try:
                self._listed[parent] = frozenset(str(name) for name in fs.ls(parent, detail=False))
            except (FileNotFoundError, NotADirectoryError):
                self._listed[parent] = frozenset()
            except (PermissionError, NotImplementedError):
                self._listed[parent] = None
        names = self._listed[parent]
        return bool(fs.exists(path)) if names is None else path in names


def _remote(name: str, ending: str | None, folders: _RemoteFolders) -> list[str]:
    """Like `_local` for a URL."""
    fs, path = filesystem(name)
    if "::" in name or name.startswith(
        ("http://", "https://")
    ):  # web servers have no listings; `?` is a query
        if "*" in path:
            raise InputError(f"{name}: files cannot be listed there, so name them with a brace range")
        return [name] if fs.exists(path) else []
    literal = _literal(path, fs.exists)
    if _has_glob(path[len(literal) :]):
        pattern = glob.escape(literal) + path[len(literal) :]
        found = _among(sorted(str(match) for match in fs.glob(pattern)), ending)
    elif _is_file(path, ending):
        return [name] if folders.holds(fs, path) else []
    elif fs.isdir(path):
        below = sorted(str(path) for path in fs.ls(path, detail=False))
        found = _only_files(name, below, ending) if ending else _tars(below) or [name]
    else:
        return []
    return [str(fs.unstrip_protocol(match)) for match in found]


def _is_file(name: str, ending: str | None) -> bool:
    return name.lower().endswith(ending) if ending else kind_of(name) != "folder"


def _among(names: Sequence[str], ending: str | None) -> list[str]:
    """The files of the ending; without one the tar files, or the tables where there are none."""
    files = [name for name in names if _is_file(name, ending)]
    return files if ending else _tars(files) or files


def _tars(names: Sequence[str]) -> list[str]:
    return [name for name in names if kind_of(name) == "tar"]


def _has_glob(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _missing_sentence(missing: list[str], num_named: int, noun: str) -> str:
    first = missing[0]
    if _has_glob(first):
        return f"the pattern {first} matches nothing; check the path, and put patterns in quotes"
    if num_named == 1:
        return f"there is no file or folder {first}; check the path"
    return (
        f"{len(missing)} of the {num_named} {noun} named are missing, the first is {first}; correct the "
        "range, and put brace patterns in quotes so that the shell leaves them alone"
    )


def _extension(name: str) -> str:
    _, dot, ext = name.rpartition("/")[2].rpartition(".")
    return ext.lower() if dot else ""
