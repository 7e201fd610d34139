"""FLOPs of probes until the plan is as good: suggested runs against even grids, an order and chance.

For each synthetic world (`worlds.py`) these ways of spending FLOPs on probes, all with the noise of one seed:

    even         complete grids, decided on before anything is run and paid for as a whole: every pool, on the
                 whole pool and on the subsample that repeats as the target, at 2 or 4 lengths evenly
                 spread in the log up to the longest, and at the two lengths of `thresher probe`
    short first  the runs of the 4-length grid, short ones first: no even grid, but a design without laws
    tool         begins with the least that `fit` takes, each pool whole at the two shortest lengths; then the
                 runs that `thresher.planning.plans.next_run.suggest` puts first, at most five before the
                 laws are fitted again
    random       begins as the tool does; then the runs that the tool chooses from, in random order

All runs have the lengths of the 4-length grid; those that the tool chooses from are every pool, drawn from
the whole of it, the subsample, or one between them, with two seeds. The same run with the same seed measures
the same error whoever asks for it. Regret is that of the plan's choice, mean over the budgets (`regret.py`).
Costs are shares of the 4-length grid, means over the worlds of what was paid.

Reported: mean regret at each cost; and the cost at which a way reaches a regret, the least at which a falling
curve through its means (isotonic regression) is at or below it, nothing interpolated (a grid's own regret it
reaches at its own cost); the ratio of two with a 95% bootstrap interval over worlds. Beside all worlds, those
whose start leaves more than .1 points to gain; and where the tool says for the first time that no further run
is worth its cost.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import worlds
from next_run_report import TOOL, report
from regret import (
    Settings,
    add_world_options,
    fit_world,
    regret_of,
    run_key,
    run_worlds,
    settings_of,
)
from thresher.errors import InputError
from thresher.planning.laws.predict import predict_draws
from thresher.planning.plans.mixes import all_mixes
from thresher.planning.plans.next_run import CandidateRun, Suggestion, suggest
from thresher.planning.plans.one_budget import choose
from thresher.planning.plans.result import TOLERANCE
from thresher.planning.runs.record import Run
from worlds import World

EVEN = {"2 lengths": (0, 3), "thresher probe": (1, 3), "4 lengths": (0, 1, 2, 3)}
"""Grid -> its lengths, places in `worlds.probe_lengths`."""
COSTS = {
    "short first": (0.137, 0.26, 0.385),
    TOOL: (0.1, 0.14, 0.19, 0.25, 0.36, 0.5),
    "random": (0.19, 0.36, 0.5),
}
"""Where the laws are fitted and regret is measured, at most; the two others also have their start or end."""
TOGETHER = 5
RECORD = 2


@dataclass(frozen=True, slots=True, order=True)
class Spec:
    """A run that could be made: a pool by its place, the share of it, samples seen, and the seed."""

    samples_seen: int
    place: int
    share: float
    seed: int


def grid(world: World, at: Sequence[int] = (0, 1, 2, 3), *, whole_only: bool = False) -> list[Spec]:
    """Every pool at the lengths `at`, whole and on the subsample that repeats as the target, short first."""
    lengths = worlds.probe_lengths(world)
    return sorted(
        Spec(lengths[number], place, share, 0)
        for place in range(len(world.sizes_P))
        for share in ((1.0,) if whole_only else (worlds.probe_share(world), 1.0))
        for number in at
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


def cost_of(world: World, specs: Sequence[Spec]) -> float:
    """Cost of runs, as a share of the 4-length grid's."""
    return sum(spec.samples_seen for spec in specs) / sum(spec.samples_seen for spec in grid(world))


def laws_of(world: World, specs: Sequence[Spec], settings: Settings) -> Any:
    """Laws of the finished runs."""
    return fit_world([measure(world, spec) for spec in specs], world, settings)


def regret_by(laws: Any, world: World) -> float:
    """Mean regret, in points, of the subsets that a plan by these laws takes at the budgets."""
    mixes = all_mixes(laws.pool_names, dict(zip(world.names, world.sizes_P.tolist(), strict=True)))
    regrets = []
    for budget in world.budgets:
        error_SC = predict_draws(laws, float(budget), mixes.weights_CP, mixes.size_P)
        weights_P = mixes.weights_CP[choose(error_SC, tolerance=TOLERANCE).best]
        regrets.append(regret_of(world, weights_P, budget, worlds.truth(world, budget).error))
    return float(np.mean(regrets))


def least_start(world: World, settings: Settings) -> tuple[list[Spec], Any]:
    """Whole pools at the two shortest lengths, the cheapest further runs that `fit` asks for; their laws."""
    specs = grid(world, (0, 1), whole_only=True)
    further = [spec for spec in grid(world) if spec not in specs]
    while True:
        try:
            return specs, laws_of(world, specs, settings)
        except InputError:
            specs = [*specs, further.pop(0)]


def ask_the_tool(laws: Any, open_specs: Sequence[Spec], world: World) -> list[tuple[Spec, Suggestion]]:
    """What `thresher.planning.plans.next_run.suggest` puts first, best first.

    The only place that knows how the tool is asked.
    """
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
    found = suggest(
        laws,
        candidates,
        world.budgets,
        sizes=dict(zip(world.names, world.sizes_P.tolist(), strict=True)),
        flops_per_sample=worlds.FLOPS_PER_SAMPLE,
        together=TOGETHER,
    )
    return [(specs[candidates.index(one.candidate)], one) for one in found[:TOGETHER]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Settings of the planner."""

    settings: Settings


class Walk:
    """One way through one world: the runs paid for, and the regret of the plan by cost."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world, self.settings = world, settings
        self.specs: list[Spec] = []
        self.laws: Any = None
        self.points: list[tuple[float, float]] = []

    def cost(self, further: Sequence[Spec] = ()) -> float:
        """Cost so far, with further runs."""
        return cost_of(self.world, [*self.specs, *further])

    def look(self, laws: Any = None) -> None:
        """Fit what has been paid for and note the regret; what cannot be fitted leaves the plan as it was."""
        try:
            self.laws = laws_of(self.world, self.specs, self.settings) if laws is None else laws
        except InputError:
            self.points.append((self.cost(), self.points[-1][1]))
            return
        self.points.append((self.cost(), regret_by(self.laws, self.world)))


def walk_in_order(walk: Walk, specs: Iterator[Spec], costs: Sequence[float]) -> None:
    """Pay for runs in order; what no longer fits under a cost waits for the next one."""
    waiting = next(specs, None)
    for cost in costs:
        before = len(walk.specs)
        while waiting is not None and walk.cost([waiting]) <= cost:
            walk.specs.append(waiting)
            waiting = next(specs, None)
        if len(walk.specs) > before:
            walk.look()


def walk_with_tool(walk: Walk, costs: Sequence[float]) -> float | None:
    """Pay for suggested runs; the cost at which no further one was worth it, if that was said."""
    stopped = None
    for cost in costs:
        rest = [spec for spec in all_specs(walk.world) if spec not in walk.specs]
        found = ask_the_tool(walk.laws, rest, walk.world)
        if stopped is None and not any(suggestion.worth for _, suggestion in found[:1]):
            stopped = walk.cost()
        before = len(walk.specs)
        for spec, _ in found:
            if walk.cost([spec]) <= cost:
                walk.specs.append(spec)
        if len(walk.specs) > before:
            walk.look()
    return stopped


def examine(number: int, job: Job) -> dict[str, Any]:
    """The ledger's record of one world: (cost, regret) of every way."""
    world, settings = worlds.make_world(number), job.settings
    start, laws = least_start(world, settings)
    tool, random, short = (Walk(world, settings) for _ in range(3))
    for walk in (tool, random):
        walk.specs = list(start)
        walk.look(laws)
    stopped = walk_with_tool(tool, COSTS[TOOL])
    rest = [spec for spec in all_specs(world) if spec not in start]
    order = worlds.noise_of(world, 4).permutation(len(rest))
    walk_in_order(random, (rest[place] for place in order), COSTS["random"])
    walk_in_order(short, iter(grid(world)), COSTS["short first"])
    even = {}
    for name, at in EVEN.items():
        specs = grid(world, at)
        even[name] = (cost_of(world, specs), regret_by(laws_of(world, specs, settings), world))
    return {
        "world": number,
        "law": world.law,
        "even": even,
        "short first": [*short.points, even["4 lengths"]],
        TOOL: tool.points,
        "random": random.points,
        "stopped": stopped,
    }


def main() -> None:
    """Run the worlds that are not in the ledger and print the tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    add_world_options(parser, "next_run.jsonl")
    arguments = parser.parse_args()
    job = Job(settings=settings_of(arguments))
    numbers = range(arguments.first, arguments.first + (20 if arguments.fast else arguments.worlds))
    key = f"{run_key(job.settings)} next {RECORD}"
    records = run_worlds(examine, numbers, job, arguments.ledger, key, arguments.jobs)
    print("\n".join(report(records, COSTS)))


if __name__ == "__main__":
    main()
