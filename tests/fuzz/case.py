"""One case of a kind: its folders, and what is watched while the product is at work on it."""

import contextlib
import os
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thresher.errors import InputError

LONGEST_SENTENCE = 3000
SECRET = b"the canary sings: 5e7ad0c1"
FORBIDDEN = ("/etc/passwd", "/etc/shadow")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
}
_LEAVES = {
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "subprocess.Popen",
    "os.system",
    "os.exec",
}


class Fault(AssertionError):
    """The product did something that it must not do with any input."""


@dataclass(slots=True)
class Case:
    """A folder `inside` for the input, a folder `out` for what is made of it, and a canary beside them.

    From `seal` on nothing may be written but below `out`, nothing of the canary may be opened, and no other
    machine or program may be called.
    """

    root: Path
    random: random.Random
    notes: list[str] = field(default_factory=list)
    _before: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.inside, self.out, self.canary, self.temporary):
            folder.mkdir(parents=True)
        (self.canary / "secret.txt").write_bytes(SECRET)
        (self.canary / "secret.jpg").write_bytes(b"\xff\xd8\xff\xe0" + SECRET)

    @property
    def inside(self) -> Path:
        return self.root / "in"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    @property
    def temporary(self) -> Path:
        return self.root / "out" / "temporary"

    def seal(self) -> None:
        """The input is written; what follows is the product."""
        tempfile.tempdir = str(self.temporary)
        self._before = self._listing()
        _WATCH.begin(self.root)

    def close(self) -> None:
        """Look at what was touched.

        Raises:
            Fault: something outside `out` was.
        """
        seen = _WATCH.end()
        tempfile.tempdir = None
        if seen:
            raise Fault(f"touched what is none of its business: {', '.join(dict.fromkeys(seen))[:500]}")
        if self._before and self._before != self._listing():
            raise Fault("files outside of the output folder changed")
        if any(self.temporary.iterdir()):
            raise Fault("temporary files are left behind")
        for path in self.out.rglob("*"):
            if path.is_symlink() or (path.is_file() and SECRET in path.read_bytes()):
                raise Fault(f"{path.relative_to(self.root)} holds a link or what stands in the canary")

    def _listing(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in (*self.inside.rglob("*"), *self.canary.rglob("*")):
            status = path.lstat()
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
        return found | {"": sorted(path.name for path in self.root.iterdir())}


class _Watch:
    """Python's audit events of this process, while a case is sealed."""

    def __init__(self) -> None:
        self._root = ""
        self._seen: list[str] = []
        self._installed = False

    def begin(self, root: Path) -> None:
        if not self._installed:
            sys.addaudithook(self._hook)
            self._installed = True
        self._seen.clear()
        self._root = str(root)

    def end(self) -> list[str]:
        self._root = ""
        return list(self._seen)

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._root:
            return
        if event == "open":
            path, _, flags = given
            full = _full(path)
            if full in FORBIDDEN or full.startswith(f"{self._root}/canary"):
                self._seen.append(f"opened {full}")
            elif full and flags & _WRITES and not full.startswith((f"{self._root}/out", "/dev/", "/proc/")):
                self._seen.append(f"wrote {full}")
        elif event in _CHANGES:
            names = given[:2] if event in ("os.rename", "os.symlink", "os.link") else given[:1]
            folder = given[-1] if len(given) > 1 and isinstance(given[-1], int) and given[-1] >= 0 else None
            fulls = [_full(name if folder is None else f"/proc/self/fd/{folder}/{name}") for name in names]
            if any(full and not full.startswith(f"{self._root}/out") for full in fulls):
                self._seen.append(f"{event} {given[:2]}")
        elif event in _LEAVES:
            self._seen.append(f"{event} {str(given)[:200]}")


def _full(path: Any) -> str:
    with contextlib.suppress(TypeError, ValueError, OSError):
        return os.path.realpath(os.fsdecode(path))
    return ""  # a descriptor that is open already


_WATCH = _Watch()


def sentence(error: InputError) -> str:
    """What a refusal says: one sentence that can be shown, but for line breaks in the names of files."""
    said = str(error)
    if (
        said.strip().count("\n") > 2
        or len(said) > LONGEST_SENTENCE
        or "Traceback" in said
        or not said.strip()
    ):
        raise Fault(f"the refusal is no sentence ({len(said)} characters): {said[:200]!r}")
    if "\ufffd" not in said and said.encode("utf-8", "replace").decode("utf-8") != said:
        raise Fault(f"the refusal cannot be shown: {said[:200]!r}")
    return said


def must(condition: object, message: str) -> None:
    """Raise a Fault unless a condition holds."""
    if not condition:
        raise Fault(message)
