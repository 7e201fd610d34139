"""The manifest: which pairs a mix of pools draws, and how often each in one pass.

A pool of N_i pairs that is drawn with weight w_i shows each of its pairs in proportion to w_i / N_i. A pass
shows the pairs of the pool that is shown least once, so that the repeats of pool i are r_i = c w_i / N_i
with c = 1 / min_j(w_j / N_j); a uniform mix (w_i proportional to N_i) repeats nothing. Where a pass would
then be longer than the whole budget of n samples, c = n: one pass is the run, and a pool with r_i < 1 gives
a part of its pairs.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.errors import InputError
from thresher.pools.record import Pools
from thresher.subset.npy import uid_words

SCHEMA = pa.schema([("uid", pa.string()), ("pool", pa.string()), ("repeats", pa.int32())])

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def manifest(
    pools: Pools,
    mix: Mapping[str, float] | Sequence[str],
    *,
    samples_seen: int | None = None,
    exclude: frozenset[str] = frozenset(),
) -> pa.Table:
    """The pairs of a mix, in the order of the pool table: columns `uid`, `pool` (name), `repeats` (from 1).

    `mix` is pool name -> weight, or names for a uniform mix. `samples_seen` is the budget, which bounds the
    length of a pass. Repeats are whole: of a pool with r = 2.3, the 30% of its pairs whose uids hash lowest
    get 3 and the others 2, so the pool's total is exact to one draw and the same on every machine.

    Raises:
        InputError: an unknown pool, a weight that is not positive, or nothing left to draw.
    """
    weights = _weights(pools, mix)
    ranks = {pools.find(name).rank: name for name in weights}
    table = pools.table(["uid", "pool"])
    table = table.filter(pc.is_in(table.column("pool"), value_set=pa.array(sorted(ranks), pa.int16())))
    if exclude:
        listed = pc.is_in(table.column("uid"), value_set=pa.array(sorted(exclude), pa.string()))
        table = table.filter(pc.invert(listed))
    rank_of_row = table.column("pool").to_numpy()
    counts = {name: int(np.count_nonzero(rank_of_row == rank)) for rank, name in ranks.items()}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise InputError(f"pool {empty[0]} has no pairs left to draw from; leave it out of the mix")
    rates = repeat_rates(weights, counts, samples_seen)
    words = uid_words(table.column("uid"))
    repeats = np.zeros(table.num_rows, dtype=np.int32)
    for rank, name in ranks.items():
        rows = np.flatnonzero(rank_of_row == rank)
        repeats[rows] = whole_repeats(words[rows], rates[name])
    names = pa.array([ranks[rank] for rank in sorted(ranks)], pa.string())
    places = np.searchsorted(np.asarray(sorted(ranks)), rank_of_row)
    result = pa.table([table.column("uid"), names.take(pa.array(places)), pa.array(repeats)], schema=SCHEMA)
    return result.filter(pa.array(repeats > 0))


def repeat_rates(
    weights: Mapping[str, float], counts: Mapping[str, int], samples_seen: int | None
) -> dict[str, float]:
    """Mean repeats of each pool in one pass; see the module's text for the rule.

    >>> repeat_rates({"a": 0.5, "b": 0.5}, {"a": 100, "b": 300}, None)
    {'a': 3.0, 'b': 1.0}
    >>> repeat_rates({"a": 0.8, "b": 0.2}, {"a": 100, "b": 400}, 1000)
    {'a': 8.0, 'b': 0.5}
    """
    total = math.fsum(weights.values())
    shown = {name: weight / total / counts[name] for name, weight in weights.items()}
    least = min(shown.values())
    scale = 1 / least if samples_seen is None else min(1 / least, samples_seen)
    return {name: _snap(scale * value) for name, value in shown.items()}


def whole_repeats(words: npt.NDArray[np.uint64], rate: float) -> npt.NDArray[np.int32]:
    """Whole repeats of pairs with these uids (uint64 [n, 2]); their sum is `rate` x n, rounded."""
    base = math.floor(rate)
    more = round((rate - base) * len(words))
    repeats = np.full(len(words), base, dtype=np.int32)
    if more:
        order = np.lexsort((words[:, 1], words[:, 0], _hash(words)))
        repeats[order[:more]] += 1
    return repeats


def _weights(pools: Pools, mix: Mapping[str, float] | Sequence[str]) -> dict[str, float]:
    if not mix or isinstance(mix, str):
        raise InputError(f"the mix {mix!r} names no pools; give names, or name = weight")
    if isinstance(mix, Mapping):
        for name, weight in mix.items():
            if not (math.isfinite(weight) and weight > 0):
                raise InputError(f"the weight of pool {name!r} is {weight}; it must be positive, or left out")
        return {pools.find(name).name: float(weight) for name, weight in mix.items()}
    return {pool.name: float(pool.num_samples) for pool in map(pools.find, mix)}


def _snap(rate: float) -> float:
    """A rate within rounding error of a whole number is that number."""
    return float(round(rate)) if abs(rate - round(rate)) < 1e-9 * max(rate, 1.0) else rate


def _hash(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A well-mixed 64-bit hash of each uid (the finaliser of splitmix64 over its two halves)."""
    mixed = words[:, 0] ^ (words[:, 1] * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    hashed: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashed
