"""The files of a folder that is filled shard by shard: one table a shard, stamped with what it was made of.

Scores lie in such folders, embeddings and hashes; a `Stage` says which. A part is named `NNNNN-STEM.parquet`
by the shard's number and name; what was refused of the shard stands beside it in
`NNNNN-STEM.quarantine.parquet`, written first. So a part that exists is a finished shard.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.digests import hasher
from thresher.data.files.atomic import write_table
from thresher.data.files.location import filesystem, is_remote
from thresher.data.files.quarantine import SCHEMA as QUARANTINE
from thresher.data.files.quarantine import read_quarantine, write_quarantine
from thresher.data.files.record_file import own_file
from thresher.data.pairs import Reject
from thresher.data.patterns import kind_of
from thresher.data.shards import state_of_shard
from thresher.errors import InputError

SUMMARY_FILE = "scores.json"
PARTS_FOLDER = "parts"
QUARANTINE_SUFFIX = ".quarantine.parquet"

ROW_COLUMNS = ("uid", "key", "shard", "caption")
"""Columns of a score table that are no scores."""

_NAME = re.compile(r"(\d{5,})-.+\.parquet")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a part was made of.

    Attributes:
        shard: The shard, as it was named.
        state: Its size and modification time (or what stands for them).
        scorers: Column -> fingerprint of the scorer that filled it; for embeddings what they depend on.
        exclude: Digest of the exclude list; empty without one.
    """

    shard: str
    state: str
    scorers: Mapping[str, str]
    exclude: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage that makes one part a shard, in the words that its errors are made of.

    Attributes:
        name: Its command, which stands as `stage` in the quarantine.
        done: What it did to a shard.
        noun: What its folder holds.
        differs: (what made a part, what this run makes parts with) -> how they differ, to stand after the
            part's path; None where they are the same.
        exclude_remedy: What to do about another exclude list.
        sources: What its parts are made of.
        unread: What became of a source that could not be read, to stand before the first of them.
        nothing: Beginning of the sentence that nothing was made.
    """

    name: str
    done: str
    noun: str
    differs: Callable[[Mapping[str, str], Mapping[str, str]], str | None]
    exclude_remedy: str
    sources: str = "shards"
    unread: str = "gave no pairs, the first is"
    nothing: str = "no pair was"

    @property
    def summary_file(self) -> str:
        """Name of the file that says what the folder holds."""
        return f"{self.noun}.json"

    @property
    def anew(self) -> str:
        """What to do about one of its parts that is damaged."""
        return f"delete it and run `{self.name}` again, which makes it anew"

    @property
    def stamp(self) -> bytes:
        """Key of the stamp in the metadata of a part."""
        return f"thresher.{self.noun}.part".encode()


def part_path(folder: Path, number: int, shard: str) -> Path:
    """Path of the part of shard `number`, which is called `shard`.

    >>> part_path(Path("scores"), 7, "s3://bucket/00007.tar").as_posix()
    'scores/parts/00007-00007.parquet'
    """
    name = shard.rstrip("/").rpartition("/")[2]
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name.removesuffix(".tar"))[:100].strip(".") or "shard"
    return folder / PARTS_FOLDER / f"{number:05d}-{stem}.parquet"


def quarantine_path(part: Path) -> Path:
    """Path of the quarantine table that belongs to a part."""
    return part.with_name(part.name.removesuffix(".parquet") + QUARANTINE_SUFFIX)


def list_parts(folder: str | os.PathLike[str]) -> list[Path]:
    """The parts of a folder, in the order of their shards."""
    return [Path(folder, PARTS_FOLDER, name) for name in part_names(folder)]


def part_names(folder: str | os.PathLike[str]) -> list[str]:
    """The names of the files that `list_parts` gives, which take a tenth of the memory."""
    return [name for name in _numbered(folder) if not name.endswith(QUARANTINE_SUFFIX)]


def list_quarantines(folder: str | os.PathLike[str]) -> list[Path]:
    """The quarantine tables of a folder, in the order of their shards."""
    names = (name for name in _numbered(folder) if name.endswith(QUARANTINE_SUFFIX))
    return [Path(folder, PARTS_FOLDER, name) for name in names]


def write_stamped(path: Path, table: pa.Table, stamp: Stamp, stage: Stage) -> None:
    """Write the table of a finished shard with what it was made of in its metadata."""
    metadata = {stage.stamp: json.dumps({"version": 1, **asdict(stamp)}, sort_keys=True)}
    write_table(path, table.replace_schema_metadata(metadata))


def write_rejects(part: Path, rejects: Sequence[Reject] | pa.Table) -> None:
    """Write what was refused of a shard beside its part; no file when nothing was."""
    if len(rejects):
        write_quarantine(quarantine_path(part), rejects)
    else:
        quarantine_path(part).unlink(missing_ok=True)


def rejects_of(part: Path) -> pa.Table:
    """What was refused beside a part."""
    path = quarantine_path(part)
    return read_quarantine(path) if path.exists() else QUARANTINE.empty_table()


def read_part(part: Path, stage: Stage, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a part, all of them where none are named.

    Raises:
        InputError: it is cut off or lacks one.
    """
    with own_file(part, stage.anew):
        return pq.read_table(part, columns=columns and list(columns), partitioning=None)


def num_rows(part: Path, stage: Stage) -> int:
    """Rows of a part; raises like `read_part`."""
    with own_file(part, stage.anew):
        return int(pq.read_metadata(part).num_rows)


def read_stamp(path: Path, stage: Stage) -> Stamp:
    """What the part at `path` was made of.

    Raises:
        InputError: the file is no part of a folder of this stage.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
        fields: dict[str, Any] = json.loads(metadata[stage.stamp])
        fields.pop("version")
        return Stamp(**fields)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(
            f"{path} is no part of a {stage.noun} folder; move it away or name another folder"
        ) from error


def check_stamp(path: Path, found: Stamp, now: Stamp, stage: Stage) -> None:
    """Refuse to go on from a part that was made of something else.

    Raises:
        InputError: the text names what differs, and the remedy.
    """
    if found.shard != now.shard:
        raise InputError(
            f"{path} holds the {stage.noun} of {found.shard}, but this run has {now.shard} in its place; "
            "give the shards in the same order (new ones last), or name another folder"
        )
    if found.state != now.state:
        raise InputError(
            f"{now.shard} changed since it was {stage.done} (size and time were {found.state}, are "
            f"{now.state}); delete {path} to {stage.name} it again"
        )
    difference = stage.differs(found.scorers, now.scorers)
    if difference is not None:
        raise InputError(f"{path} {difference}")
    if found.exclude != now.exclude:
        raise InputError(f"{path} was {stage.done} with another exclude list; {stage.exclude_remedy}")


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

    For a table, what its cells may name stands behind it.

    Args:
        shard: Path or fsspec URL.
        fresh: Ask the remote file system again, whatever it remembers of a listing.

    Raises:
        OSError: the shard cannot be looked at.
    """
    if fresh and is_remote(shard):
        fs, inner = filesystem(shard)
        fs.invalidate_cache(inner)
    state = state_of_shard(shard)
    if kind_of(shard) != "folder":
        return state
    return hasher(state.encode("utf-8", "surrogateescape"), size=8).hexdigest()


def digest_of(uids: frozenset[str]) -> str:
    """Sixteen hexadecimal digits that stand for a set of uids; empty for the empty set."""
    if not uids:
        return ""
    return hasher("\n".join(sorted(uids)).encode(), size=8).hexdigest()


def _numbered(folder: str | os.PathLike[str]) -> list[str]:
    parts = Path(folder, PARTS_FOLDER)
    if not parts.is_dir():
        return []
    found = [(int(match[1]), match[0]) for path in parts.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [name for _, name in sorted(found)]
