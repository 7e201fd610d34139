"""The search that was published with the utility law, in our own words: random points of a grid.

The authors of arXiv 2404.07177 take one candidate (a, b, tau, d) at a time, one pool after the other, and
evaluate the formula run by run, the passes of one run as a small array; 100,000 points a pool in random
order. Pools share a and d here, as where the authors fit them jointly, so the pair with the lowest sum over
pools of squared errors wins: their 7 values of a, 10 of d, 100 of b and 100 of tau. Their a is 1e5 / n0 of
ours, and their A is 1; d is added last. Axes: N points, R runs, T half-lives, B exponents.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from thresher.planning.runs.record import Run

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

POOL = 12_800_000
SEARCHED = 100_000
UNIT = 1e5
"""Samples in the unit of their n."""
A_AXIS = np.array([0.01, 0.015, 0.018, 0.02, 0.022, 0.025, 0.03])
D_AXIS = np.linspace(0.02, 0.15, 10)
B_AXIS = np.linspace(-0.005, -0.5, 100)
TAU_AXIS = np.linspace(1.0, 10.0, 100)
GRID = (A_AXIS.size, D_AXIS.size, B_AXIS.size, TAU_AXIS.size)
OWN_A_AXIS, HELD_D = np.linspace(0.0001, 0.02, 100), 0.1


def by_pool(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of each pool, pools in order of appearance."""
    pools = dict.fromkeys(run.pool for run in runs)
    return [[run for run in runs if run.pool == pool] for pool in pools]


def error_of_run(samples_seen: int, values: Iterable[float]) -> float:
    """Error of a run on one pool at (a, d, b, tau): `(a n_1)^b prod_j (n_j / n_{j-1})^(b_{j-1}) + d`."""
    a, d, b, tau = values
    passes = np.arange(samples_seen // POOL + 1)
    worth = b * 0.5 ** (passes / tau)
    ends = a * np.minimum(POOL * (passes + 1), samples_seen) / UNIT
    begins = a * POOL * passes / UNIT
    return float(ends[0] ** worth[0] * ((ends[1:] / begins[1:]) ** worth[1:]).prod() + d)


def visited(seed: int, num_pools: int = 5) -> list[Places]:
    """What a search visits of the grid, for each pool: places along a, d, b and tau, [4, N], none twice."""
    rng = np.random.default_rng([seed, SEARCHED])
    total = int(np.prod(GRID))
    return [
        np.array(np.unravel_index(rng.choice(total, SEARCHED, replace=False), GRID)) for _ in range(num_pools)
    ]


def search_in_loop(runs: Sequence[Run], picked: Sequence[Places]) -> float:
    """Lowest sum of squared errors over all runs at an a and d that the pools share, point by point."""
    best = np.full((len(picked), *GRID[:2]), np.inf)
    for place, (rows, picks) in enumerate(zip(by_pool(runs), picked, strict=True)):
        for at_a, at_d, at_b, at_tau in picks.T:
            values = (A_AXIS[at_a], D_AXIS[at_d], B_AXIS[at_b], TAU_AXIS[at_tau])
            squares = 0.0
            for run in rows:
                squares += (error_of_run(run.samples_seen, values) - run.error) ** 2
            if squares < best[place, at_a, at_d]:
                best[place, at_a, at_d] = squares
    return float(best.sum(0).min())


def search_vectorised(runs: Sequence[Run], picked: Sequence[Places]) -> float:
    """The same, all points of a pool at once; what the passes add up to is computed once for each tau."""
    best = np.full((len(picked), *GRID[:2]), np.inf)
    for place, (rows, picks) in enumerate(zip(by_pool(runs), picked, strict=True)):
        at_a, at_d, at_b, at_tau = picks
        exposure_TR = np.column_stack([_exposures(run.samples_seen) for run in rows])
        log_NR = exposure_TR[at_tau] + np.log(A_AXIS)[at_a, None]
        error_NR = np.exp(B_AXIS[at_b, None] * log_NR) + D_AXIS[at_d, None]
        squares_N = ((error_NR - [run.error for run in rows]) ** 2).sum(1)
        np.minimum.at(best[place], (at_a, at_d), squares_N)
    return float(best.sum(0).min())


def search_everything(runs: Sequence[Run]) -> float:
    """What the best point of the whole grid leaves, at an a and d that the pools share."""
    pools = by_pool(runs)
    best = np.empty((len(pools), *GRID[:2]))
    for place, rows in enumerate(pools):
        exposure_TR = np.column_stack([_exposures(run.samples_seen) for run in rows])
        for at_a, a in enumerate(A_AXIS):
            above_BTR = np.exp(B_AXIS[:, None, None] * (exposure_TR + np.log(a)))
            for at_d, d in enumerate(D_AXIS):
                off_BTR = above_BTR + (d - np.array([run.error for run in rows]))
                best[place, at_a, at_d] = np.square(off_BTR).sum(-1).min()
    return float(best.sum(0).min())


def search_alone(runs: Sequence[Run], seed: int) -> float:
    """What random searches leave that give each pool its own a and hold d: the authors' other setting."""
    rng = np.random.default_rng([seed, SEARCHED, len(OWN_A_AXIS)])
    grid = (OWN_A_AXIS.size, B_AXIS.size, TAU_AXIS.size)
    squares = 0.0
    for rows in by_pool(runs):
        at_a, at_b, at_tau = np.unravel_index(rng.choice(np.prod(grid), SEARCHED, replace=False), grid)
        exposure_TR = np.column_stack([_exposures(run.samples_seen) for run in rows])
        log_NR = exposure_TR[at_tau] + np.log(OWN_A_AXIS)[at_a, None]
        off_NR = np.exp(B_AXIS[at_b, None] * log_NR) + HELD_D - np.array([run.error for run in rows])
        squares += float(np.square(off_NR).sum(1).min())
    return squares


def _exposures(samples_seen: int) -> Floats:
    """Log of the samples seen, in their unit, repeats worth what each tau of the grid makes of them, [T]."""
    passes = np.arange(1, samples_seen // POOL + 1)
    growth = np.minimum(passes + 1, samples_seen / POOL) / passes
    fresh = min(POOL, samples_seen) / UNIT
    return np.asarray(np.log(fresh) + 0.5 ** (passes / TAU_AXIS[:, None]) @ np.log(growth))
