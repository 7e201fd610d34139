"""How fast are fits and plans, and how do they compare with the search that was published with the law?

    python benchmarks/fit_speed.py [--tables 20] [--repeats 3] [--loop-points 2000] [--full]

Tables: 5 pools of 12.8M samples at 2, 4, 6, 8 and 10 passes, .3 points of noise on every error, planted by
the utility law from inside the grid of the search. One thread. A time is a median on the clock, with the
processor's time for the same calls in parentheses; on a machine of one's own the two agree. Goals in seconds
are held against the clock, ratios against the processor's time, which others on the machine disturb less.

Peer: the search of the authors of arXiv 2404.07177, written again, without their progress bar. For every
pool it visits 100,000 random points of a grid over (a, b, tau, d), 7 x 100 x 100 x 10, and evaluates the
formula run by run in a Python loop, the passes of one run as a small array. Pools share a and d, so the pair
with the lowest sum over pools of squared errors wins. The loop is timed on `--loop-points` points a pool and
extrapolated; `--full` times all 100,000. The vectorised search visits the same points and finds the same
residual, which is checked on the points of the loop: it gives the residuals of the comparison, and its own
time. Their a is 1e5 / n0 of ours, and their A is 1; d is added last in both.

Every line with a goal ends with "holds" or "DOES NOT HOLD"; the exit status is 1 where one does not.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from thresher.laws import LAWS
from thresher.laws.fit import fit
from thresher.laws.interval import bootstrap
from thresher.laws.problem import Problem, build_problem
from thresher.laws.solve import Solution, solve
from thresher.plans import make_plan
from thresher.runs import Run

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

POOL = 12_800_000
PASSES = (2.0, 4.0, 6.0, 8.0, 10.0)
NOISE = 0.003
LARGEST_ERROR = 0.97
LAW = LAWS["utility"]

SEARCHED = 100_000
UNIT = 1e5
"""Samples in the unit of their n."""
A_AXIS = np.array([0.01, 0.015, 0.018, 0.02, 0.022, 0.025, 0.03])
D_AXIS = np.linspace(0.02, 0.15, 10)
B_AXIS = np.linspace(-0.005, -0.5, 100)
TAU_AXIS = np.linspace(1.0, 10.0, 100)
GRID = (A_AXIS.size, D_AXIS.size, B_AXIS.size, TAU_AXIS.size)

FIT_MS, SPEEDUP, BOOTSTRAP_S, PLAN_S = 30.0, 1000.0, 20.0, 5.0
LINEAR, CUBIC = 2.0, 8.0
"""Growth when the number doubles."""
DRAWS, BOOTSTRAPS = 200, 1000
PLANNED_POOLS, PLANNED_BUDGETS = 8, 20
LENGTH_DOUBLINGS = 5
POOLS = (4, 8, 16)
SCALING_TABLES = 7


@dataclass(frozen=True, slots=True)
class Seconds:
    """Median time of a call: on the clock, and of the processor."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        if self.wall < 1:
            return f"{1e3 * self.wall:.1f} ms (CPU {1e3 * self.cpu:.1f} ms)"
        return f"{self.wall:.2f} s (CPU {self.cpu:.2f} s)"


@dataclass(slots=True)
class Sheet:
    """Prints one line a figure and remembers whether every goal was met."""

    met: bool = True

    def say(self, text: str, holds: bool | None = None) -> None:
        """A line, with its verdict where it has a goal."""
        if holds is not None:
            text = f"{text}: {'holds' if holds else 'DOES NOT HOLD'}"
            self.met = self.met and holds
        print(text, flush=True)


def main() -> int:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--tables", type=int, default=20, help="synthetic tables to fit and search")
    parser.add_argument("--repeats", type=int, default=3, help="times a table is fitted")
    parser.add_argument("--loop-points", type=int, default=2000, help="points a pool that the loop visits")
    parser.add_argument("--full", action="store_true", help="let the loop visit all points; about a minute")
    arguments = parser.parse_args()
    tables = [plant(number) for number in range(arguments.tables)]
    sheet = Sheet()
    sheet.say(
        f"Python {platform.python_version()}, numpy {np.__version__}, threads "
        f"{os.environ['OMP_NUM_THREADS']}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    solved = time_fits(sheet, tables, arguments.repeats)
    points = SEARCHED if arguments.full else min(arguments.loop_points, SEARCHED)
    time_searches(sheet, tables[0], points, solved)
    compare_residuals(sheet, tables)
    time_draws(sheet, tables[0], arguments.repeats)
    time_plans(sheet)
    time_growth(sheet, min(SCALING_TABLES, arguments.tables), arguments.repeats)
    return int(not sheet.met)


def plant(seed: int, num_pools: int = len(PASSES), passes: Sequence[float] = PASSES) -> list[Run]:
    """A noisy table of runs, planted inside the grid of the search; drawn again where an error nears 1."""
    rng = np.random.default_rng([seed, num_pools, len(passes)])
    lengths = [round(length * POOL) for length in passes]
    while True:
        a, d = rng.uniform(0.012, 0.028), rng.uniform(0.03, 0.14)
        b_P, tau_P = np.sort(rng.uniform(-0.2, -0.07, num_pools)), rng.uniform(1.5, 9.5, num_pools)
        exact_PR = np.array(
            [
                [error_of_run(seen, (a, d, b, tau)) for seen in lengths]
                for b, tau in zip(b_P, tau_P, strict=True)
            ]
        )
        if exact_PR.max() < LARGEST_ERROR:
            break
    noisy_PR = exact_PR + NOISE * rng.standard_normal(exact_PR.shape)
    return [
        Run(
            pool=f"p{place}",
            unique_samples=POOL,
            samples_seen=seen,
            error=float(error),
            metric="zeroshot_error",
            final=True,
        )
        for place, error_R in enumerate(noisy_PR)
        for seen, error in zip(lengths, error_R, strict=True)
    ]


def error_of_run(samples_seen: int, values: Iterable[float]) -> float:
    """Error of a run on one pool at (a, d, b, tau): `(a n_1)^b prod_j (n_j / n_{j-1})^(b_{j-1}) + d`."""
    a, d, b, tau = values
    passes = np.arange(samples_seen // POOL + 1)
    worth = b * 0.5 ** (passes / tau)
    ends = a * np.minimum(POOL * (passes + 1), samples_seen) / UNIT
    begins = a * POOL * passes / UNIT
    return float(ends[0] ** worth[0] * ((ends[1:] / begins[1:]) ** worth[1:]).prod() + d)


def time_fits(sheet: Sheet, tables: Sequence[list[Run]], repeats: int) -> Seconds:
    """Time of a joint fit: the median over the tables, each fitted `repeats` times."""

    def over_tables(work: Callable[[list[Run]], object]) -> Seconds:
        return median([timed(lambda runs=runs: work(runs), repeats) for runs in tables])

    solve_table(tables[0])
    solved = over_tables(solve_table)
    sheet.say(
        f"joint fit of the utility law, 5 pools x 5 points (build_problem, solve), median {solved}, goal "
        f"below {FIT_MS:g} ms",
        1e3 * solved.wall < FIT_MS,
    )
    whole = over_tables(lambda runs: fit(runs, law="utility", num_draws=0))
    sheet.say(
        'fit(runs, law="utility", num_draws=0), which fits that law and the power law to all runs and to '
        f"the shorter ones, median {whole}, goal below {FIT_MS:g} ms",
        1e3 * whole.wall < FIT_MS,
    )
    return solved


def time_searches(sheet: Sheet, runs: Sequence[Run], points: int, solved: Seconds) -> None:
    """The published search, in a loop and vectorised, beside the joint fit."""
    picked = visited(0)
    few = [picks[:, :points] for picks in picked]
    found = []
    visit = timed(lambda: found.append(search_in_loop(runs, few)), 1)
    np.testing.assert_allclose(found, search_vectorised(runs, few), rtol=1e-9)
    looped = Seconds(visit.wall * SEARCHED / points, visit.cpu * SEARCHED / points)
    how = "measured" if points == SEARCHED else f"extrapolated from {points:,} points a pool"
    sheet.say(
        f"random search of {SEARCHED:,} points a pool in a loop, {how}: {looped}, "
        f"{looped.cpu / solved.cpu:,.0f} times the joint fit, goal at least {SPEEDUP:,.0f}",
        looped.cpu >= SPEEDUP * solved.cpu,
    )
    vectorised = timed(lambda: search_vectorised(runs, picked), 5)
    sheet.say(
        f"the same search vectorised: {vectorised}, {vectorised.cpu / solved.cpu:.1f} times the joint fit"
    )


def visited(seed: int) -> list[Places]:
    """What a search visits of the grid, for each pool: places along a, d, b and tau, [4, N], none twice."""
    rng = np.random.default_rng([seed, SEARCHED])
    total = int(np.prod(GRID))
    return [np.array(np.unravel_index(rng.choice(total, SEARCHED, replace=False), GRID)) for _ in PASSES]


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


def _exposures(samples_seen: int) -> Floats:
    """Log of the samples seen, in their unit, repeats worth what each tau of the grid makes of them, [T]."""
    passes = np.arange(1, samples_seen // POOL + 1)
    growth = np.minimum(passes + 1, samples_seen / POOL) / passes
    fresh = min(POOL, samples_seen) / UNIT
    return np.asarray(np.log(fresh) + 0.5 ** (passes / TAU_AXIS[:, None]) @ np.log(growth))


def compare_residuals(sheet: Sheet, tables: Sequence[list[Run]]) -> None:
    """Sum of squared errors of the joint fit over that of the search of all points, table by table."""
    searched = [search_vectorised(runs, visited(number)) for number, runs in enumerate(tables)]
    for about, fixed in (("A held at 1 as in the search", {"A": 1.0}), ("A fitted", {})):
        ratios = [squares_of(runs, fixed) / best for runs, best in zip(tables, searched, strict=True)]
        worse = sum(ratio > 1 for ratio in ratios)
        sheet.say(
            f"squared residuals of the joint fit over those of the search, {len(tables)} tables, {about}: "
            f"median {statistics.median(ratios):.2f}, largest {max(ratios):.2f}, larger in {worse}",
            worse == 0,
        )


def time_draws(sheet: Sheet, runs: list[Run], repeats: int) -> None:
    """Bootstraps of one law, and the fit that weighs all laws."""
    problem, solution = solve_table(runs)
    drawn = timed(lambda: bootstrap(problem, solution, num_draws=BOOTSTRAPS, seed=0), repeats)
    sheet.say(
        f"{BOOTSTRAPS:,} bootstrap fits: {drawn}, goal below {BOOTSTRAP_S:g} s", drawn.wall < BOOTSTRAP_S
    )
    automatic = timed(lambda: fit(runs, num_draws=DRAWS), repeats)
    sheet.say(f'fit(runs, law="auto", num_draws={DRAWS}): {automatic}')


def time_plans(sheet: Sheet) -> None:
    """A plan over subsets and free weights, from laws that are fitted before the clock starts."""
    runs = plant(0, PLANNED_POOLS)
    budgets = np.geomspace(POOL, 16 * PLANNED_POOLS * POOL, PLANNED_BUDGETS).round().astype(int).tolist()
    for law in ("utility", "auto"):
        laws = fit(runs, law=law, num_draws=DRAWS)
        planned = timed(lambda laws=laws: make_plan(laws, budgets, weights="both"), 1)
        sheet.say(
            f"plan for {PLANNED_POOLS} pools ({2**PLANNED_POOLS - 1} subsets and free weights) x "
            f"{len(budgets)} budgets, bands from {DRAWS} draws of {len(laws.fits)} "
            f"law{'s'[: len(laws.fits) > 1]} ({law}): {planned}, goal below {PLAN_S:g} s",
            planned.wall < PLAN_S,
        )


def time_growth(sheet: Sheet, num_tables: int, repeats: int) -> None:
    """Seconds of a joint fit as the points, and as the pools, double."""
    lengths = [len(PASSES) * 2**k for k in range(LENGTH_DOUBLINGS + 1)]
    by_points = {
        len(PASSES) * count: [
            plant(seed, passes=np.geomspace(1.5, 10.0, count).tolist()) for seed in range(num_tables)
        ]
        for count in lengths
    }
    _say_growth(sheet, "points (5 pools)", by_points, LINEAR, repeats)
    by_pools = {pools: [plant(seed, pools) for seed in range(num_tables)] for pools in POOLS}
    _say_growth(sheet, "pools (5 points each)", by_pools, CUBIC, repeats)


def _say_growth(
    sheet: Sheet, what: str, tables: Mapping[int, list[list[Run]]], most: float, repeats: int
) -> None:
    counts = list(tables)
    taken = [
        median([timed(lambda runs=runs: solve_table(runs), repeats) for runs in tables[count]]).cpu
        for count in counts
    ]
    times = ", ".join(f"{count}: {1e3 * cpu:.0f}" for count, cpu in zip(counts, taken, strict=True))
    ratios = [after / before for before, after in pairwise(taken)]
    sheet.say(
        f"joint fit by number of {what}, CPU ms: {times}; each doubling times "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}, goal at most {most:g}",
        max(ratios) <= most,
    )


def solve_table(runs: Sequence[Run], fixed: Mapping[str, float] | None = None) -> tuple[Problem, Solution]:
    """The joint fit alone, without draws, other laws and sentences."""
    pools = list(dict.fromkeys(str(run.pool) for run in runs))
    return solve(build_problem(LAW, runs, pools, fixed or {}))


def squares_of(runs: Sequence[Run], fixed: Mapping[str, float]) -> float:
    """Sum of squared errors of the joint fit, in the units of the search."""
    problem, solution = solve_table(runs, fixed)
    error_R = np.exp(problem.log_error_R)
    predicted_R = error_R * np.exp(solution.residual_R / problem.scale_R)
    return float(((predicted_R - error_R) ** 2).sum())


def by_pool(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of each pool, pools in order of appearance."""
    pools = dict.fromkeys(run.pool for run in runs)
    return [[run for run in runs if run.pool == pool] for pool in pools]


def timed(work: Callable[[], object], repeats: int) -> Seconds:
    """Median time of `repeats` calls."""
    found = []
    for _ in range(max(1, repeats)):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        found.append(Seconds(time.perf_counter() - clock, time.process_time() - processor))
    return median(found)


def median(found: Sequence[Seconds]) -> Seconds:
    """Medians of both times."""
    return Seconds(
        statistics.median(seconds.wall for seconds in found),
        statistics.median(seconds.cpu for seconds in found),
    )


if __name__ == "__main__":
    sys.exit(main())
