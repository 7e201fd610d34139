"""Candidate mixes: subsets of the pools, drawn uniformly over their samples, and mixes of free weights.

People and plans write a mix as "0-10% + 10-20%", or with weights as "0.7 x 0-10% + 0.3 x 10-20%".
Axes: C candidates, P pools (all pools of the laws, in their order).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thresher.data.files.record_file import read_record
from thresher.errors import InputError
from thresher.planning.laws.law import Floats
from thresher.tables import decimal

MOST_POOLS = 12
"""Pools whose subsets are all compared (4095 of them); above, subsets are searched."""
_DECIMALS = 3
"""Of a free weight."""

_WEIGHTED = re.compile(r"\s*(?P<weight>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*x\s+(?P<pool>.*\S)\s*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixes:
    """Candidates as arrays.

    Attributes:
        pools: Names of the pools.
        size_P: Samples in each pool; 1 for a pool that takes no part.
        weights_CP: Sampling weights, which sum to 1.
        weighted_C: Whether the weights are free ones; those of a subset are `w_i = N_i / sum N`.
    """

    pools: tuple[str, ...]
    size_P: Floats
    weights_CP: Floats
    weighted_C: NDArray[np.bool_]


def all_mixes(pools: Sequence[str], sizes: Mapping[str, int]) -> Mixes:
    """Every non-empty subset of the pools that have samples.

    Raises:
        InputError: where all pools are empty, or more than 12 are not.
    """
    filled = filled_pools(pools, sizes)
    if len(filled) > MOST_POOLS:
        raise InputError(
            f"{len(filled)} pools have {2 ** len(filled) - 1} subsets, too many to list; search them instead"
        )
    masks_C = np.arange(1, 2 ** len(filled))
    member_CP = np.zeros((masks_C.size, len(pools)), bool)
    member_CP[:, filled] = (masks_C[:, None] >> np.arange(len(filled))) & 1
    return subset_mixes(pools, sizes, member_CP)


def filled_pools(pools: Sequence[str], sizes: Mapping[str, int]) -> list[int]:
    """Places of the pools that have samples.

    Raises:
        InputError: where none has.
    """
    filled = [number for number, pool in enumerate(pools) if sizes.get(pool, 0) > 0]
    if not filled:
        raise InputError("every pool is empty; cut the scores at other edges")
    return filled


def subset_mixes(pools: Sequence[str], sizes: Mapping[str, int], member_CP: NDArray[np.bool_]) -> Mixes:
    """The subsets that `member_CP` tells."""
    size_P = np.array([max(1, sizes.get(pool, 0)) for pool in pools], float)
    return Mixes(
        pools=tuple(pools),
        size_P=size_P,
        weights_CP=uniform_weights(member_CP, size_P),
        weighted_C=np.zeros(len(member_CP), bool),
    )


def uniform_weights(member_CP: NDArray[np.bool_], size_P: Floats) -> Floats:
    """Weights of drawing uniformly over the samples of the pools in `member_CP`."""
    return member_CP * size_P / (member_CP @ size_P)[:, None]


def with_weights(mixes: Mixes, weights_FP: Floats) -> Mixes:
    """The mixes and, last, those of free weights."""
    return Mixes(
        pools=mixes.pools,
        size_P=mixes.size_P,
        weights_CP=np.concatenate([mixes.weights_CP, weights_FP]),
        weighted_C=np.concatenate([mixes.weighted_C, np.ones(len(weights_FP), bool)]),
    )


def rounded(weights_P: Floats) -> Floats:
    """The weights in whole thousandths that sum to 1; the largest remainders are rounded up.

    >>> rounded(np.array([2 / 3, 1 / 3, 1e-5])).tolist()
    [0.667, 0.333, 0.0]
    """
    steps = 10**_DECIMALS
    whole_P = np.floor(weights_P * steps + 1e-9)
    short = round(steps - float(whole_P.sum()))
    whole_P[np.argsort(whole_P - weights_P * steps, kind="stable")[:short]] += 1
    return np.asarray(whole_P / steps)


def mix_pools(mixes: Mixes, candidate: int) -> tuple[str, ...]:
    """Names of the pools of one candidate."""
    return tuple(mix_weights(mixes, candidate))


def mix_weights(mixes: Mixes, candidate: int) -> dict[str, float]:
    """Pool name to weight of one candidate."""
    weights_P = mixes.weights_CP[candidate]
    return {pool: float(weight) for pool, weight in zip(mixes.pools, weights_P, strict=True) if weight > 0}


def mix_name(mixes: Mixes, candidate: int) -> str:
    """Name of one candidate: its pools joined by " + ", each with its weight where weights are free."""
    if not mixes.weighted_C[candidate]:
        return " + ".join(mix_pools(mixes, candidate))
    return " + ".join(
        f"{decimal(weight, 3)} x {pool}" for pool, weight in mix_weights(mixes, candidate).items()
    )


def is_simple(weights_P: Floats, filled: Sequence[int]) -> bool:
    """Whether it is a single pool, or the first few of the filled pools without a gap."""
    active = [bool(weights_P[place] > 0) for place in filled]
    return sum(active) == 1 or all(active[: sum(active)])


def read_pool_sizes(path: Path | str) -> dict[str, int]:
    """Samples in each pool of a `pools.json` (or of the folder that holds it), best pool first.

    Raises:
        InputError: where there is no such file or it is not one.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "pools.json"
    return read_record(
        path,
        "thresher.pools",
        1,
        "thresher cut",
        lambda record: {str(pool["name"]): int(pool["num_samples"]) for pool in record["pools"]},
    )


def parse_mix(text: str, sizes: Mapping[str, float]) -> dict[str, float]:
    """Pool to sampling weight; drawn uniformly over the samples of the pools where no weights stand.

    Args:
        text: Names of pools joined by `+`, each with its weight before an `x` or none of them. The spaces
            around `+` may be left out where what stands between are pools.
        sizes: Samples in each pool that there is.

    Raises:
        InputError: a pool is unknown or stands there twice, or only some of them have weights.

    >>> parse_mix("top + rest", {"top": 100, "rest": 300})
    {'top': 0.25, 'rest': 0.75}
    >>> parse_mix("3 x top + 1 x rest", {"top": 100, "rest": 300})
    {'top': 0.75, 'rest': 0.25}
    """
    if text.strip() in sizes:
        return {text.strip(): 1.0}
    weights: dict[str, float] = {}
    bare = 0
    ways = [[_weighted(part, sizes) for part in text.split(mark)] for mark in (" + ", "+")]
    for pool, written in next((way for way in ways if all(pool in sizes for pool, _ in way)), ways[0]):
        weight = None if written is None else _weight(written, text)
        if pool not in sizes:
            raise InputError(
                f"mix {text!r}: there is no pool {pool!r}; there are {', '.join(sizes)}, joined by ' + '"
            )
        if pool in weights:
            raise InputError(f"mix {text!r}: pool {pool!r} stands there twice; add its weights up")
        bare += weight is None
        weights[pool] = float(sizes[pool]) if weight is None else weight
    if 0 < bare < len(weights):
        raise InputError(f"mix {text!r}: give every pool a weight (0.7 x POOL), or none of them")
    total = sum(weights.values())
    if not total > 0:
        raise InputError(f"mix {text!r}: the weights sum to zero; give one pool a positive weight")
    return {pool: weight / total for pool, weight in weights.items()}


def _weighted(part: str, sizes: Mapping[str, float]) -> tuple[str, str | None]:
    """A pool, and its weight as it is written before it."""
    match = None if part.strip() in sizes else _WEIGHTED.fullmatch(part)
    return (part.strip(), None) if match is None else (match["pool"], match["weight"])


def _weight(text: str, mix: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"mix {mix!r}: {text!r} is not a number") from None
