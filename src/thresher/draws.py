"""The pairs that a short run on a mix of pools draws: a share of each pool, repeated by its weight."""

from collections.abc import Mapping, Sequence

import numpy as np

from thresher.data.uids import uid_words
from thresher.errors import InputError
from thresher.pools import Pools
from thresher.subset.manifest import repeat_rates, whole_repeats
from thresher.train.dataset import OpenDataset
from thresher.train.pairs import Pairs

SUBSAMPLE_SEED = 977
Members = Mapping[str, tuple[str, ...]]
"""Pool -> its uids, in the order of the pool table."""


def pool_members(pools: Pools) -> dict[str, tuple[str, ...]]:
    """The uids of every pool."""
    return {name: tuple(pools.uids(name).to_pylist()) for name in pools.names}


def subsample(uids: Sequence[str], fraction: float) -> list[str]:
    """The first `fraction` of a fixed shuffle of a pool, so that smaller subsamples lie in larger ones."""
    count = _share(len(uids), fraction)
    order = np.random.default_rng([SUBSAMPLE_SEED, len(uids)]).permutation(len(uids))[:count]
    return [uids[place] for place in order.tolist()]


def num_unique(members: Members, weights: Mapping[str, float], fraction: float) -> dict[str, int]:
    """Pairs of each pool of a mix that `subsample` keeps."""
    return {name: _share(len(members[name]), fraction) for name in weights}


def _share(count: int, fraction: float) -> int:
    return max(1, round(count * fraction))


def draw_pairs(
    members: Members, weights: Mapping[str, float], fraction: float, samples_seen: int, opened: OpenDataset
) -> Pairs:
    """The pairs of a mix, with the repeats that give its pools their weights in a run of `samples_seen`.

    Raises:
        InputError: an image that was scored cannot be decoded any more.
    """
    rates = repeat_rates(weights, num_unique(members, weights, fraction), samples_seen)
    rows, repeats = [], []
    for name in weights:
        uids = subsample(members[name], fraction)
        rows.append(opened.places(uids))
        repeats.append(whole_repeats(uid_words(uids), rates[name]).astype(np.int64))
    all_rows, all_repeats = np.concatenate(rows), np.concatenate(repeats)
    if len(all_rows) != len(all_repeats):
        raise InputError(
            f"images of the pools no longer decode ({len(opened.rejects)}); score and cut the shards again"
        )
    shown = all_repeats > 0
    return Pairs(
        images=opened.images, tokens=opened.tokens_nT, rows=all_rows[shown], repeats=all_repeats[shown]
    )
