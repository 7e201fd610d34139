"""Pairs copied from tar to tar by their byte ranges, without decoding or encoding anything.

Draws are laid out so that the copies of a pair are far apart (no batch should hold two) while the sources
are still read front to back: copy j of k of the pair at place p of P stands at (p / P + j / k) mod 1 of the
whole.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thresher.curate.reshard.sources import Sources
from thresher.curate.reshard.tarcopy import TarPlan, TarTask, num_bytes
from thresher.data.files.atomic import write_json
from thresher.data.files.location import content_mark, is_remote, join, names_in, read_small
from thresher.errors import InputError
from thresher.executor.local import TaskFailed
from thresher.executor.run import Apply, open_workers


@dataclass(frozen=True, slots=True)
class Layout:
    """Every draw in the order of the output: number of the pair, number of the copy."""

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
    """The order of all draws of `rows`, each `repeats` times."""
    by_row = np.argsort(rows, kind="stable")
    rows, repeats = rows[by_row], repeats[by_row]
    drawn = np.repeat(np.arange(len(rows)), repeats)
    copies = np.arange(len(drawn)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    position = (drawn / max(len(rows), 1) + copies / repeats[drawn]) % 1.0
    order = np.lexsort((copies, drawn, position))
    return Layout(rows[drawn[order]], copies[order], pairs_per_shard)


def stats_name(tar: str) -> str:
    """Name of the file that says how many pairs an output shard has."""
    return f"{tar.removesuffix('.tar')}_stats.json"


def mark_name(tar: str) -> str:
    """Name of the file that says, of a remote shard, what mark the store showed for it."""
    return f"{tar.removesuffix('.tar')}_mark.json"


def open_writers(
    num_shards: int, *, executor: str = "local", address: str | None = None, workers: int | None = 0
) -> contextlib.AbstractContextManager[Apply]:
    """Processes, here or on Ray, that write tars; a single tar is written by this one."""
    count = 0 if executor == "local" and num_shards < 2 else workers
    return open_workers(
        "thresher.curate.reshard.tarcopy:tar_writer",
        settings={},
        executor=executor,
        address=address,
        workers=count,
        ahead=True,
    )


def write_shards(
    layout: Layout,
    sources: Sources,
    folder: str,
    write_tars: Apply,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write the tar files that are not there yet, then look at all of them; tar name -> number of pairs.

    `write_tars` comes from `open_writers`.

    Raises:
        InputError: a source has changed since it was indexed, or a file in the folder is not as it was
        written.
    """
    sizes = {f"{number:08d}.tar": len(layout.shard(number)[0]) for number in range(layout.num_shards)}
    done = 0

    def finish(name: str) -> None:
        nonlocal done
        done += 1
        path, stats = join(folder, stats_name(name)), {"successes": sizes[name]}
        if _read_json(path) != stats:
            write_json(path, stats)
        if progress is not None:
            progress(done, len(sizes))

    def due() -> Iterator[TarTask]:
        for number, name in enumerate(sizes):
            plan = sources.plan(*layout.shard(number))
            if _is_written(folder, name, plan):
                finish(name)
            else:
                yield TarTask(name, join(folder, name), plan)

    for task, result in write_tars(due()):
        if isinstance(result, TaskFailed):
            raise InputError(f"{task.path} could not be written: {result.reason}; run again, it goes on")
        if is_remote(folder):
            write_json(join(folder, mark_name(task.name)), {"mark": content_mark(task.path)})
        finish(task.name)
    _check(folder, sizes, len(layout.rows))
    return sizes


def _is_written(folder: str, name: str, plan: TarPlan) -> bool:
    """Whether the tar is there: with the size that its plan gives, or remote with the mark of its upload."""
    path = join(folder, name)
    if not is_remote(folder):
        return Path(path).exists() and Path(path).stat().st_size == num_bytes(plan)
    mark = content_mark(path)
    return mark is not None and _read_json(join(folder, mark_name(name))) == {"mark": mark}


def _check(folder: str, sizes: dict[str, int], num_rows: int) -> None:
    """Count once more what lies in the folder, so that nothing is missing and nothing else is mixed in."""
    found = {name for name in names_in(folder) if name.endswith(".tar")}
    if found != set(sizes):
        name = sorted(found ^ set(sizes))[0]
        what = "is not of this subset" if name in found else "is missing"
        raise InputError(
            f"{join(folder, name)} {what}; move it away, or write the subset into another folder"
        )
    counted = 0
    for name, size in sizes.items():
        path = join(folder, stats_name(name))
        if _read_json(path) != {"successes": size}:
            raise InputError(f"{path} does not say {size}; delete it and {name}, and run again")
        counted += size
    assert counted == num_rows, f"{counted} pairs were written, {num_rows} were due"


def _read_json(path: str) -> object:
    """What a small file holds; None where there is none, or no JSON in it."""
    content = read_small(path)
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None
