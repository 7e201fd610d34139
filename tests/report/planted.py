"""Runs planted under the utility law, and the laws and the plan that the real fit makes of them."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tests.planning.laws.planted import parameters
from thresher.planning.laws.fit import fit
from thresher.planning.laws.law import design, error
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import Plan
from thresher.planning.runs.record import Run

NAMES = ["0-10%", "10-20%", "20-40%", "40-100%"]
POOL_SAMPLES = [2_560, 2_560, 5_120, 15_360]
PROBE_UNIQUE = [640, 640, 1_280, 3_840]
SIZES = dict(zip(NAMES, POOL_SAMPLES, strict=True))
TRUTH = parameters(
    b=(-0.42, -0.33, -0.24, -0.11),
    tau=(2.6, 3.1, 3.0, 2.4),
    A=0.62,
    n0=500.0,
    d=0.18,
    num_unique=PROBE_UNIQUE,
)
BUDGETS = (8_192, 32_768, 131_072)
LENGTHS = (2_048, 4_096, 8_192, 16_384)
NOISE = 0.002


def true_error(weights: Mapping[str, float], unique: Mapping[str, float], samples_seen: float) -> float:
    """What the planted law says; weights are relative."""
    total = sum(weights.values())
    of = design(
        samples_seen,
        [weights.get(name, 0.0) / total for name in NAMES],
        [unique.get(name, 1.0) for name in NAMES],
    )
    return float(error(LAWS["utility"], TRUTH, of))


def planted_run(name: str, role: str, weights: dict[str, float], unique: dict[str, int], **fields) -> Run:
    """A run with the error of the planted law, plus `noise`."""
    noise = fields.pop("noise", 0.0)
    one = next(iter(weights)) if len(weights) == 1 else None
    return Run(
        run=name,
        role=role,
        pool=one,
        weights=None if one else weights,
        unique_samples=unique[one] if one else unique,
        pool_samples=SIZES[one] if one else {pool: SIZES[pool] for pool in weights},
        error=round(true_error(weights, unique, fields["samples_seen"]) + noise, 5),
        **{"metric": "zeroshot_error", "model": "ViT-S-32", "recipe": "wsd", "final": True, **fields},
    )


@functools.cache
def planted_runs() -> tuple[Run, ...]:
    """Probe runs of every pool, one pool at two sizes, check mixes, and trained candidates."""
    rng = np.random.default_rng(7)
    unique = dict(zip(NAMES, PROBE_UNIQUE, strict=True))
    runs = []

    def add(
        name: str, role: str, pools: Sequence[str], own: dict[str, int], seen: int, seed: int = 0
    ) -> None:
        weights = prefix_weights(len(pools)) if role == "verify" else dict.fromkeys(pools, 1 / len(pools))
        noise = float(rng.normal(0, NOISE))
        runs.append(planted_run(name, role, weights, own, samples_seen=seen, seed=seed, noise=noise))

    for rank, name in enumerate(NAMES):
        for seen in LENGTHS:
            add(f"pool{rank}-s0", "fit", [name], {name: unique[name]}, seen)
    for seen in LENGTHS:
        add("pool0-half", "fit", NAMES[:1], {NAMES[0]: 320}, seen)
    for number, mix in enumerate((NAMES[:2], NAMES[:3])):
        for seen in (4_096, 16_384):
            add(f"check{number}", "check", mix, {name: unique[name] for name in mix}, seen)
    for seen in (8_192, 131_072):
        for num in (1, 2, 3):
            for seed in (0, 1, 2):
                own = {name: SIZES[name] for name in NAMES[:num]}
                add(f"verify{num}-{seed}", "verify", NAMES[:num], own, seen, seed)
    return tuple(runs)


def prefix_weights(num: int) -> dict[str, float]:
    """The first pools, drawn uniformly over their samples."""
    whole = sum(POOL_SAMPLES[:num])
    return {name: size / whole for name, size in zip(NAMES[:num], POOL_SAMPLES[:num], strict=True)}


@functools.cache
def planted_fit(law: str, num_draws: int = 42) -> Laws:
    """What the real fit of one law makes of the planted runs."""
    return fit(planted_runs(), law=law, num_draws=num_draws)


@functools.cache
def planted_laws() -> Laws:
    """The planted law and another one; their shares are set here, since a page does not choose laws."""
    first, second = planted_fit("utility"), planted_fit("effective-data", 18)
    power = next(score for score in first.comparison if score.law == "power")
    scores = [
        next(score for score in laws.comparison if score.law == laws.best.law) for laws in (second, first)
    ]
    return replace(
        first,
        fits=(first.best, second.best),
        weights=(0.7, 0.3),
        comparison=(replace(scores[0], weight=0.3), replace(scores[1], weight=0.7), power),
        status=("Shares in the predictions: utility 70%, effective-data 30%.",),
    )


@functools.cache
def planted_plan(budgets: tuple[int, ...] = BUDGETS, weights: str = "subsets") -> Plan:
    """The plan for whole pools."""
    return make_plan(planted_laws(), budgets, SIZES, weights=weights)
