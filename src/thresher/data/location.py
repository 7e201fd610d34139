"""Where a file lies: a local path or an fsspec URL, and the few ways in which we touch it."""

import errno
import os
import shutil
import stat
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, cast

from fsspec.core import url_to_fs

from thresher.errors import InputError, MissingExtra


def is_remote(path: str) -> bool:
    """Whether `path` is an fsspec URL (`s3://...`, `memory://...`) and not a path of this machine."""
    return "://" in path or "::" in path


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path within it; made anew in a forked worker.

    Raises:
        InputError: the protocol is unknown, or its package is not installed (the text says which).
    """
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        if url.startswith(("s3://", "s3a://")):
            raise MissingExtra("s3", f"reading {url}") from error
        raise InputError(f"reading {url} needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise InputError(f"{url} cannot be read: {error}") from error
    return fs, cast(str, path)


def open_binary(path: str) -> IO[bytes]:
    """An open binary file; remote files are read block by block as they are asked for."""
    if is_remote(path):
        fs, inner = filesystem(path)
        return cast(IO[bytes], fs.open(inner, "rb"))
    check_regular(path)
    return Path(path).open("rb")


def check_regular(path: str) -> None:
    """Raise OSError unless `path` is a file; a named pipe would keep its reader waiting for ever."""
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", path)


def copy_to(url: str, file: IO[bytes]) -> None:
    """Copy a remote file, front to back, into an open file."""
    with open_binary(url) as source:
        shutil.copyfileobj(source, file, 2**22)


def read_bytes(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """Bytes `offset` to `offset + length` of a file (to its end without a length)."""
    if is_remote(path):
        fs, inner = filesystem(path)
        return cast(bytes, fs.cat_file(inner, start=offset, end=None if length is None else offset + length))
    with open_binary(path) as file:
        file.seek(offset)
        return file.read() if length is None else file.read(length)


def file_size(path: str) -> int:
    """The size of a file in bytes.

    Raises:
        OSError: the file is absent.
    """
    if is_remote(path):
        fs, inner = filesystem(path)
        return int(fs.size(inner) or 0)
    check_regular(path)
    return Path(path).stat().st_size


def fingerprint(path: str) -> str:
    """Size and modification time of a file, or what the remote file system gives in their place.

    Raises:
        OSError: the file is absent.
    """
    if not is_remote(path):
        status = Path(path).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"
    fs, inner = filesystem(path)
    info = fs.info(inner)
    marks = [
        info.get(name) for name in ("size", "ETag", "etag", "LastModified", "mtime", "created", "generation")
    ]
    return "-".join(str(mark) for mark in marks if mark is not None)


class Handles:
    """Ranges of local files through descriptors that stay open, the most recently used ones of them."""

    def __init__(self, num_open: int = 64) -> None:
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._num_open = num_open

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on: one system call on a file that is open already."""
        descriptor = self._descriptors.get(path)
        if descriptor is None:
            check_regular(path)
            descriptor = os.open(path, os.O_RDONLY)
            self._descriptors[path] = descriptor
            if len(self._descriptors) > self._num_open:
                os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors.move_to_end(path)
        return os.pread(descriptor, length, offset)

    def close(self) -> None:
        """Close every descriptor; reading opens them again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __del__(self) -> None:
        self.close()
