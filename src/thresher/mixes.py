"""Candidate mixes: every subset of the pools, drawn uniformly over its samples.

Axes: C candidates, P pools (all pools of the fit, in its order).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.laws.law import Floats
from thresher.laws.store import read_record

MOST_POOLS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixes:
    """Candidates as arrays.

    Attributes:
        pools: Names of the pools.
        member_CP: Whether a candidate draws from a pool.
        size_P: Samples in each pool; 1 for a pool that takes no part.
        weights_CP: Sampling weights `w_i = N_i / sum N`.
        unique_C: Samples in the pools of a candidate.
    """

    pools: tuple[str, ...]
    member_CP: NDArray[np.bool_]
    size_P: Floats
    weights_CP: Floats
    unique_C: Floats


def all_mixes(pools: Sequence[str], sizes: Mapping[str, int]) -> Mixes:
    """Every non-empty subset of the pools that have samples.

    Raises:
        InputError: where all pools are empty, or more than 12 are not.
    """
    filled = [number for number, pool in enumerate(pools) if sizes.get(pool, 0) > 0]
    if not filled:
        raise InputError("every pool is empty; cut the scores at other edges")
    if len(filled) > MOST_POOLS:
        raise InputError(
            f"{len(filled)} pools have too many subsets to compare; cut at most {MOST_POOLS} pools"
        )
    masks_C = np.arange(1, 2 ** len(filled))
    member_CP = np.zeros((masks_C.size, len(pools)), bool)
    member_CP[:, filled] = (masks_C[:, None] >> np.arange(len(filled))) & 1
    size_P = np.array([max(1, sizes.get(pool, 0)) for pool in pools], float)
    unique_C = member_CP @ size_P
    return Mixes(
        pools=tuple(pools),
        member_CP=member_CP,
        size_P=size_P,
        weights_CP=member_CP * size_P / unique_C[:, None],
        unique_C=unique_C,
    )


def mix_pools(mixes: Mixes, candidate: int) -> tuple[str, ...]:
    """Names of the pools of one candidate."""
    return tuple(pool for pool, drawn in zip(mixes.pools, mixes.member_CP[candidate], strict=True) if drawn)


def mix_name(mixes: Mixes, candidate: int) -> str:
    """Name of one candidate: its pools joined by " + "."""
    return " + ".join(mix_pools(mixes, candidate))


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
