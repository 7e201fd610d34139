"""Worlds for `calibration.py`: pools, probes and the true error of every mix, under many forms of law.

A world is a number; `make_world` gives the same one for ever. Half of them follow a form that the tool fits
(written here a second time), half a form that is none of its laws:

    utility, harmful, bounded, effective-data, data-constrained, saturating    as in docs/laws.md
    sigmoid       accuracy = cap / (1 + (c / D)^k) of effective data D, repeats worth (1 + x)^(-s)
    broken        y = d + A (D / n0)^b (1 + (D / n1)^(1/s))^(-b2 s): two slopes; repeats worth 1/(1 + x)
    additive      every pool lowers a part of the error alone, by what is seen of it, and the rest with all
    logarithm     accuracy = s ln(1 + D / n0), and mixing helps or hurts by c (1 - sum w^2)
    overfitted    a power law of effective data plus h ln(1 + passes)^2: a smooth turn for the worse
    thresholds    repeats count in full up to some passes and not at all after

`D` adds up what pools are worth, `sum q_i w_i n r_eff,i / r_i`. Ranges are wide: 2 to 5 pools, 2 to
5 lengths, 1 to 3 seeds, noise .1 to 1 point, probes on whole pools or on parts that repeat as targets do,
mixes among the runs or not. The longest run lies at .5 to 8 passes over all pools together.

Axes: P pools, C subsets, R runs.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.planning.runs.record import Run

Floats = NDArray[np.float64]

OWN = ("utility", "harmful", "bounded", "effective-data", "data-constrained", "saturating")
FOREIGN = ("sigmoid", "broken", "additive", "logarithm", "overfitted", "thresholds")
METRIC = "zeroshot_error"
_SEED = 20261201
_LARGEST_ERROR, _SMALLEST_ERROR, _LEAST_FALL = 0.97, 0.08, 0.03


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """One world.

    Attributes:
        size_P: Samples in each pool.
        worth_P: Quality of a fresh sample, 1 for the best pool.
        tau_P: Half-life in passes.
        form: Values of the form, by name.
        longest: Samples seen of the longest probe.
        noise: Standard deviation of one measured error.
    """

    number: int
    law: str
    size_P: Floats
    worth_P: Floats
    tau_P: Floats
    form: dict[str, float]
    longest: int
    noise: float
    lengths: tuple[int, ...]
    seeds: int
    shares: tuple[float, ...]
    mixes: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pools."""
        return tuple(f"p{place}" for place in range(self.size_P.size))

    @property
    def subsets_CP(self) -> Floats:
        """Weights of every subset, drawn uniformly over its samples."""
        members = np.array(list(itertools.product((0, 1), repeat=self.size_P.size))[1:])
        drawn = members * self.size_P
        return np.asarray(drawn / drawn.sum(1, keepdims=True), float)


def make_world(number: int) -> World:
    """World `number`, the same one whenever it is made."""
    rng = np.random.default_rng([_SEED, number])
    law = (OWN, FOREIGN)[number % 2][(number // 2) % 6]
    while True:
        world = _draw(number, law, rng)
        error_C = true_error(world, world.subsets_CP, world.longest)
        first_C = true_error(world, world.subsets_CP, world.lengths[0])
        late_C = true_error(world, world.subsets_CP, 10 * world.longest)
        if (
            first_C.max() <= _LARGEST_ERROR
            and min(late_C.min(), error_C.min()) >= _SMALLEST_ERROR
            and (first_C - error_C).max() >= _LEAST_FALL
        ):
            return world


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _draw(number: int, law: str, rng: np.random.Generator) -> World:
    count = int(rng.integers(2, 6))
    size_P = np.rint(1e6 * 10 ** rng.uniform(-0.5, 0.5, count))
    worth_P = rng.uniform(0.15, 1.0) ** (np.arange(count) / (count - 1))
    worth_P = worth_P * np.exp(0.1 * rng.standard_normal(count))
    worth_P = rng.permutation(worth_P / worth_P.max())
    longest = size_P.sum() * _log_uniform(rng, 0.5, 8.0)
    steps = int(rng.integers(2, 6))
    lengths = np.geomspace(longest / _log_uniform(rng, 4, 30), longest, steps)
    d = rng.uniform(0.02, 0.25)
    form = {
        "d": d,
        "A": rng.uniform(0.8, 1.0) - d,
        "b": rng.uniform(0.1, 0.4),
        "n0": lengths[0] / _log_uniform(rng, 2, 30),
        "harm": rng.uniform(0.02, 0.25),
        "gamma": rng.choice([0.0, 1.0]),
        "mixing": rng.uniform(0.2, 1.0),
        "slope": rng.uniform(0.4, 1.0),
        "turn": longest * _log_uniform(rng, 0.1, 10.0),
        "synergy": rng.normal(0, 0.03),
        "tail": rng.uniform(0.3, 2.0),
    }
    return World(
        number=number,
        law=law,
        size_P=size_P,
        worth_P=worth_P,
        tau_P=np.exp(rng.uniform(math.log(1.5), math.log(12.0), count)),
        form={name: float(value) for name, value in form.items()},
        longest=round(longest),
        noise=_log_uniform(rng, 0.001, 0.01),
        lengths=tuple(round(length) for length in lengths),
        seeds=int(rng.integers(1, 4)),
        shares=((1.0,), (0.25, 1.0), (0.1, 1.0), (0.3,))[int(rng.integers(4))],
        mixes=("none", "all", "pairs", "checks")[int(rng.integers(4))],
    )


def true_error(
    world: World, weights: Floats, samples_seen: Floats | float, unique: Floats | None = None
) -> Floats:
    """Exact error of mixes, [...]; `weights` and `unique` are [..., P]."""
    unique = world.size_P if unique is None else unique
    seen = np.asarray(samples_seen, float)[..., None]
    passes = weights * seen / unique
    interval = np.where(weights > 0, unique / np.where(weights > 0, weights, 1.0), np.inf)
    stretch = np.where(weights > 0, interval / world.size_P, 1.0) ** world.form["gamma"]
    error = _FORMS[world.law](world, weights, seen, passes, interval, world.tau_P * stretch)
    return np.clip(error, 1e-3, 0.999)


def _power(world: World, weights: Floats, log_worth: Floats, start: float = 0.0) -> Floats:
    form = world.form
    exponent = (weights * form["b"] * world.worth_P * (log_worth - math.log(form["n0"] + start))).sum(-1)
    return np.asarray(form["d"] + form["A"] * np.exp(-exponent))


def _utility(world, weights, seen, _, interval, tau):
    return _power(world, weights, _passes_summed(seen, interval, tau, 0.0, 0.0))


def _harmful(world, weights, seen, _, interval, tau):
    return _power(world, weights, _passes_summed(seen, interval, tau, world.form["harm"], 0.0))


def _bounded(world, weights, seen, _, interval, tau):
    n0 = world.form["n0"]
    log_worth = _passes_summed(seen, interval, tau, 0.0, n0)
    return _power(world, weights, log_worth)


def _passes_summed(seen: Floats, interval: Floats, tau: Floats, harm: float, offset: float) -> Floats:
    """The log of the worth, one pass after the other, each worth `(1 + c) 2^(-k/tau) - c`."""
    seen, interval, tau = np.broadcast_arrays(seen, interval, tau)
    total = np.log(np.minimum(seen, interval) + offset)
    for k in range(1, math.floor(float((seen / interval).max())) + 1):
        begun = seen > k * interval
        start = np.where(begun, k * interval, seen)
        end = np.minimum(seen, start + np.where(begun, interval, 0.0))
        total = total + ((1 + harm) * np.exp2(-k / tau) - harm) * np.log((end + offset) / (start + offset))
    return np.asarray(total)


def _effective(world, weights, seen, _, interval, tau):
    seen, finite = np.broadcast_arrays(seen, np.where(np.isfinite(interval), interval, 1e30))
    r, passes = np.exp2(-1 / tau), np.floor(seen / finite)
    worth = finite * (1 - r**passes) / (1 - r) + r**passes * (seen - passes * finite)
    return _power(world, weights, np.log(worth))


def _saturation(passes: Floats, scale: Floats) -> Floats:
    return np.minimum(passes, 1.0) + scale * -np.expm1(-np.maximum(passes - 1, 0) / scale)


def _constrained(world, weights, seen, passes, _, tau):
    safe = np.where(passes > 0, passes, 1.0)
    worth = seen * _saturation(safe, tau / math.log(2)) / safe
    return _power(world, weights, np.log(worth))


def _data(
    world: World, weights: Floats, seen: Floats, passes: Floats, kept: Floats, m: float = 1.0
) -> Floats:
    """Effective data: `kept` are the passes that count, of `passes`."""
    share = np.where(passes > 0, kept / np.where(passes > 0, passes, 1.0), 1.0)
    parts = np.where(weights > 0, weights * (world.worth_P * seen * share) ** m, 0.0)
    return np.asarray(parts.sum(-1) ** (1 / m))


def _saturating(world, weights, seen, passes, _, tau):
    form = world.form
    D = _data(world, weights, seen, passes, _saturation(passes, tau / math.log(2)), form["mixing"])
    return form["d"] + form["A"] * (1 + D / form["n0"]) ** -form["b"]


def _tailed(world: World, passes: Floats) -> Floats:
    """Passes that count where the x-th repetition is worth (1 + x)^(-s)."""
    more, s = np.maximum(passes - 1, 0), world.form["tail"]
    grown = np.log1p(more) if abs(s - 1) < 1e-9 else ((1 + more) ** (1 - s) - 1) / (1 - s)
    return np.asarray(np.minimum(passes, 1) + grown)


def _sigmoid(world, weights, seen, passes, _, __):
    form = world.form
    D = _data(world, weights, seen, passes, _tailed(world, passes))
    return 1 - (1 - form["d"]) / (1 + (form["turn"] / D) ** form["slope"])


def _broken(world, weights, seen, passes, _, __):
    form = world.form
    D = _data(world, weights, seen, passes, np.minimum(passes, 1) + np.log1p(np.maximum(passes - 1, 0)))
    return form["d"] + form["A"] * (D / form["n0"]) ** (-form["b"] / 2) * (1 + (D / form["turn"]) ** 2) ** (
        -form["b"] / 4
    )


def _additive(world, weights, seen, passes, _, tau):
    form = world.form
    kept = _saturation(passes, tau / math.log(2))
    share = np.where(passes > 0, kept / np.where(passes > 0, passes, 1.0), 1.0)
    own = weights * seen * share  # of each pool alone
    part = world.worth_P / world.worth_P.sum()
    alone = (part * (1 + own / form["n0"]) ** -form["b"]).sum(-1)
    together = (1 + _data(world, weights, seen, passes, kept) / form["n0"]) ** -form["b"]
    return form["d"] + form["A"] * (0.3 * alone + 0.7 * together)


def _logarithm(world, weights, seen, passes, _, tau):
    form = world.form
    D = _data(world, weights, seen, passes, _saturation(passes, tau / math.log(2)))
    accuracy = form["b"] / 3 * np.log1p(D / form["n0"])
    return 1 - accuracy * (1 + form["synergy"] * (1 - (weights**2).sum(-1)))


def _overfitted(world, weights, seen, passes, _, __):
    form = world.form
    D = _data(world, weights, seen, passes, passes)
    worn = (weights * np.log1p(np.maximum(passes - 1, 0)) ** 2).sum(-1)
    return form["d"] + form["A"] * (1 + D / form["n0"]) ** -form["b"] + 0.1 * form["harm"] * worn


def _thresholds(world, weights, seen, passes, _, tau):
    form = world.form
    D = _data(world, weights, seen, passes, np.minimum(passes, tau))
    return form["d"] + form["A"] * (1 + D / form["n0"]) ** -form["b"]


_FORMS = {
    "utility": _utility,
    "harmful": _harmful,
    "bounded": _bounded,
    "effective-data": _effective,
    "data-constrained": _constrained,
    "saturating": _saturating,
    "sigmoid": _sigmoid,
    "broken": _broken,
    "additive": _additive,
    "logarithm": _logarithm,
    "overfitted": _overfitted,
    "thresholds": _thresholds,
}


def probe_runs(world: World) -> list[Run]:
    """The measured runs of a world, with their noise."""
    rng = np.random.default_rng([_SEED, world.number, 1])
    count = world.size_P.size
    alone = [("fit", row) for row in np.eye(count)]
    everything = ("fit", world.size_P / world.size_P.sum())
    pairs = [
        ("fit", world.size_P * mask / (world.size_P * mask).sum())
        for mask in (np.eye(count)[[place, (place + 1) % count]].sum(0) for place in range(min(count, 3)))
    ]
    mixes = {"none": [], "all": [everything], "pairs": pairs, "checks": [("check", everything[1])]}
    runs = []
    for share, (role, weights_P), length, seed in itertools.product(
        world.shares, [*alone, *mixes[world.mixes]], world.lengths, range(world.seeds)
    ):
        unique_P = np.maximum(1.0, np.rint(share * world.size_P))
        error = float(true_error(world, weights_P, length, unique_P)) + world.noise * rng.standard_normal()
        runs.append(measured(world, role, weights_P, unique_P, length, error, seed))
    return runs


def measured(
    world: World, role: str, weights_P: Floats, unique_P: Floats, length: int, error: float, seed: int
) -> Run:
    """A finished run."""
    drawn = np.flatnonzero(weights_P)
    names = world.names
    alone = len(drawn) == 1
    return Run(
        role=role,
        pool=names[drawn[0]] if alone else None,
        weights=None if alone else {names[place]: float(weights_P[place]) for place in drawn},
        unique_samples=int(unique_P[drawn[0]]) if alone else {names[p]: int(unique_P[p]) for p in drawn},
        pool_samples=int(world.size_P[drawn[0]])
        if alone
        else {names[p]: int(world.size_P[p]) for p in drawn},
        samples_seen=int(length),
        error=float(np.clip(error, 1e-3, 1.0)),
        metric=METRIC,
        seed=seed,
        final=True,
    )
