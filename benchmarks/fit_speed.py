"""How fast are fits and plans, and how do they compare with the search that was published with the law?

    python benchmarks/fit_speed.py [--tables 20] [--repeats 3] [--loop-points 2000] [--full] [--published DIR]

Tables: 5 pools of 12.8M samples at 2, 4, 6, 8 and 10 passes, .3 points of noise on every error, planted by
the utility law from inside the grid of the search. One thread. A time is a median, of the processor and, in
parentheses, on the clock; on a machine of one's own the two agree. Goals are held against the processor's
time, which others on the machine disturb less.

Peer: the random search that was published with the law (`published_search.py`), 100,000 points a pool.

- Its loop in our words does less a candidate than the authors' code: no progress bar, no message, no look-up
  of where a value stands on its axis, no copies. The goal is held against it. It is timed on `--loop-points`
  points a pool and extrapolated; `--full` visits all 100,000.
- `--published DIR` times the authors' own functions, from a checkout of their repository,
  locuslab/scaling_laws_data_filtering on GitHub (it needs tqdm and matplotlib): all b and tau at one a and d
  for every pool, which is 10,000 points.
- The vectorised search visits the same points and finds the same residual, which is checked on the points of
  the loop.

Residuals are compared with the random search, with all points of that grid, which no random search of it can
beat, and with their search of one pool on its own: a of each pool's own, 100 values up to .02, d held at .1;
there our fit gives each pool its own A.

Every line with a goal ends with "holds" or "DOES NOT HOLD"; the exit status is 1 where one does not.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import contextlib
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from published_search import (
    A_AXIS,
    B_AXIS,
    D_AXIS,
    GRID,
    POOL,
    SEARCHED,
    TAU_AXIS,
    by_pool,
    error_of_run,
    search_alone,
    search_everything,
    search_in_loop,
    search_vectorised,
    visited,
)
from thresher.planning.laws.fit import fit
from thresher.planning.laws.problem import Problem, build_problem
from thresher.planning.laws.profile import bootstrap
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.solve import Solution, solve
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.runs.record import Run

PASSES = (2.0, 4.0, 6.0, 8.0, 10.0)
NOISE = 0.003
LARGEST_ERROR = 0.97
LAW = LAWS["utility"]

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
    """Median time of a call: on the clock and of the processor."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        if self.cpu < 1:
            return f"{1e3 * self.cpu:.1f} ms (clock {1e3 * self.wall:.1f} ms)"
        return f"{self.cpu:.2f} s (clock {self.wall:.2f} s)"


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
    parser.add_argument(
        "--published", metavar="DIR", help="checkout of the authors' code, to time it as well"
    )
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
    if arguments.published:
        time_published(sheet, tables[0], Path(arguments.published), solved)
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


def time_fits(sheet: Sheet, tables: Sequence[list[Run]], repeats: int) -> Seconds:
    """Time of a joint fit: the median over the tables, each fitted `repeats` times."""

    def over_tables(work: Callable[[list[Run]], object]) -> Seconds:
        return median([timed(lambda runs=runs: work(runs), repeats) for runs in tables])

    solve_table(tables[0])
    solved = over_tables(solve_table)
    sheet.say(
        f"joint fit of the utility law, 5 pools x 5 points (build_problem, solve), median {solved}, goal "
        f"below {FIT_MS:g} ms",
        1e3 * solved.cpu < FIT_MS,
    )
    whole = over_tables(lambda runs: fit(runs, law="utility", num_draws=0))
    sheet.say(
        'fit(runs, law="utility", num_draws=0), which fits that law and the power law to all runs and to '
        f"the shorter ones, median {whole}"
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


def time_published(sheet: Sheet, runs: Sequence[Run], folder: Path, solved: Seconds) -> None:
    """The authors' own search of every pool, at one a and d, extrapolated to as many points as ours."""
    sys.path.insert(0, str(folder))
    search = importlib.import_module("grid_search").grid_search
    formula = importlib.import_module("objective").func_effective_utility

    def every_pool() -> None:
        for rows in by_pool(runs):
            seen, errors = [float(run.samples_seen) for run in rows], [run.error for run in rows]
            search(seen, [POOL] * len(rows), errors, formula, a=A_AXIS[:1], d=D_AXIS[:1])

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        few = timed(every_pool, 1)
    share = SEARCHED / (B_AXIS.size * TAU_AXIS.size)
    taken = Seconds(few.wall * share, few.cpu * share)
    sheet.say(
        f"the authors' own code for {SEARCHED:,} points a pool, extrapolated from "
        f"{B_AXIS.size * TAU_AXIS.size:,}: {taken}, {taken.cpu / solved.cpu:,.0f} times the joint fit"
    )


def compare_residuals(sheet: Sheet, tables: Sequence[list[Run]]) -> None:
    """Sum of squared errors of the joint fit over that of the searches, table by table."""
    searched = [search_vectorised(runs, visited(number)) for number, runs in enumerate(tables)]
    everything = [search_everything(runs) for runs in tables]
    alone = [search_alone(runs, number) for number, runs in enumerate(tables)]
    held, fitted, own = (
        [squares_of(runs, fixed, own) for runs in tables]
        for fixed, own in (({"A": 1.0}, ()), ({}, ()), ({}, ("A",)))
    )
    for ours, theirs, about in (
        (held, searched, "the random search of the grid, A held at 1 as there"),
        (fitted, searched, "the random search of the grid, A fitted"),
        (held, everything, f"all {np.prod(GRID):,} points of the grid a pool, A held at 1"),
        (fitted, everything, f"all {np.prod(GRID):,} points of the grid a pool, A fitted"),
        (own, alone, "the search of every pool on its own with d = .1, each pool its own A"),
    ):
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        worse = sum(ratio > 1 for ratio in ratios)
        sheet.say(
            f"squared residuals of the fit over those of {about}, {len(tables)} tables: median "
            f"{statistics.median(ratios):.2f}, largest {max(ratios):.3f}, larger in {worse}",
            worse == 0,
        )


def time_draws(sheet: Sheet, runs: list[Run], repeats: int) -> None:
    """Bootstraps of one law, and the fit that weighs all laws."""
    problem, solution = solve_table(runs)
    drawn = timed(lambda: bootstrap(problem, solution, num_draws=BOOTSTRAPS, seed=0), repeats)
    sheet.say(
        f"{BOOTSTRAPS:,} bootstrap fits: {drawn}, goal below {BOOTSTRAP_S:g} s", drawn.cpu < BOOTSTRAP_S
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
            planned.cpu < PLAN_S,
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


def solve_table(
    runs: Sequence[Run], fixed: Mapping[str, float] | None = None, own: Sequence[str] = ()
) -> tuple[Problem, Solution]:
    """The joint fit alone, without draws, other laws and sentences."""
    pools = list(dict.fromkeys(str(run.pool) for run in runs))
    return solve(build_problem(LAW, runs, pools, fixed or {}, own))


def squares_of(runs: Sequence[Run], fixed: Mapping[str, float], own: Sequence[str]) -> float:
    """Sum of squared errors of the joint fit, in the units of the search."""
    problem, solution = solve_table(runs, fixed, own)
    error_R = np.exp(problem.log_error_R)
    predicted_R = error_R * np.exp(solution.residual_R / problem.scale_R)
    return float(((predicted_R - error_R) ** 2).sum())


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
