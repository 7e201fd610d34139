"""Filling on a Ray cluster: workers make the parts, and this machine, which holds the folder, writes them.

A worker opens the scorers once, from plain data, and makes each part as it would be made here, in a folder of
its own that it takes away again; the files travel as bytes. So nodes need the shards (by the same paths or
URLs) and the model's files, but not the output folder, and one process alone writes into it.
"""

import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thresher.data.files.atomic import atomic_path
from thresher.errors import InputError
from thresher.executor.local import TaskFailed, WorkerPool
from thresher.executor.ray import RayPool
from thresher.sharded.job import Made, Part, write_failure
from thresher.sharded.parts import Stage, quarantine_path
from thresher.sharded.shard import ShardWork, keep, shards_through

MAKER = "thresher.sharded.remote:part_maker"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker says of the scorers that it has opened."""

    made_by: Mapping[str, str]
    about: Mapping[str, Any]
    release: str


@dataclass(frozen=True, slots=True)
class RemotePart:
    """A shard that is through at a worker, and the files of its part by name.

    `made_by` says what the part depends on; `deaths` has a sentence for every decode process that died of it.
    """

    made: Made
    files: Mapping[str, bytes]
    made_by: Mapping[str, str]
    deaths: tuple[str, ...]


def receive(part: Part, found: RemotePart | TaskFailed, stage: Stage) -> Made:
    """Write the files that came from a worker beside each other, the part last; or that none came."""
    if isinstance(found, TaskFailed):
        return write_failure(part, f"cannot be {stage.done}: {found.reason}", stage)
    if quarantine_path(part.path).name not in found.files:
        quarantine_path(part.path).unlink(missing_ok=True)
    for name in sorted(found.files, key=lambda name: name == part.path.name):
        with atomic_path(part.path.with_name(name)) as temporary:
            temporary.write_bytes(found.files[name])
    return found.made


def part_maker(work: ShardWork) -> Callable[[Part | None], Opened | RemotePart]:
    """The function that a worker applies to shards: files for a part, and for None what the scorers are."""
    making = work.open(work.options)
    pool = WorkerPool(work.decode, workers=work.workers)

    def fill(part: Part | None) -> Opened | RemotePart:
        if part is None:
            return Opened(making.made_by, making.about, version("thresher"))
        so_far = len(pool.deaths)
        with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
            here = replace(part, path=Path(folder) / part.path.name)
            with closing(shards_through([here], making, pool, work)) as through:
                *_, shard = through
            made = keep(shard, making, work.stage)
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        return RemotePart(replace(made, part=part), files, making.made_by, tuple(pool.deaths[so_far:]))

    return fill


def opened_on(pool: RayPool) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """What the parts will be made by, and what else there is to say of the scorers; asks one worker.

    Raises:
        InputError: the scorers cannot be opened there, or a worker has another release of Thresher.
    """
    ((_, found),) = pool.map([None])
    if isinstance(found, TaskFailed):
        raise InputError(f"no worker on Ray opens the scorers: {pool.deaths[-1]}")
    if found.release != version("thresher"):
        raise InputError(
            f"the workers on Ray have Thresher {found.release}, this machine {version('thresher')}; "
            "install the same release on every node"
        )
    return found.made_by, found.about


def made_on(
    pool: RayPool, parts: Sequence[Part], made_by: Mapping[str, str], stage: Stage
) -> Generator[Made]:
    """Each shard once its part is written here, in the order in which the workers get done.

    Raises:
        InputError: two workers open different scorers.
    """
    for part, found in pool.map(parts):
        if isinstance(found, RemotePart):
            difference = stage.differs(found.made_by, made_by)
            if difference is not None:
                raise InputError(f"{part.stamp.shard} on a worker of the cluster {difference}")
            pool.deaths.extend(found.deaths)
        yield receive(part, found, stage)
