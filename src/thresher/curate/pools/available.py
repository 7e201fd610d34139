"""Which pairs exist: the uids found in the shards, whatever a metadata table lists."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thresher.data.shard_index import index_shards
from thresher.data.uids import uid_words
from thresher.errors import InputError
from thresher.sharded.parts import shard_state


def uids_in(
    shards: Sequence[str],
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 0,
) -> Iterator[npt.NDArray[np.uint64]]:
    """The uids of each shard's pairs (words, uint64 [n, 2]); pairs that the index refuses are not there.

    With `cache`, a folder, a shard that has not changed is not read again. The others are read by so many
    processes (0: this one).
    """
    found = index_shards(shards, cache, workers, columns=["uid"])
    for done, (_, indexed) in enumerate(found, start=1):
        yield uid_words(indexed.pairs.column("uid"))
        if progress is not None:
            progress(done, len(shards))


def state_of(shards: Sequence[str]) -> list[str]:
    """The shards with what changes when they do.

    Raises:
        InputError: a shard cannot be looked at.
    """
    try:
        return [f"{shard} {shard_state(shard)}" for shard in shards]
    except OSError as error:
        raise InputError(
            f"{error.filename or 'a shard'} cannot be read ({error.strerror or error}); check the path"
        ) from error
