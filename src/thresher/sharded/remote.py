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
from types import TracebackType
from typing import Any, Self

from thresher.data.files.atomic import atomic_path
from thresher.data.pairs import Reject
from thresher.errors import InputError
from thresher.executor.local import TaskFailed, WorkerPool
from thresher.executor.ray import RayPool
from thresher.sharded.parts import Stage, quarantine_path, write_rejects
from thresher.sharded.resume import Job
from thresher.sharded.shard import Done, OpenScorers, keep, shards_through

MAKER = "thresher.sharded.remote:part_maker"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """What a worker needs in order to make parts; the fields are those of `thresher.sharded.stage.StageJob`.

    `decode` is the function of the decode processes, as `package.module:function`.
    """

    stage: Stage
    open: Callable[[Any], OpenScorers]
    options: Any
    decode: str
    exclude: frozenset[str]
    workers: int
    gpu: bool


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

    done: Done
    files: Mapping[str, bytes]
    made_by: Mapping[str, str]
    deaths: tuple[str, ...]


def remote_part(
    job: Job, make: Callable[[Job], Done], made_by: Mapping[str, str], pool: WorkerPool
) -> RemotePart:
    """Make the part of a job in a folder of its own and take its files; `make` decodes with `pool`."""
    so_far = len(pool.deaths)
    with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
        done = make(replace(job, part=Path(folder) / job.part.name))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return RemotePart(replace(done, job=job), files, made_by, tuple(pool.deaths[so_far:]))


def receive(job: Job, found: RemotePart | TaskFailed, stage: Stage) -> Done:
    """Write the files that came from a worker beside each other, the part last; or that none came."""
    if isinstance(found, TaskFailed):
        failure = f"cannot be {stage.done}: {found.reason}"
        write_rejects(job.part, [Reject(job.stamp.shard, "", None, stage.name, failure, 0)])
        return Done(job, 0, 1, failure)
    if quarantine_path(job.part).name not in found.files:
        quarantine_path(job.part).unlink(missing_ok=True)
    for name in sorted(found.files, key=lambda name: name == job.part.name):
        with atomic_path(job.part.with_name(name)) as temporary:
            temporary.write_bytes(found.files[name])
    return found.done


def part_maker(settings: RemoteSettings) -> Callable[[Job | None], Opened | RemotePart]:
    """The function that a worker applies to shards: a part for a job, and for None what the scorers are."""
    making = settings.open(settings.options)
    pool = WorkerPool(settings.decode, workers=settings.workers)
    ahead = 2 * settings.workers + 2

    def make(job: Job) -> Done:
        through = shards_through(
            [job], making, pool, exclude=settings.exclude, ahead=ahead, stage=settings.stage
        )
        with closing(through):
            *_, shard = through
        return keep(shard, making, settings.stage)

    def fill(job: Job | None) -> Opened | RemotePart:
        if job is None:
            return Opened(making.made_by, making.about, version("thresher"))
        return remote_part(job, make, making.made_by, pool)

    return fill


class RemoteStage:
    """Workers on a Ray cluster that fill a folder of this machine."""

    def __init__(self, settings: RemoteSettings, address: str | None) -> None:
        cpus = max(settings.workers, 1)
        self._stage = settings.stage
        self._pool = RayPool(MAKER, settings=settings, address=address, cpus=cpus, gpu=settings.gpu)
        self.deaths = self._pool.deaths

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def opened(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What the parts will be made by, and what else there is to say of the scorers; asks one worker.

        Raises:
            InputError: the scorers cannot be opened there, or a worker has another release of Thresher.
        """
        ((_, found),) = self._pool.map([None])
        if isinstance(found, TaskFailed):
            raise InputError(f"no worker on Ray opens the scorers: {self.deaths[-1]}")
        if found.release != version("thresher"):
            raise InputError(
                f"the workers on Ray have Thresher {found.release}, this machine {version('thresher')}; "
                "install the same release on every node"
            )
        return found.made_by, found.about

    def done(self, jobs: Sequence[Job], made_by: Mapping[str, str]) -> Generator[Done]:
        """Each shard once its part is written here, in the order in which the workers get done.

        Raises:
            InputError: two workers open different scorers.
        """
        for job, found in self._pool.map(jobs):
            if isinstance(found, RemotePart):
                difference = self._stage.differs(found.made_by, made_by)
                if difference is not None:
                    raise InputError(f"{job.stamp.shard} on a worker of the cluster {difference}")
                self.deaths.extend(found.deaths)
            yield receive(job, found, self._stage)
