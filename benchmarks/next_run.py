"""FLOPs of probes until the plan is as good: suggested runs against an even grid and a random order.

For each synthetic world (`worlds.py`) there are three ways to spend FLOPs on probes, one run after the other.
All begin with the same cheap runs, the shortest of the grid that `fit` accepts, and these are paid for:

    grid      every pool at every length, on the whole pool and on the subsample that repeats as the target,
              short ones first
    random    any pool, subsample and length, in random order tool      what
    `thresher.plans.next_run.suggest` puts first among the same runs, asked again after each; it may
              stop, then its regret stays

The same run with the same seed measures the same error whoever asks for it. At each twentieth of the grid's
cost the plan is made from what has been paid for, and its mean regret over the budgets noted (`regret.py`).
Reported: mean regret by cost, and the ratio of the costs at which two ways reach a regret, from curves that
are made to fall (isotonic regression), with a 95% bootstrap interval over worlds. Cost 1 is that of the
whole grid.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

import worlds
from regret import (
    Settings,
    add_world_options,
    fit_world,
    plan_world,
    regret_of,
    run_key,
    run_worlds,
    settings_of,
)
from thresher.errors import InputError
from thresher.runs import Run
from worlds import Floats, World

COSTS = tuple(place / 20 for place in range(4, 21))
LEVELS = (0.2, 0.1, 0.05)
"""Regrets, in points, whose cost is reported."""
"""Where regret is measured; 1 is the four-point grid, 2 the same with two seeds; the start is below 3/8."""
TOOL = "tool"


@dataclass(frozen=True, slots=True, order=True)
class Spec:
    """A run that could be made: a pool by its place, the share of it, samples seen, and the seed."""

    samples_seen: int
    place: int
    share: float
    seed: int


def grid(world: World, seed: int) -> list[Spec]:
    """Every pool at every length, whole and on the subsample that repeats as the target, short ones first."""
    return sorted(
        Spec(seen, place, share, seed)
        for place in range(len(world.sizes_P))
        for share in (worlds.probe_share(world), 1.0)
        for seen in worlds.probe_lengths(world)
    )


def all_specs(world: World) -> list[Spec]:
    """Every run that random orders and the tool choose from: pools x subsamples x lengths x two seeds."""
    share = worlds.probe_share(world)
    return [
        Spec(seen, place, of, seed)
        for seed in (0, 1)
        for place in range(len(world.sizes_P))
        for of in (share, math.sqrt(share), 1.0)
        for seen in worlds.probe_lengths(world)
    ]


def unique_samples(world: World, spec: Spec) -> int:
    """Samples of its pool that a run draws from."""
    return max(1, round(spec.share * int(world.sizes_P[spec.place])))


def measure(world: World, spec: Spec) -> Run:
    """The finished run; the same spec gives the same error."""
    alone_P = np.eye(len(world.sizes_P))[spec.place]
    unique_P = np.where(alone_P > 0, unique_samples(world, spec), world.sizes_P)
    rng = worlds.noise_of(world, 3, spec.place, unique_samples(world, spec), spec.samples_seen, spec.seed)
    noise = worlds.NOISE * float(rng.standard_normal())
    return worlds.measured_run(world, alone_P, spec.samples_seen, unique_P, noise, seed=spec.seed)


def ask_the_tool(laws: Any, open_specs: Sequence[Spec], world: World) -> Spec | None:
    """The run that `thresher.plans.next_run.suggest` puts first, None where it finds no run worth its cost.

    The only place that knows how the tool is asked.
    """
    from thresher.plans.next_run import CandidateRun, suggest

    first_seed = {(spec.place, spec.share, spec.samples_seen): spec for spec in reversed(open_specs)}
    specs = list(first_seed.values())
    candidates = [
        CandidateRun(
            weights={world.names[spec.place]: 1.0},
            num_unique={world.names[spec.place]: unique_samples(world, spec)},
            samples_seen=spec.samples_seen,
            flops=spec.samples_seen * worlds.FLOPS_PER_SAMPLE,
        )
        for spec in specs
    ]
    sizes = dict(zip(world.names, world.sizes_P.tolist(), strict=True))
    suggestions = suggest(
        laws, candidates, world.budgets, sizes=sizes, flops_per_sample=worlds.FLOPS_PER_SAMPLE
    )
    return specs[candidates.index(suggestions[0].candidate)] if suggestions else None


def tool_exists() -> bool:
    """Whether `thresher.plans.next_run` is there to be asked."""
    try:
        from thresher.plans.next_run import CandidateRun, suggest  # noqa: F401
    except ImportError:
        return False
    return True


class Walk:
    """One way through one world: runs paid for so far, and the regret of the plan made from them."""

    def __init__(self, world: World, settings: Settings, start: Sequence[Spec]) -> None:
        self.world, self.settings = world, settings
        self.specs = list(start)
        self.cost = sum(map(self.cost_of, start))
        self._fitted: tuple[int, Any] = (0, None)

    def cost_of(self, spec: Spec) -> float:
        """Share of the cost of the whole grid."""
        return spec.samples_seen / sum(other.samples_seen for other in grid(self.world, 0))

    def add(self, spec: Spec) -> None:
        """Pay for a run and make it."""
        self.specs.append(spec)
        self.cost += self.cost_of(spec)

    def runs(self) -> list[Run]:
        """The finished runs."""
        return [measure(self.world, spec) for spec in self.specs]

    def laws(self) -> Any:
        """Laws of the runs so far; fitted once for the same runs."""
        if self._fitted[0] != len(self.specs):
            self._fitted = len(self.specs), fit_world(self.runs(), self.world, self.settings)
        return self._fitted[1]

    def regret(self) -> float:
        """Mean regret over the budgets, in points."""
        choices = plan_world(self.laws(), self.world)
        return float(
            np.mean(
                [
                    regret_of(self.world, choice.weights_P, budget, worlds.truth(self.world, budget).error)
                    for choice, budget in zip(choices, self.world.budgets, strict=True)
                ]
            )
        )


def accepted_start(world: World, settings: Settings) -> list[Spec]:
    """The shortest runs of the grid, at least its two shortest lengths, that `fit` accepts."""
    order = grid(world, 0)
    least = sum(spec.samples_seen <= worlds.probe_lengths(world)[1] for spec in order)
    for count in range(least, len(order)):
        try:
            Walk(world, settings, order[:count]).laws()
        except InputError:
            continue
        return order[:count]
    return order


def next_specs(way: str, walk: Walk) -> Iterator[Spec]:
    """The runs of one way, one after the other."""
    if way == "grid":
        yield from (spec for spec in grid(walk.world, 0) if spec not in walk.specs)
    elif way == "random":
        rest = [spec for spec in all_specs(walk.world) if spec not in walk.specs]
        yield from (rest[place] for place in worlds.noise_of(walk.world, 4).permutation(len(rest)))
    else:
        while True:
            rest = [spec for spec in all_specs(walk.world) if spec not in walk.specs]
            try:
                spec = ask_the_tool(walk.laws(), rest, walk.world)
            except InputError:  # the runs so far cannot be fitted together: the cheapest further one
                spec = min(rest)
            if spec is None:
                return
            yield spec


def curve(way: str, world: World, settings: Settings, start: Sequence[Spec]) -> list[float]:
    """Regret of the plan at each of `COSTS`; at costs below the start, that of the start."""
    walk = Walk(world, settings, start)
    regret, measured_at, regrets = walk.regret(), len(walk.specs), []
    specs = next_specs(way, walk)
    waiting = next(specs, None)
    for cost in COSTS:
        while waiting is not None and walk.cost + walk.cost_of(waiting) <= cost + 1e-9:
            walk.add(waiting)
            waiting = next(specs, None)
        if len(walk.specs) > measured_at:
            with suppress(InputError):  # runs that cannot be fitted together leave the plan as it was
                regret, measured_at = walk.regret(), len(walk.specs)
        regrets.append(round(regret, 6))
    return regrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Settings of the planner, and which ways to walk."""

    settings: Settings
    ways: tuple[str, ...]


def examine(number: int, job: Job) -> dict[str, Any]:
    """The ledger's record of one world."""
    world = worlds.make_world(number)
    start = accepted_start(world, job.settings)
    return {
        "world": number,
        "law": world.law,
        "start_cost": Walk(world, job.settings, start).cost,
        "curves": {way: curve(way, world, job.settings, start) for way in job.ways},
    }


def cost_to_reach(regret_C: Floats, level: float) -> float:
    """Cost at which a falling curve through the mean regrets reaches a level; infinite if it never does."""
    falling_C = isotonic_regression(regret_C, increasing=False).x
    if falling_C[-1] > level:
        return math.inf
    place = int(np.flatnonzero(falling_C <= level)[0])
    if place == 0:
        return COSTS[0]
    high, low = falling_C[place - 1], falling_C[place]
    return float(COSTS[place - 1] + (high - level) / (high - low) * (COSTS[place] - COSTS[place - 1]))


def ratio(curves_WC: Mapping[str, Floats], way: str, level: float) -> float:
    """Cost of a way over that of the grid to reach a regret; infinite or 0 where only one of them does."""
    other, own = (cost_to_reach(curves_WC[name].mean(0), level) for name in ("grid", way))
    if math.isinf(other):
        return math.nan if math.isinf(own) else 0.0
    return own / other


def report(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mean regret by cost and the ratios, by true law."""
    lines = []
    for law in (*dict.fromkeys(record["law"] for record in records), "all"):
        group = [record for record in records if law in (record["law"], "all")]
        curves = {way: np.array([record["curves"][way] for record in group]) for way in group[0]["curves"]}
        start = np.mean([record["start_cost"] for record in group])
        lines += [
            f"\n{law}: {len(group)} worlds; the start costs {start:.2f} grids; mean regret, points, at cost",
            "  " + " " * 8 + "".join(f"{cost:6.2f}"[:6] for cost in COSTS),
        ]
        lines += [f"  {way:8}" + "".join(f"{x:6.2f}" for x in curves[way].mean(0)) for way in curves]
        lines += _ratio_lines(curves)
    return lines


def _ratio_lines(curves_WC: Mapping[str, Floats]) -> list[str]:
    count = len(curves_WC["grid"])
    rows_BW = np.random.default_rng(0).integers(0, count, (1000, count))
    final = float(isotonic_regression(curves_WC["grid"].mean(0), increasing=False).x[-1])
    lines = []
    for way in (way for way in curves_WC if way != "grid"):
        for level in (*LEVELS, final):
            found = ratio(curves_WC, way, level)
            drawn = [
                ratio({name: curves_WC[name][rows_W] for name in curves_WC}, way, level) for rows_W in rows_BW
            ]
            known = [value for value in drawn if not math.isnan(value)]
            if not known or math.isnan(found):
                lines.append(f"  neither the grid nor {way} reaches {level:.3f} points")
                continue
            low, high = np.quantile(known, (0.025, 0.975), method="nearest")
            word = "" if way != TOOL else "; holds" if found <= 0.5 else "; DOES NOT HOLD"
            where = "the regret of the whole grid, " if level == final else ""
            lines.append(
                f"  {way} reaches {where}{level:.3f} points with {found:.2f} of the grid's FLOPs "
                f"({low:.2f} to {high:.2f}, 95% over worlds){word}"
            )
    return lines


def main() -> None:
    """Run the worlds that are not in the ledger and print the tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    add_world_options(parser, "next_run.jsonl")
    arguments = parser.parse_args()
    ways = ("grid", "random", TOOL) if tool_exists() else ("grid", "random")
    if TOOL not in ways:
        print("thresher.plans.next_run is missing: the grid and the random order alone")
    job = Job(settings=settings_of(arguments), ways=ways)
    numbers = range(arguments.first, arguments.first + (20 if arguments.fast else arguments.worlds))
    key = f"{run_key(job.settings)} {' '.join(ways)}"
    records = run_worlds(examine, numbers, job, arguments.ledger, key, arguments.jobs)
    print("\n".join(report(records)))


if __name__ == "__main__":
    main()
