"""One run at a time in a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from thresher.errors import InputError

LOCK_FILE = ".lock"


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold `folder` (made when absent) for this process; the system lets go of it when the process ends.

    The empty file `.lock` stays behind: taking it away would let two waiting processes hold two files.

    Raises:
        InputError: another process holds the folder, or a file of that name is in the way.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"cannot write into {path}: it is not a folder; name another one") from error
    except PermissionError as error:
        raise InputError(f"cannot write into {path}: {error.strerror}; name another folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another run is writing into {path}; wait for it to end, or name another folder"
            ) from error
        yield
    finally:
        os.close(descriptor)
