"""The manifest: which pairs a mix of pools draws, and how often each in one pass.

A pool of N_i pairs that is drawn with weight w_i shows each of its pairs in proportion to w_i / N_i. A pass
shows the pairs of the pool that is shown least once, so that the repeats of pool i are r_i = c w_i / N_i
with c = 1 / min_j(w_j / N_j); a uniform mix (w_i proportional to N_i) repeats nothing. Where a pass would
then be longer than the whole budget of n samples, c = n: one pass is the run, and a pool with r_i < 1 gives
a part of its pairs.

Repeats are whole: of a pool with r = 2.3, the 30% of its pairs whose uids hash lowest get 3 and the others
2, so the pool's total is exact to one draw and the same on every machine. Where the 30% end is found from
counts by the upper bits of the hash, so that no more than a piece of the pool table is ever held.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.curate.pools.record import Pools
from thresher.data.uids import scrambled, uid_words
from thresher.errors import InputError

SCHEMA = pa.schema([("uid", pa.string()), ("pool", pa.string()), ("repeats", pa.int32())])

_CELLS = 2**22
"""Counts that are held to find where the pairs with one repeat more end, for all pools together."""

Words = npt.NDArray[np.uint64]
Ranks = npt.NDArray[np.int16]
Mark = tuple[int, int, int]
"""Hash of a uid and its two halves: the order in which pairs get one repeat more."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a pool gives to a pass: `base` repeats of a pair, one more of those up to the mark `more_to`."""

    name: str
    base: int
    more_to: Mark | None

    def repeats(self, words: Words) -> npt.NDArray[np.int32]:
        """Repeats of pairs with these uids (uint64 [n, 2])."""
        repeats = np.full(len(words), self.base, dtype=np.int32)
        if self.more_to is not None:
            mark, high, low = (np.uint64(value) for value in self.more_to)
            hashes = _hash(words)
            within = (words[:, 0] < high) | ((words[:, 0] == high) & (words[:, 1] <= low))
            repeats += (hashes < mark) | ((hashes == mark) & within)
        return repeats


@dataclass(frozen=True, slots=True)
class Manifest:
    """The pairs of a mix in the order of the pool table, read from it whenever they are asked for.

    `shares` is rank of the pool -> what it gives.
    """

    pools: Pools
    shares: Mapping[int, Share]
    exclude: pa.Array

    @property
    def schema(self) -> pa.Schema:
        """Columns `uid`, `pool` (name), `repeats` (from 1)."""
        return SCHEMA

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(self.to_batches(), SCHEMA)

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, some thousand at a time."""
        ranks = sorted(self.shares)
        names = pa.array([self.shares[rank].name for rank in ranks], pa.string())
        for uids, words, rank_of_row in _rows(self.pools, ranks, self.exclude):
            repeats = np.zeros(len(uids), dtype=np.int32)
            for rank, share in self.shares.items():
                rows = np.flatnonzero(rank_of_row == rank)
                repeats[rows] = share.repeats(words[rows])
            places = pa.array(np.searchsorted(ranks, rank_of_row))
            batch = pa.record_batch([uids, names.take(places), pa.array(repeats)], schema=SCHEMA)
            yield batch.filter(pa.array(repeats > 0))


def manifest(
    pools: Pools,
    mix: Mapping[str, float] | Sequence[str],
    *,
    samples_seen: int | None = None,
    exclude: frozenset[str] = frozenset(),
) -> Manifest:
    """Which pairs a mix draws, and how often each in one pass; see the module's text for the rule.

    `mix` is pool name -> weight, or names for a uniform mix. `samples_seen` is the budget, which bounds the
    length of a pass.

    Raises:
        InputError: an unknown pool, a weight that is not positive, or nothing left to draw.
    """
    weights = _weights(pools, mix)
    ranks = {pools.find(name).rank: name for name in weights}
    excluded = pa.array(sorted(exclude), pa.string())
    counts_PC = _counts(pools, list(ranks), excluded)
    counts = {name: int(row.sum()) for name, row in zip(ranks.values(), counts_PC, strict=True)}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise InputError(f"pool {empty[0]} has no pairs left to draw from; leave it out of the mix")
    rates = repeat_rates(weights, counts, samples_seen)
    more = {rank: _num_more(rates[name], counts[name]) for rank, name in ranks.items()}
    marks = _marks(pools, counts_PC, more, excluded)
    shares = {rank: Share(name, math.floor(rates[name]), marks.get(rank)) for rank, name in ranks.items()}
    return Manifest(pools, shares, excluded)


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
    repeats = np.full(len(words), math.floor(rate), dtype=np.int32)
    more = _num_more(rate, len(words))
    if more:
        order = np.lexsort((words[:, 1], words[:, 0], _hash(words)))
        repeats[order[:more]] += 1
    return repeats


def _num_more(rate: float, count: int) -> int:
    """How many of `count` pairs get one repeat more than the whole part of `rate`."""
    return round((rate - math.floor(rate)) * count)


def _rows(pools: Pools, ranks: Sequence[int], exclude: pa.Array) -> Iterator[tuple[pa.Array, Words, Ranks]]:
    """Uid (text, and as words) and rank of the pairs of some pools that are not excluded, piece by piece."""
    wanted = pa.array(sorted(ranks), pa.int16())
    for batch in pools.batches(["uid", "pool"]):
        keep = pc.is_in(batch.column("pool"), value_set=wanted)
        if len(exclude):
            keep = pc.and_not(keep, pc.is_in(batch.column("uid"), value_set=exclude))
        found = batch.filter(keep)
        if found.num_rows:
            uids, rank_of_row = found.columns
            yield uids, uid_words(uids), rank_of_row.to_numpy()


def _counts(pools: Pools, ranks: Sequence[int], exclude: pa.Array) -> npt.NDArray[np.int64]:
    """Pairs of each pool by the upper bits of the hash of their uids."""
    bits = (_CELLS // len(ranks)).bit_length() - 1
    counts_PC = np.zeros((len(ranks), 2 ** min(bits, 16)), dtype=np.int64)
    place_of_rank = {rank: place for place, rank in enumerate(ranks)}
    for _, words, rank_of_row in _rows(pools, ranks, exclude):
        places = np.array([place_of_rank.get(rank, 0) for rank in range(max(ranks) + 1)])[rank_of_row]
        cells = places * counts_PC.shape[1] + _cell(_hash(words), counts_PC.shape[1])
        counts_PC += np.bincount(cells, minlength=counts_PC.size).reshape(counts_PC.shape)
    return counts_PC


def _marks(
    pools: Pools, counts_PC: npt.NDArray[np.int64], more: Mapping[int, int], exclude: pa.Array
) -> dict[int, Mark]:
    """For each pool of which `more` pairs get one repeat more, the mark of the last of them."""
    cell_of: dict[int, int] = {}
    left: dict[int, int] = {}
    for row, (rank, number) in zip(counts_PC, more.items(), strict=True):
        if number:
            until = np.cumsum(row)
            cell_of[rank] = int(np.searchsorted(until, number))
            left[rank] = number - int(until[cell_of[rank]] - row[cell_of[rank]])
    if not cell_of:
        return {}
    near: dict[int, list[npt.NDArray[np.uint64]]] = {rank: [] for rank in cell_of}
    for _, words, rank_of_row in _rows(pools, list(cell_of), exclude):
        marks = np.column_stack([_hash(words), words])
        cells = _cell(marks[:, 0], counts_PC.shape[1])
        for rank, cell in cell_of.items():
            near[rank].append(marks[(rank_of_row == rank) & (cells == cell)])
    found = {}
    for rank, pieces in near.items():
        marks = np.concatenate(pieces)
        last = marks[np.lexsort((marks[:, 2], marks[:, 1], marks[:, 0]))[left[rank] - 1]]
        found[rank] = (int(last[0]), int(last[1]), int(last[2]))
    return found


def _cell(hashes: npt.NDArray[np.uint64], num_cells: int) -> npt.NDArray[np.int64]:
    """The upper bits of hashes, a number below `num_cells` (a power of two)."""
    return (hashes >> np.uint64(65 - num_cells.bit_length())).astype(np.int64)


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
    return scrambled(words[:, 0] ^ (words[:, 1] * np.uint64(0x9E3779B97F4A7C15)))
