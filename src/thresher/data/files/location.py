"""Files at a local path or an fsspec URL, and the few operations we need on them."""

import contextlib
import errno
import functools
import os
import re
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from thresher.errors import InputError, MissingExtra

NEAR = 2**20
"""Bytes between two ranges of a remote file that are rather read than asked around."""

LARGEST_REQUEST = 32 * 2**20

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "memory"})
"""Protocols under which a file appears only when all of it has been written."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_SERVED = re.compile(r"bytes (\d+)-(\d+)/")


def is_remote(path: str) -> bool:
    """Whether `path` is an fsspec URL (`s3://...`, `memory://...`) and not a path of this machine."""
    return "://" in path


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path within it; made anew in a forked worker.

    Raises:
        InputError: the protocol is unknown, or its package is not installed (the text says which).
    """
    from fsspec.core import url_to_fs  # planning writes local files alone, and should not wait for it

    protocols = [name for name in ("http", "https") if f"{name}://" in url]
    try:
        fs, path = url_to_fs(url, **{name: {"client_kwargs": _checked_ranges()} for name in protocols})
    except ImportError as error:
        if url.startswith(("s3://", "s3a://")):
            raise MissingExtra("s3", f"reading {url}") from error
        raise InputError(f"reading {url} needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise InputError(f"{url} cannot be read: {error}") from error
    return fs, cast(str, path)


@contextlib.contextmanager
def _store(url: str) -> Iterator[tuple[Any, str]]:
    """As `filesystem`; errors of its client that are no OSError become one sentence with its remedy.

    Raises:
        InputError: there are no credentials, or the store cannot be reached.
    """
    fs, inner = filesystem(url)
    try:
        yield fs, inner
    except _store_errors() as error:
        remedy = "check the address and the credentials"
        if "Credentials" in type(error).__name__:
            remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile in AWS_PROFILE"
        raise InputError(f"{url} cannot be reached ({error}); {remedy}") from error


def _store_errors() -> tuple[type[Exception], ...]:
    """What the client of S3 raises beside OSError, where it is loaded."""
    loaded = sys.modules.get("botocore.exceptions")
    return (loaded.BotoCoreError,) if loaded is not None else ()


@functools.cache
def _checked_ranges() -> dict[str, Any]:
    """Arguments of an HTTP client that raises OSError where a server answers a range with other bytes."""
    from aiohttp import TraceConfig

    async def check(_: object, __: object, answer: Any) -> None:
        asked = _RANGE.fullmatch(answer.headers.get("Range", ""))
        status, headers = answer.response.status, answer.response.headers
        if asked is None or status not in (200, 206):
            return
        start, end = int(asked[1]), int(asked[2] or sys.maxsize)
        if status == 206:
            served = _SERVED.match(headers.get("Content-Range", ""))
            right = served is not None and int(served[1]) == start and int(served[2]) <= end
        else:
            right = start == 0 and int(headers.get("Content-Length", 0)) <= end + 1
        if not right:
            raise no_ranges(str(answer.url))

    trace = TraceConfig()
    trace.on_request_end.append(check)
    return {"trace_configs": [trace]}


def no_ranges(url: str) -> OSError:
    """The error of a server that answers a byte range with other bytes."""
    return OSError(errno.EIO, "the server serves no byte ranges; copy the files to a disk or a store", url)


def join(folder: str | os.PathLike[str], name: str) -> str:
    """The path of a file in a folder, local or remote.

    >>> join("s3://bucket/subset/", "sizes.json")
    's3://bucket/subset/sizes.json'
    """
    return f"{os.fspath(folder).rstrip('/')}/{name}"


def names_in(folder: str) -> list[str]:
    """The names of the files and folders in a folder, sorted; none where there is no such folder."""
    if not is_remote(folder):
        return sorted(path.name for path in Path(folder).iterdir()) if Path(folder).exists() else []
    with _store(folder) as (fs, inner):
        try:
            fs.invalidate_cache(inner)
            below = fs.ls(inner, detail=False)
        except FileNotFoundError:
            return []
    return sorted({str(path).rstrip("/").rpartition("/")[2] for path in below})


def read_small(path: str) -> bytes | None:
    """The whole content of a file; None where there is none."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


def upload(source: Path, url: str) -> None:
    """Put a local file at a URL, whole or not at all.

    An object store shows an object once all of it is there; elsewhere the file gets a temporary name first.

    Raises:
        InputError: the bucket does not exist, or we may not write there (the text says so).
    """
    with _store(url) as (fs, inner):
        try:
            if url.partition("://")[0] in OBJECT_STORES:
                fs.put_file(str(source), inner)
            else:
                folder, _, name = inner.rpartition("/")
                fs.makedirs(folder, exist_ok=True)
                fs.put_file(str(source), f"{folder}/.{name}.tmp")
                fs.mv(f"{folder}/.{name}.tmp", inner)
        except FileNotFoundError as error:
            raise InputError(
                f"{url} cannot be written ({error.strerror or error}); make the bucket, or check the address"
            ) from error
        except PermissionError as error:
            raise InputError(
                f"{url} cannot be written ({error.strerror or error}); check the credentials and what they "
                "may do, or name another address"
            ) from error


def open_binary(path: str) -> IO[bytes]:
    """An open binary file; remote files are read block by block as they are asked for."""
    if is_remote(path):
        with _store(path) as (fs, inner):
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


def read_bytes(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """Bytes `offset` to `offset + length` of a file (to its end without a length).

    Raises:
        OSError: the file cannot be read, or its server sends other bytes.
    """
    if is_remote(path):
        with _store(path) as (fs, inner):
            data = cast(
                bytes, fs.cat_file(inner, start=offset, end=None if length is None else offset + length)
            )
        if length is not None and len(data) > length:
            raise no_ranges(path)
        return data
    with open_binary(path) as file:
        file.seek(offset)
        return file.read() if length is None else file.read(length)


def read_ranges(url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Bytes of a remote file for each (offset, length); ranges that lie near one another are one request.

    Raises:
        OSError: the file cannot be read, or its server sends other bytes.
    """
    order = sorted(range(len(ranges)), key=ranges.__getitem__)
    requests: list[list[int]] = []  # start, end
    request_of = {}
    for place in order:
        start, end = ranges[place][0], sum(ranges[place])
        if requests and start - requests[-1][1] <= NEAR and end - requests[-1][0] <= LARGEST_REQUEST:
            requests[-1][1] = max(requests[-1][1], end)
        else:
            requests.append([start, end])
        request_of[place] = len(requests) - 1
    starts, ends = ([request[side] for request in requests] for side in (0, 1))
    with _store(url) as (fs, inner):
        found = fs.cat_ranges([inner] * len(requests), starts, ends, on_error="raise")
    if any(len(data) > end - start for data, (start, end) in zip(found, requests, strict=True)):
        raise no_ranges(url)
    return [
        found[request_of[place]][offset - starts[request_of[place]] :][:length]
        for place, (offset, length) in enumerate(ranges)
    ]


def file_size(path: str) -> int:
    """The size of a file in bytes.

    Raises:
        OSError: the file is absent.
    """
    if is_remote(path):
        with _store(path) as (fs, inner):
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
    with _store(path) as (fs, inner):
        info = fs.info(inner)
    marks = [
        info.get(name) for name in ("size", "ETag", "etag", "LastModified", "mtime", "created", "generation")
    ]
    return "-".join(str(mark) for mark in marks if mark is not None)


def content_mark(url: str) -> str | None:
    """What stands for the content of a remote file (its size and checksum, as far as the store tells).

    None where there is no such file.
    """
    with _store(url) as (fs, inner):
        try:
            fs.invalidate_cache(inner)
            info = fs.info(inner)
        except FileNotFoundError:
            return None
    sums = [info.get(name) for name in ("ETag", "etag", "md5Hash", "crc32c", "checksum")]
    mark = next((str(value) for value in sums if value is not None), str(info.get("created", "")))
    return f"{info.get('size')}-{mark}"


class Handles:
    """Ranges of local files through descriptors that stay open, the most recently used ones of them."""

    def __init__(self, num_open: int = 64) -> None:
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._num_open = num_open

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on: one system call on a file that is open already."""
        return os.pread(self._descriptor(path), length, offset)

    def _descriptor(self, path: str) -> int:
        descriptor = self._descriptors.get(path)
        if descriptor is None:
            check_regular(path)
            descriptor = os.open(path, os.O_RDONLY)
            self._descriptors[path] = descriptor
            if len(self._descriptors) > self._num_open:
                os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors.move_to_end(path)
        return descriptor

    def read_into(self, path: str, offset: int, target: memoryview) -> int:
        """Fill `target` with the bytes from `offset` on; how many there were."""
        done = 0
        while done < len(target):
            count = os.preadv(self._descriptor(path), [target[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def __del__(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
