"""Synthetic worlds whose best mix is known: pools, budgets and the true error of every mix.

A world is a number; `make_world` gives the same one for ever (`VERSION`). Every fourth world follows
"saturating", every fourth "harmful", the others "utility"; the first 20 hold 5, 5 and 10. The laws are
written here a second time, from the formulas, so that a slip in the laws cannot hide behind itself.

    utility      y = d + A exp(sum_i w_i b_i (E_i - ln n0)),  E_i = ln(1st pass) + sum_k u_k ln(growth in k),
                 u_k = 2^(-k / tau), tau = tau_i (M_i / N_i)^gamma, gamma = 1, return interval M_i = N_i / w_i
    harmful      the same with u_k = (1 + c) 2^(-k / tau) - c: late passes undo, the error turns up
    saturating   y = d + A (D / n0)^b,  D = n sum_i q_i w_i r_eff / r,  r = w_i n / N_i passes,
                 r_eff = r up to 1, then 1 + R (1 - e^(-(r - 1) / R)),  R = tau_i / ln 2

In the first two a pool's half-life in passes grows with its return interval (arXiv 2404.07177); in the third
repeats count in passes alone, whatever the size of the pool, as that law was published (arXiv 2605.12715).
A planner is told neither which law holds nor which of the two rules.

Ranges, and why:

- Pools: 3 to 6, sizes log-uniform within a factor of 10.
- Utility: the published fit falls from .16 to .085 over four pools, and CLIP score puts one pair of pools in
  the wrong order. Here the best has .12 to .35, the last .3 to .85 of that, each jitters by 12%, and none
  leaves .05 to .35. Saturating worlds have one b; quality weights down to .1 to .6 do the same there.
- Half-life: 1.5 to 10 passes, log-uniform (published: 1.5 to 8.5). Harm c: .05 to .3, so that a pass begins
  to undo after 4 to 2 half-lives; two of three pools end worse than they were at a smaller budget.
- d: .05 to .2; A + d: .85 to .98 (published: d of .1). Meeting point: 1.5 to 10 times below every probe.
- Budgets: the largest is 2 to 16 passes over all pools together (published: 12.5), the smallest a sixteenth
  of it. Small ones hardly repeat anything, large ones must repeat or take worse data: there winners change.
- The largest probe is 1/4 to 1/16 of the largest budget.
- Errors: .95 (first probe) to .3 (best mix, largest budget); a world beyond is drawn again.
- Noise: .3 points of error, normal, each measurement its own.

Probes (`probe_runs`): 4 measurements a pool, at 1/16 to 1 of the largest probe. By default ("both") two
lengths on the whole pool, which shows its worth, and two on a subsample of largest probe / largest budget,
which repeats as the target does; together they show gamma. Other designs stand in `DESIGNS`, for comparison.

Axes: P pools in order of score, C subsets of the pools, R runs. Run this file for statistics of the worlds.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thresher.planning.runs.record import Run

Floats = NDArray[np.float64]

VERSION = 1
"""Frozen 2026-11-22, before any planner was run on it. Another generator is another version."""
NUM_WORLDS = 200
NOISE = 0.003
FLOPS_PER_SAMPLE = 1e9
"""One recipe, so FLOPs are samples seen times a constant; no result depends on it."""
METRIC = "zeroshot_error"
BUDGET_RANGE = 16.0
DISTINCT = 0.25
"""Two mixes are distinct choices where at least this share of the drawn samples comes from other pools."""
_SEED = 20261122
_MEDIAN_POOL = 12.8e6
_LAW_OF_FOUR = ("utility", "saturating", "utility", "harmful")
_LARGEST_ERROR, _SMALLEST_ERROR = 0.95, 0.30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """One world; every number a planner must find out.

    Attributes:
        sizes_P: Samples in each pool, best score first.
        b_P: Utility of each pool, negative; all equal in a saturating world.
        quality_P: Worth of a fresh sample, 1 for the best pool; all 1 outside saturating worlds.
        tau_P: Half-life in passes over the whole pool alone.
        harm: What a worn-out pass undoes, as a share of what a fresh one teaches; 0 but in harmful worlds.
        gamma: Exponent of the half-life in the return interval; 0 in saturating worlds.
        A: Error above d at the meeting point.
        n0: Samples seen at the meeting point; below every probe and every subsample.
        d: Irreducible error.
        budgets: Samples seen to plan for, rising.
        largest_probe: Samples seen of the longest probe.
    """

    number: int
    law: str
    sizes_P: NDArray[np.int64]
    b_P: Floats
    quality_P: Floats
    tau_P: Floats
    harm: float
    gamma: float
    A: float
    n0: float
    d: float
    budgets: tuple[int, ...]
    largest_probe: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pools, best score first."""
        return tuple(f"p{place}" for place in range(len(self.sizes_P)))


def make_world(number: int) -> World:
    """World `number` (0, 1, 2, ...), the same one whenever and wherever it is made."""
    if number < 0:
        raise ValueError(f"there is no world {number}; worlds count from 0")
    rng = np.random.default_rng([_SEED, VERSION, number])
    while True:
        world = _draw(number, rng)
        if _in_range(world):
            return world


def _draw(number: int, rng: np.random.Generator) -> World:
    law = _LAW_OF_FOUR[number % 4]
    count = int(rng.integers(3, 7))
    sizes_P = np.rint(_MEDIAN_POOL * 10 ** rng.uniform(-0.5, 0.5, count)).astype(np.int64)
    falling_P = np.arange(count) / (count - 1)
    jitter_P = np.exp(0.12 * rng.standard_normal(count))
    best = rng.uniform(0.12, 0.35)
    if law == "saturating":
        b_P = np.full(count, -best)
        quality_P = rng.uniform(0.1, 0.6) ** falling_P * jitter_P**2
        quality_P /= quality_P.max()
    else:
        b_P = -np.clip(best * rng.uniform(0.3, 0.85) ** falling_P * jitter_P, 0.05, 0.35)
        quality_P = np.ones(count)
    tau_P = _log_uniform(rng, 1.5, 10.0, count)
    harm = float(rng.uniform(0.05, 0.3)) if law == "harmful" else 0.0
    largest = sizes_P.sum() * _log_uniform(rng, 2.0, 16.0)
    longest = largest / _log_uniform(rng, 4.0, 16.0)
    first_probe, smallest_subsample = longest / BUDGET_RANGE, sizes_P.min() * longest / largest
    d = rng.uniform(0.05, 0.2)
    return World(
        number=number,
        law=law,
        sizes_P=sizes_P,
        b_P=b_P,
        quality_P=quality_P,
        tau_P=tau_P,
        harm=harm,
        gamma=0.0 if law == "saturating" else 1.0,
        A=float(rng.uniform(0.85, 0.98) - d),
        n0=float(min(first_probe, smallest_subsample) / _log_uniform(rng, 1.5, 10.0)),
        d=float(d),
        budgets=tuple(round(float(n)) for n in np.geomspace(largest / BUDGET_RANGE, largest, 4)),
        largest_probe=round(float(longest)),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float, size: int | None = None) -> Floats:
    return np.exp(rng.uniform(math.log(low), math.log(high), size))


def _in_range(world: World) -> bool:
    share, lengths = probe_share(world), probe_lengths(world)
    rows = [(place, share, seen) for place in range(len(world.sizes_P)) for seen in lengths]
    probes_RP, unique_RP, seen_R = _arrays(world, rows)
    highest = true_error(world, probes_RP, seen_R, unique_RP).max()
    lowest = true_error(world, subsets(world), world.budgets[-1]).min()
    return bool(highest <= _LARGEST_ERROR and lowest >= _SMALLEST_ERROR)


def true_error(
    world: World, weights_P: ArrayLike, samples_seen: ArrayLike, unique_P: ArrayLike | None = None
) -> Floats:
    """Exact error of mixes, [...], without noise.

    Args:
        world: The world.
        weights_P: [..., P], sampling weights; they are made to sum to 1.
        samples_seen: [...], repeats counted.
        unique_P: [..., P], the unique samples that a run draws from; the whole pools where absent.
    """
    weights = np.asarray(weights_P, float)
    weights = weights / weights.sum(-1, keepdims=True)
    unique = np.asarray(world.sizes_P if unique_P is None else unique_P, float)
    seen = np.asarray(samples_seen, float)[..., None]
    passes = weights * seen / unique
    if world.law == "saturating":
        worth = weights * world.quality_P * _fresh_share(passes, world.tau_P / math.log(2.0))
        effective = seen[..., 0] * worth.sum(-1)
        return np.asarray(world.d + world.A * (effective / world.n0) ** world.b_P[0])
    drawn = weights > 0
    interval = np.where(drawn, unique / np.where(drawn, weights, 1.0), np.inf)
    stretch = np.where(drawn, interval / world.sizes_P, 1.0)
    log_worth = _log_worth(seen, interval, world.tau_P * stretch**world.gamma, world.harm)
    exponent = (weights * world.b_P * (log_worth - math.log(world.n0))).sum(-1)
    return np.asarray(world.d + world.A * np.exp(exponent))


def _fresh_share(passes: Floats, scale_P: Floats) -> Floats:
    """What a sample seen was worth on average, against a fresh one: r_eff / r."""
    repeated = np.maximum(passes - 1.0, 0.0)
    worth = np.minimum(passes, 1.0) + scale_P * -np.expm1(-repeated / scale_P)
    return np.where(passes > 0, worth / np.where(passes > 0, passes, 1.0), 1.0)


def _log_worth(seen: Floats, interval: Floats, half_life: Floats, harm: float) -> Floats:
    """`E`: one pass after the other, each worth `u_k` times the growth of ln n within it."""
    seen, interval, half_life = np.broadcast_arrays(seen, interval, half_life)
    log_worth = np.log(np.minimum(seen, interval))
    for k in range(1, math.floor(float((seen / interval).max())) + 1):
        worth = (1.0 + harm) * np.exp2(-k / half_life) - harm
        reached = seen > k * interval
        begin = np.where(reached, k * interval, seen)
        log_worth = log_worth + worth * np.log(
            np.minimum(seen, begin + np.where(reached, interval, 0.0)) / begin
        )
    return np.asarray(log_worth)


def subsets(world: World) -> Floats:
    """Weights of every subset of the pools drawn uniformly over its samples, [C, P]; row c is mask c + 1."""
    count = len(world.sizes_P)
    member_CP = (np.arange(1, 2**count)[:, None] >> np.arange(count)) & 1
    drawn_CP = member_CP * world.sizes_P
    return np.asarray(drawn_CP / drawn_CP.sum(1, keepdims=True), float)


def probe_share(world: World) -> float:
    """Share of every pool that a repetition-matched probe draws from."""
    return world.largest_probe / world.budgets[-1]


def noise_of(world: World, *purpose: int) -> np.random.Generator:
    """The random numbers of one purpose in one world: measurement noise that no two purposes share."""
    return np.random.default_rng([_SEED, VERSION, world.number, 1, *purpose])


DESIGNS: dict[str, tuple[tuple[int, float], ...]] = {
    "both": ((1, 0.0), (3, 0.0), (1, 1.0), (3, 1.0)),
    "matched": ((0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)),
    "halfway": ((0, 0.5), (1, 0.5), (2, 0.5), (3, 0.5)),
    "whole": ((0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0)),
    "spread": ((1, 0.5), (2, 0.0), (3, 0.5), (3, 1.0)),
    "ends": ((0, 0.0), (3, 0.0), (3, 0.5), (3, 1.0)),
    "two": ((1, 0.5), (2, 1.0), (3, 0.5), (3, 1.0)),
}
"""Name -> the four probes of a pool: (which of the four lengths, e), drawn from a share `f^e` of the pool, f
the largest probe over the largest budget. e = 1 repeats as the target does, e = 0 takes the whole pool, and
e = 1/2 wears out as the target does where half-lives grow with the pool (gamma = 1)."""
SECOND = {"matched": 0.5, "halfway": 1.0, "whole": 1.0}
"""The other exponent at which the first pool runs twice, in designs of one size, so that gamma shows."""


def probe_runs(world: World, design: str = "both", *, noise: float = NOISE) -> list[Run]:
    """Four measured probes a pool, each with its noise; the same for the same world and design."""
    weights_RP, unique_RP, seen_R = _probe_arrays(world, design)
    rng = noise_of(world, 0)
    return [
        measured_run(world, weights_P, int(seen), unique_P, noise * rng.standard_normal(), seed=0)
        for weights_P, unique_P, seen in zip(weights_RP, unique_RP, seen_R, strict=True)
    ]


def _probe_arrays(world: World, design: str) -> tuple[Floats, Floats, Floats]:
    """Weights [R, P], unique samples [R, P] and samples seen [R] of the probes, pool by pool."""
    lengths, share = probe_lengths(world), probe_share(world)
    count = len(world.sizes_P)
    rows = [(place, share**power, lengths[at]) for place in range(count) for at, power in DESIGNS[design]]
    if design in SECOND:
        first = share ** DESIGNS[design][0][1]
        second = share ** SECOND[design]
        rows[:4] = [
            (0, first, lengths[0]),
            (0, first, lengths[3]),
            (0, second, lengths[2]),
            (0, second, lengths[3]),
        ]
    return _arrays(world, rows)


def _arrays(world: World, rows: Sequence[tuple[int, float, int]]) -> tuple[Floats, Floats, Floats]:
    """Rows of pool, share of the pool and samples seen as arrays."""
    count = len(world.sizes_P)
    weights_RP = np.array([np.eye(count)[place] for place, _, _ in rows])
    unique_RP = np.array([np.maximum(1.0, np.rint(of * world.sizes_P)) for _, of, _ in rows])
    return weights_RP, unique_RP, np.array([seen for _, _, seen in rows], float)


def probe_lengths(world: World) -> tuple[int, ...]:
    """Samples seen of the probes: the budgets, scaled down so that the last is the largest probe."""
    return tuple(round(budget * probe_share(world)) for budget in world.budgets)


def measured_run(
    world: World, weights_P: ArrayLike, samples_seen: int, unique_P: ArrayLike, noise: float, *, seed: int
) -> Run:
    """A finished run with the true error plus `noise`."""
    weights, unique = np.asarray(weights_P, float), np.asarray(unique_P, float)
    drawn = [place for place in range(weights.size) if weights[place] > 0]
    alone = len(drawn) == 1
    names = world.names
    error = float(true_error(world, weights, samples_seen, unique)) + noise
    return Run(
        pool=names[drawn[0]] if alone else None,
        weights=None if alone else {names[place]: float(weights[place]) for place in drawn},
        unique_samples=int(unique[drawn[0]])
        if alone
        else {names[place]: int(unique[place]) for place in drawn},
        pool_samples=int(world.sizes_P[drawn[0]])
        if alone
        else {names[place]: int(world.sizes_P[place]) for place in drawn},
        samples_seen=samples_seen,
        error=min(max(error, 0.001), 1.0),
        metric=METRIC,
        seed=seed,
        recipe="synthetic",
        model="synthetic",
        flops=samples_seen * FLOPS_PER_SAMPLE,
        final=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What is best at one budget.

    Attributes:
        best: Row of the best subset in `subsets`.
        error: Its error.
        gap: By how much the next subset is worse, however alike.
        distinct_gap: By how much the best of the distinct choices is worse (see `DISTINCT`).
    """

    best: int
    error: float
    gap: float
    distinct_gap: float


def truth(world: World, samples_seen: int) -> Truth:
    """The best subset at a budget and the gaps behind it."""
    weights_CP = subsets(world)
    error_C = true_error(world, weights_CP, samples_seen)
    best = int(error_C.argmin())
    distinct_C = other_samples(weights_CP, weights_CP[best]) >= DISTINCT
    return Truth(
        best=best,
        error=float(error_C[best]),
        gap=float(np.sort(error_C)[1] - error_C[best]),
        distinct_gap=float(error_C[distinct_C].min() - error_C[best]),
    )


def other_samples(weights_P: Floats, others_P: Floats) -> Floats:
    """Share of the drawn samples that one mix takes from elsewhere than the other, in 0 to 1."""
    return np.asarray(0.5 * np.abs(weights_P - others_P).sum(-1))


def fixed_choices(world: World) -> dict[str, Floats]:
    """Weights [P] of what people do without a plan: the top pool, everything, the prefix nearest to 30%."""
    count = len(world.sizes_P)
    share_P = np.cumsum(world.sizes_P) / world.sizes_P.sum()
    kept = int(np.abs(share_P - 0.3).argmin()) + 1
    drawn = {"top pool": 1, "everything": count, "fixed 30%": kept}
    return {
        name: np.where(np.arange(count) < number, world.sizes_P, 0) / world.sizes_P[:number].sum()
        for name, number in drawn.items()
    }


def describe(numbers: range) -> list[str]:
    """Lines of statistics, by law: do winners change, how large are the gaps, what does guessing cost."""
    lines = [
        "              winner changes   gap > 1 point to   pools in the best mix  regret, points      errors",
        "law        worlds  distinctly   next   distinct    at the four budgets    top / all / 30%",
    ]
    worlds = [make_world(number) for number in numbers]
    for law in ("utility", "saturating", "harmful", "all"):
        group = [world for world in worlds if law in (world.law, "all")]
        if group:
            lines.append(_describe_group(law, group))
    return lines


def _describe_group(law: str, worlds: list[World]) -> str:
    changes, distinct, gaps, wide, regret, errors = [], [], [], [], [], []
    for world in worlds:
        truths = [truth(world, budget) for budget in world.budgets]
        weights_CP = subsets(world)
        first_P, last_P = weights_CP[truths[0].best], weights_CP[truths[-1].best]
        changes.append(truths[0].best != truths[-1].best)
        distinct.append(bool(other_samples(first_P, last_P) >= DISTINCT))
        gaps += [(100 * t.gap > 1, 100 * t.distinct_gap > 1) for t in truths]
        wide.append([np.count_nonzero(weights_CP[t.best]) for t in truths])
        regret += [
            [100 * (float(true_error(world, w, n)) - t.error) for w in fixed_choices(world).values()]
            for n, t in zip(world.budgets, truths, strict=True)
        ]
        errors += [float(true_error(world, np.eye(len(first_P)), world.budgets[0]).max()), truths[-1].error]
    near, far = np.mean(gaps, axis=0)
    pools = " ".join(f"{x:.1f}" for x in np.mean(wide, axis=0))
    costs = " / ".join(f"{x:.2f}" for x in np.mean(regret, axis=0))
    return (
        f"{law:11} {len(worlds):4d}   {np.mean(changes):4.0%}   {np.mean(distinct):4.0%}   {near:6.0%}"
        f"  {far:7.0%}       {pools:20}   {costs:18}  {max(errors):.2f} to {min(errors):.2f}"
    )


def main() -> None:
    """Print the statistics of the worlds."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--worlds", type=int, default=NUM_WORLDS, help="how many; a few seconds for 200")
    arguments = parser.parse_args()
    print("\n".join(describe(range(arguments.worlds))))


if __name__ == "__main__":
    main()
