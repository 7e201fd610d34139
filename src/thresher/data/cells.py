"""Which files the cells of a table may name: those below its own folder, unless a person allows more.

A table is data of others, and no list of addresses to be fetched.
"""

import os
import posixpath

from thresher.data.files.location import is_remote
from thresher.data.pairs import BadPair, printable
from thresher.data.patterns import kind_of

ALLOW_VARIABLE = "THRESHER_ALLOW"
"""What cells may name beside that: `outside`, `remote` or both, joined by a comma. Workers inherit it."""

PROTOCOLS = frozenset(
    {"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "oci", "memory"}
)
"""Of addresses that `remote` allows. Others reach files of this machine, or what another address names."""


def allow(*, outside: bool = False, remote: bool = False) -> None:
    """Let cells name more, in this process and in the workers that it starts.

    Args:
        outside: Paths that lead out of the table's folder.
        remote: Addresses, which are fetched.
    """
    wanted = [word for word, is_wanted in (("outside", outside), ("remote", remote)) if is_wanted]
    if wanted:
        os.environ[ALLOW_VARIABLE] = ",".join(sorted({*_words(), *wanted}))


def allowed(shard: str) -> tuple[str, ...]:
    """What the cells of a shard may name beside files below its folder; nothing where it is no table."""
    return _words() if kind_of(shard) == "table" else ()


def _words() -> tuple[str, ...]:
    return tuple(filter(None, os.environ.get(ALLOW_VARIABLE, "").split(",")))


def locate(table: str, cell: str) -> str:
    """The path or address that a cell means; relative ones count from the folder of the table.

    Links are followed: what lies below the folder was put there by whoever owns it.

    Raises:
        BadPair: the cell is no path, or names something that is not allowed.
    """
    if "\0" in cell or printable(cell) != cell:
        raise BadPair(f"the image path {printable(cell)[:300]!r} is no path")
    shown = repr(cell[:300])
    if is_remote(cell):
        protocol = cell.partition("://")[0]
        if "::" in cell or protocol.lower() not in PROTOCOLS:
            raise BadPair(f"the image path {shown} is an address of a kind that tables may not name")
        if "remote" not in _words():
            raise BadPair(f"the image path {shown} is an address; --allow-remote lets tables name such")
        return cell
    folder, slash, _ = table.rpartition("/")
    path = cell if cell.startswith("/") else folder + slash + cell
    if "outside" not in _words():
        below = posixpath.relpath(path, folder or ".") if not is_remote(table) else posixpath.normpath(cell)
        if below.startswith(("../", "/")) or below == "..":
            raise BadPair(
                f"the image path {shown} leads out of the table's folder; --allow-outside lets tables "
                "name such"
            )
    return path
