import numpy as np
import pytest
from benchmarks.published_search import (
    A_AXIS,
    B_AXIS,
    D_AXIS,
    POOL,
    TAU_AXIS,
    error_of_run,
    search_everything,
    search_in_loop,
    search_vectorised,
    visited,
)

from tests.planning.laws.planted import error_of_pool
from thresher.planning.runs.record import Run

LENGTHS = [25_600_000, 64_000_000, 128_000_000]
ON_GRID = {"a": A_AXIS[3], "d": D_AXIS[4]}
POOLS = {"p0": (B_AXIS[30], TAU_AXIS[60]), "p1": (B_AXIS[20], TAU_AXIS[10])}


def table(noise: float) -> list[Run]:
    """Two pools, planted on points of the grid."""
    rng = np.random.default_rng(0)
    return [
        Run(
            pool=pool,
            unique_samples=POOL,
            samples_seen=seen,
            error=error_of_run(seen, (ON_GRID["a"], ON_GRID["d"], *of_pool)) + noise * rng.standard_normal(),
            metric="zeroshot_error",
            final=True,
        )
        for pool, of_pool in POOLS.items()
        for seen in LENGTHS
    ]


def test_its_formula_is_the_utility_law():
    a, d, (b, tau) = ON_GRID["a"], ON_GRID["d"], POOLS["p0"]
    ours = error_of_pool(LENGTHS, POOL, A=1.0, n0=1e5 / a, d=d, b=b, tau=tau)
    np.testing.assert_allclose([error_of_run(seen, (a, d, b, tau)) for seen in LENGTHS], ours, rtol=1e-12)


def test_the_loop_and_the_arrays_find_the_same():
    picked = [picks[:, :300] for picks in visited(0, len(POOLS))]
    assert search_in_loop(table(0.01), picked) == pytest.approx(search_vectorised(table(0.01), picked))


def test_no_random_search_beats_the_whole_grid():
    assert search_everything(table(0.0)) == pytest.approx(0.0, abs=1e-20)
    whole = search_everything(table(0.01))
    assert all(search_vectorised(table(0.01), visited(seed, len(POOLS))) >= whole for seed in range(2))
