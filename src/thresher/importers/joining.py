"""How the rows of imported tables find their pairs: columns that name them, and the shards that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from thresher.importers.naming import Naming, naming_of
from thresher.importers.parquet_files import Source
from thresher.importers.pieces import Filled, counted
from thresher.importers.shard_pairs import ShardPairs, joined_by, pairs_of
from thresher.importers.unscored import write_unscored
from thresher.scores.parts import Stage, list_parts

JOINED = "joined by"
"""Name under which a part's stamp says how its rows found their pairs."""

OTHER_JOIN = "was joined to other shards, or by other columns of uid or key, or carries other columns"
"""How the part differs where that is not the same, to stand after its path."""

INDEX = "index"
"""Folder, beside the parts, that keeps the index of the shards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How rows find their pairs.

    Attributes:
        namings: By the number of each source.
        pairs: The pairs of the shards; None without shards.
        mark: What stands for both in the stamp of a part.
    """

    namings: Mapping[int, Naming]
    pairs: ShardPairs | None
    mark: str


def join(
    sources: Sequence[Source],
    folder: Path,
    *,
    uid: str | None,
    key: str | None,
    shards: Sequence[str],
    also: Sequence[str] = (),
) -> Joining:
    """Look into the sources and index the shards; `also` are further settings that parts depend on.

    Raises:
        InputError: a source does not say which pair a row is about.
    """
    namings = {source.number: naming_of(source, uid=uid, key=key, pairs=bool(shards)) for source in sources}
    by_key = any(naming.uid is None for naming in namings.values())
    pairs = pairs_of(shards, cache=folder / INDEX, by_key=by_key) if shards else None
    return Joining(namings=namings, pairs=pairs, mark=joined_by(shards, [uid, key, *also]))


def joined(filled: Filled, folder: Path, joining: Joining, stage: Stage) -> Filled:
    """What a filled folder holds, and what its pairs lack.

    Pairs of the shards that no row is about go to the quarantine.
    """
    if joining.pairs is None:
        return counted(filled, folder)
    missing = write_unscored(folder, list_parts(folder), joining.pairs, stage, filled.files)
    return replace(counted(filled, folder), missing=missing, unreadable_shards=joining.pairs.unreadable)
