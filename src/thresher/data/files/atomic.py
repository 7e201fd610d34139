"""Files that are either whole or absent.

Every result goes to a temporary name in its own folder, is flushed to the disk and renamed. A killed run
leaves at worst a hidden `.NAME.HOST-PID-N.tmp`, which no reader's pattern matches (it does not end in
`.parquet` or `.json`) and which the next process that writes into that folder takes away.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import math
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thresher.data.files.location import is_remote, upload
from thresher.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 131_072
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

_counter = itertools.count()
_cleaned: set[Path] = set()


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path`; renamed to it when the block ends without an error.

    The folder is made when it is absent. An error in the block removes the temporary file and leaves what
    stood at `path` untouched; one that says that the disk is full gets the name `path`. The temporary name
    ends in `.tmp`: hand an open file to writers that add their own suffix (`np.save`).

    Of a remote address the temporary path is a local one, and the file is uploaded at the end.
    """
    if is_remote(os.fspath(path)):
        with tempfile.TemporaryDirectory() as own:
            local = Path(own, "upload.tmp")
            yield local
            upload(local, os.fspath(path))
        return
    target = Path(path)
    if target.is_dir():
        raise InputError(f"cannot write the file {target}: a folder of that name exists; move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent.absolute()
    if folder not in _cleaned:  # once a process, so that n files cost n and not n^2
        remove_leftovers(folder)
        _cleaned.add(folder)
    temporary = target.with_name(f".{target.name}.{_host()}-{os.getpid()}-{next(_counter)}.tmp")
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in DISK_FULL and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
        raise
    _flush_to_disk(target.parent)


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Take away the temporary files that killed processes of this machine left in `folder`; their number."""
    pattern = re.compile(rf"\..+\.{re.escape(_host())}-(\d+)-\d+\.tmp")
    removed = 0
    for entry in Path(folder).iterdir():
        match = pattern.fullmatch(entry.name)
        if match and not _alive(int(match[1])):
            entry.unlink(missing_ok=True)
            removed += 1
    return removed


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Write `obj` as JSON: keys in the order given, indent 1, UTF-8, a newline at the end.

    numpy scalars and arrays become numbers and lists.

    Raises:
        InputError: a number is NaN or infinite (the text names its place), or a value has no JSON form.
    """
    line = _json_line(path, obj, indent=1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(line)


def write_table(path: str | os.PathLike[str], table: "pa.Table") -> None:
    """Write a Parquet file; the same table gives the same bytes, however its columns were chunked."""
    with table_writer(path, table.schema) as add:
        add(table)


@contextlib.contextmanager
def table_writer(path: str | os.PathLike[str], schema: "pa.Schema") -> Iterator[Callable[["pa.Table"], None]]:
    """A function that takes a table piece by piece; the file is what `write_table` makes of it whole.

    No more than a row group and a piece are held.
    """
    import pyarrow as pa  # planning writes JSON alone, and should not wait for it
    import pyarrow.parquet as pq

    held, written = schema.empty_table(), False

    def write(rows: int) -> None:
        nonlocal held, written
        written = True
        writer.write_table(held.slice(0, rows).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        held = held.slice(rows)

    def add(piece: "pa.Table") -> None:
        nonlocal held
        held = pa.concat_tables([held, piece.select(schema.names)])
        while held.num_rows >= ROW_GROUP_ROWS:
            write(ROW_GROUP_ROWS)

    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", version="2.6") as writer,
    ):
        yield add
        if held.num_rows or not written:
            write(held.num_rows)


def append_jsonl(path: str | os.PathLike[str], obj: Any) -> None:
    """Append one line to a JSONL file and flush it to the disk; a line is there wholly or not at all.

    A last line without its end is completed when it is JSON; otherwise it is the rest of a killed writer and
    goes. Several processes may append to one file.
    """
    line = _json_line(path, obj)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _close_last_line(descriptor)
        while line:  # less may be written than was asked for, on a disk that is nearly full
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _json_line(path: str | os.PathLike[str], obj: Any, indent: int | None = None) -> bytes:
    place = _non_finite(obj, "")
    if place is not None:
        raise InputError(f"{path}: the value at {place} is not a finite number, and JSON has no form for it")
    try:
        text = json.dumps(obj, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)
    except TypeError as error:
        raise InputError(f"{path}: {error}") from error
    return (text + "\n").encode("utf-8", "surrogatepass")


def _close_last_line(descriptor: int) -> None:
    start = size = os.lseek(descriptor, 0, os.SEEK_END)
    tail = b""
    while start > 0 and b"\n" not in tail:
        step = min(65536, start)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if not tail:
        return
    try:
        json.loads(tail)
    except ValueError:
        os.ftruncate(descriptor, size - len(tail))
    else:
        os.write(descriptor, b"\n")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits to be asked how; known on Linux alone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state[:1] == ["Z"]


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    """The JSON form of a numpy value; called by `json` for what it does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def _non_finite(value: Any, place: str) -> str | None:
    """Where the first NaN or infinity stands in nested lists and dictionaries, or None."""
    if isinstance(value, (float, np.floating)):
        return None if math.isfinite(value) else place or "the top"
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        items = ((str(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        items = ((str(number), item) for number, item in enumerate(value))
    else:
        return None
    for name, item in items:
        found = _non_finite(item, f"{place}.{name}" if place else name)
        if found is not None:
            return found
    return None
