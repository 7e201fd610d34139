"""Which shards of a run are still to be done, given what its folder holds already."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thresher.data.files.location import filesystem, fingerprint, is_remote
from thresher.data.folder import fingerprint_folder
from thresher.data.patterns import kind_of
from thresher.errors import InputError
from thresher.sharded.parts import Stage, Stamp, check_stamp, list_parts, part_path, read_stamp


@dataclass(frozen=True, slots=True)
class Job:
    """A shard to be done, where its part goes, and what the part will say that it was made of."""

    part: Path
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Work:
    """The shards still to be done, and those (part -> shard, reason) that cannot even be looked at."""

    jobs: tuple[Job, ...]
    absent: Mapping[Path, tuple[str, str]]


def plan_work(
    folder: Path, shards: Sequence[str], scorers: Mapping[str, str], exclude: str, stage: Stage
) -> Work:
    """Compare the folder with the run: what parts are made by in `scorers`, digest of the exclude list.

    Raises:
        InputError: the folder holds a part of a shard that is not in this run, of a shard that has changed,
            or by another scorer or exclude list.
    """
    parts = [part_path(folder, number, shard) for number, shard in enumerate(shards)]
    present = set(list_parts(folder))
    strays = sorted(present - set(parts))
    if strays:
        raise InputError(
            f"{strays[0]} is of {read_stamp(strays[0], stage).shard}, which has no such place among the "
            f"{len(shards)} shards of this run; give the shards that the folder was made of in their order "
            "(new ones last), or name another folder"
        )
    jobs: list[Job] = []
    absent: dict[Path, tuple[str, str]] = {}
    for part, shard in zip(parts, shards, strict=True):
        try:
            state = shard_state(shard)
        except OSError as error:
            absent[part] = (shard, f"cannot be read: {error.strerror or type(error).__name__}")
            continue
        stamp = Stamp(shard, state, dict(scorers), exclude)
        if part in present:
            check_stamp(part, read_stamp(part, stage), stamp, stage)
        else:
            jobs.append(Job(part, stamp))
    return Work(tuple(jobs), absent)


def why_changed(stamp: Stamp) -> str | None:
    """That a shard is no longer what it was when its work was planned; None when it is."""
    try:
        state = shard_state(stamp.shard, fresh=True)
    except OSError as error:
        return f"was taken away while it was read: {error.strerror or type(error).__name__}"
    if state == stamp.state:
        return None
    return f"changed while it was read (size and time were {stamp.state}, are {state}); run again"


def shard_state(shard: str, *, fresh: bool = False) -> str:
    """Size and modification time of a shard, or of a folder's files together; changes when the shard does.

    Args:
        shard: Path or fsspec URL.
        fresh: Ask the remote file system again, whatever it remembers of a listing.

    Raises:
        OSError: the shard cannot be looked at.
    """
    if fresh and is_remote(shard):
        fs, inner = filesystem(shard)
        fs.invalidate_cache(inner)
    if kind_of(shard) != "folder":
        return fingerprint(shard)
    files = fingerprint_folder(shard).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(files, digest_size=8).hexdigest()
