"""Pairs copied from tar to tar by their byte ranges, without decoding or encoding anything.

Draws are laid out so that the copies of a pair are far apart (no batch should hold two) while the sources
are still read front to back: copy j of k of the pair at place p of P stands at (p / P + j / k) mod 1 of the
whole.
"""

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thresher.data.index import Index
from thresher.data.pairs import Member
from thresher.data.writer import atomic_path, write_json
from thresher.errors import InputError

RECORD = tarfile.RECORDSIZE
BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Layout:
    """Every draw in the order of the output: row of the index, number of the copy."""

    rows: npt.NDArray[np.int64]
    copies: npt.NDArray[np.int64]
    pairs_per_shard: int

    @property
    def num_shards(self) -> int:
        """Number of tar files."""
        return -(-len(self.rows) // self.pairs_per_shard)

    def shard(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows and copies of one tar file."""
        inside = slice(number * self.pairs_per_shard, (number + 1) * self.pairs_per_shard)
        return self.rows[inside], self.copies[inside]


def lay_out(rows: npt.NDArray[np.int64], repeats: npt.NDArray[np.int64], pairs_per_shard: int) -> Layout:
    """The order of all draws of index `rows`, each `repeats` times."""
    by_row = np.argsort(rows, kind="stable")
    rows, repeats = rows[by_row], repeats[by_row]
    drawn = np.repeat(np.arange(len(rows)), repeats)
    copies = np.arange(len(drawn)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    position = (drawn / max(len(rows), 1) + copies / repeats[drawn]) % 1.0
    order = np.lexsort((copies, drawn, position))
    return Layout(rows[drawn[order]], copies[order], pairs_per_shard)


def tar_name(number: int) -> str:
    """File name of an output shard."""
    return f"{number:08d}.tar"


def stats_name(number: int) -> str:
    """Name of the file that says how many pairs an output shard has."""
    return f"{number:08d}_stats.json"


def write_shards(
    layout: Layout, index: Index, folder: Path, progress: Callable[[int, int], None] | None
) -> dict[str, int]:
    """Write the tar files that are not there yet, then look at all of them; tar name -> number of pairs.

    Raises:
        InputError: a source has changed since it was indexed, or a file in the folder is not as it was
        written.
    """
    sizes: dict[str, int] = {}
    for number in range(layout.num_shards):
        rows, copies = layout.shard(number)
        path = folder / tar_name(number)
        sizes[path.name] = len(rows)
        if not (path.exists() and path.stat().st_size == _num_bytes(index, rows, copies)):
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                for block in _blocks(index, rows, copies):
                    file.write(block)
                file.write(_end(file.tell()))
        stats = {"successes": len(rows)}
        if _read_stats(folder / stats_name(number)) != stats:
            write_json(folder / stats_name(number), stats)
        if progress is not None:
            progress(number + 1, layout.num_shards)
    _check(folder, sizes, len(layout.rows))
    return sizes


def _check(folder: Path, sizes: dict[str, int], num_rows: int) -> None:
    """Count once more what lies in the folder, so that nothing is missing and nothing else is mixed in."""
    found = {path.name for path in folder.glob("*.tar")}
    if found != set(sizes):
        name = sorted(found ^ set(sizes))[0]
        what = "is not of this subset" if name in found else "is missing"
        raise InputError(f"{folder / name} {what}; move it away, or write the subset into another folder")
    counted = 0
    for number, (name, size) in enumerate(sizes.items()):
        if _read_stats(folder / stats_name(number)) != {"successes": size}:
            raise InputError(
                f"{folder / stats_name(number)} does not say {size}; delete it and {name}, and run again"
            )
        counted += size
    assert counted == num_rows, f"{counted} pairs were written, {num_rows} were due"


def _read_stats(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _blocks(index: Index, rows: npt.NDArray[np.int64], copies: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Headers and padded contents of all members, in order."""
    for row, copy in zip(rows.tolist(), copies.tolist(), strict=True):
        for name, member, content in _files(index, row, copy):
            data = index.member_bytes(member) if content is None else content
            yield _header(name, len(data))
            yield data
            yield bytes(-len(data) % BLOCK)


def _num_bytes(index: Index, rows: npt.NDArray[np.int64], copies: npt.NDArray[np.int64]) -> int | None:
    """Size of the tar file of these draws; None where only reading would tell (rows of a table)."""
    total = 0
    for row, copy in zip(rows.tolist(), copies.tolist(), strict=True):
        for name, member, content in _files(index, row, copy):
            size = member.length if content is None else len(content)
            if size < 0:
                return None
            total += len(_header(name, size)) + size + -size % BLOCK
    return total + len(_end(total))


def _files(index: Index, row: int, copy: int) -> Iterator[tuple[str, Member, bytes | None]]:
    """Name, place and (for what no file holds) content of every member of a pair.

    A row of a table has an image and no files beside it: its caption and uid become a `.txt` and a `.json`.
    """
    uid = index.table.column("uid")[row].as_py()
    members = index.members(row)
    for member in members:
        yield f"{uid}-{copy}.{member.ext}", member, None
    if members[0].length < 0 or all(member.ext != "txt" for member in members):
        caption = index.table.column("caption")[row].as_py()
        yield f"{uid}-{copy}.txt", members[0], caption.encode()
        yield f"{uid}-{copy}.json", members[0], json.dumps({"uid": uid, "caption": caption}).encode()


def _header(name: str, size: int) -> bytes:
    """A header without owner and time, so that the same pairs give the same bytes everywhere."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _end(position: int) -> bytes:
    """The end mark after `position` bytes: two empty blocks, and more up to a full record."""
    return bytes(2 * BLOCK + -(position + 2 * BLOCK) % RECORD)
