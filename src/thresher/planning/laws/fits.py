"""One law's fit: its parameters with intervals and draws, and what each pool's say.

Axes: S draws, P pools.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from thresher.data.files.record_file import named
from thresher.planning.laws.law import Floats

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLaw:
    """One pool's own parameters.

    Attributes:
        values: "b" (initial utility, at most 0) or "quality", and "tau" (half-life in passes at `num_unique`
            samples) where the law has one; "A" and "d" where each pool has its own.
        num_unique: Pool size at which `tau` holds.
        pool_samples: Size of the whole pool.
        intervals: 5-95% intervals of `values`.
        status: Sentences about what is not identified or sits at a bound, each with the remedy.
    """

    name: str
    values: Mapping[str, float]
    num_unique: float
    pool_samples: float
    intervals: Mapping[str, Interval]
    status: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """One law fitted jointly to the runs of all pools.

    Attributes:
        shared: Values of the parameters that all pools share, by name; d is the irreducible error.
        num_params: Model size at which `size` holds; None where the runs are of models of one size.
        intervals: 5-95% intervals of the shared parameters; a held one has none.
        noise: Standard deviation of the residuals, in units of the error.
        noise_freedom: Degrees of freedom that the noise was measured with; infinite where it is known.
        status: Sentences about the shared parameters, each with the remedy.
        draws_SX: Parameters that other runs of the same kind could have given, one row each.
        draw_names: Columns of the draws: "d", "b:0-10%", "tau:0-10%", "d:0-10%".
        own: What of A and d each pool has its own of; those in `shared` are what the pools' lie around.
    """

    law: str
    shared: Mapping[str, float]
    pools: tuple[PoolLaw, ...]
    num_params: float | None
    intervals: Mapping[str, Interval]
    noise: float
    noise_freedom: float = np.inf
    own: tuple[str, ...] = ()
    status: tuple[str, ...]
    draw_names: tuple[str, ...]
    draws_SX: Floats = field(repr=False, metadata=named("draws"))
