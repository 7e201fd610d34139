"""The doubt that the draws of the laws leave out: how far mixes may stray from every law.

Draws hold the doubt about parameters. They are too sure of themselves: all laws that were fitted may be
wrong, and the more so the further a mix lies from what was measured. So the error of a mix strays by

    s_0 z_0 g + s_p sum_i w_i z_i ln(1 + g_i) + s_m z_m e u,   g = sum_i w_i g_i,  z standard normal

`g_i` is the distance of pool i in the mix to the nearest run on it, in factors e: of samples seen, of passes
(1 + r) and of the size of the model, plus what the run drew from other pools; `e` is how far the mix lies
from the nearest one that was run, the samples that it takes from elsewhere, and `u` how widely its pools
alone lie apart. The first term moves all mixes alike and widens the interval of an error. The second makes
the ranking uncertain, each further factor less so, since pools keep some of their order. The third is about
how pools add up, and is nothing where they are alike. What strays is the logit of an error (as a share of
that of guessing), and the log of a loss above d, so that no error leaves its bounds.

The scales are set on worlds whose truth is known (`benchmarks/calibration.py`), and are moved by how well the
shorter runs foretold the longest ones. Axes: S draws, T targets, R runs, P pools.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresher.planning.laws.law import Design, Floats
from thresher.planning.laws.layout import design_of
from thresher.planning.runs.record import Run

USUAL_DRIFT, USUAL_POOLS, USUAL_MIXES = 0.067, 0.045, 0.3
_WORTH_OF_USUAL = 8.0
"""Held-out groups of runs that the usual scale counts as."""
_UNKNOWN = 4.0
"""Distance to a pool that no run is on."""
_LEAST_ERROR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Standard deviations of a logit (or of the log of a loss above d).

    Attributes:
        drift: Of all mixes alike, for each factor e of distance from the runs.
        pools: Of each pool on its own, for each unit of ln(1 + that distance).
        mixes: Of a mix all of whose samples come from elsewhere than those of any run, as a share of the
            standard deviation of its pools.
    """

    drift: float = 0.0
    pools: float = 0.0
    mixes: float = 0.0


class Measured(NamedTuple):
    """Logs of samples seen, of passes and of model sizes of the runs, [R] or [R, P], and their weights."""

    log_seen_R: Floats
    weights_RP: Floats
    log_passes_RP: Floats
    log_params_R: Floats


def measured_by(runs: Sequence[Run], pools: Sequence[str]) -> Measured:
    """Where runs lie, each place once."""
    of = design_of(runs, pools, sized=False)
    params = [math.log(run.params) if run.params else 0.0 for run in runs]
    rows = np.column_stack([np.log(of.samples_seen), of.weights, log_passes(of), params])
    rows = np.unique(rows, axis=0)
    count = len(pools)
    return Measured(rows[:, 0], rows[:, 1 : count + 1], rows[:, count + 1 : -1], rows[:, -1])


def doubt_of(
    ratio_H: Floats,
    held: Sequence[Run],
    shorter: Sequence[Run],
    pools: Sequence[str],
    *,
    noise: float,
    bound: float | None,
    d: float,
) -> Doubt:
    """The scales, given how well the shorter runs foretold the longest.

    Each pool or mix with held-out runs counts once, by how far its runs lie off on average against the usual
    scale at their distance; the usual scale itself counts as eight.

    Args:
        ratio_H: Predicted over measured error of the held-out runs, by all laws together.
        held: Those runs.
        shorter: The runs that were fitted.
        pools: Names of the pools.
        noise: Standard deviation of a log error.
        bound: The largest error that there can be.
        d: The irreducible part of a loss.
    """
    of = design_of(held, pools, sized=False)
    g_HP, _ = distances(of, measured_by(shorter, pools))
    distance_H = (of.weights * g_HP).sum(-1)
    unit_H = per_log_error(np.array([run.error for run in held]), bound=bound, d=d)
    off_H = np.log(ratio_H) * unit_H
    _, group_H = np.unique(np.column_stack([of.weights, of.num_unique]), axis=0, return_inverse=True)
    squares = []
    for group in range(int(group_H.max()) + 1):
        ours = group_H.reshape(-1) == group
        distance = distance_H[ours].mean()
        variance = (USUAL_DRIFT * distance) ** 2 + (USUAL_POOLS * np.log1p(distance)) ** 2
        variance += 2 * (noise * unit_H[ours].mean()) ** 2 / ours.sum()
        squares.append(off_H[ours].mean() ** 2 / variance)
    factor = math.sqrt((_WORTH_OF_USUAL + sum(squares)) / (_WORTH_OF_USUAL + len(squares)))
    drift, own = (float(f"{usual * factor:.6g}") for usual in (USUAL_DRIFT, USUAL_POOLS))
    return Doubt(drift=drift, pools=own, mixes=USUAL_MIXES)


def log_passes(of: Design) -> Floats:
    """`ln (1 + r_i)` for every pool, [..., P]; up to one pass nothing comes back, and r counts as 1."""
    return np.asarray(np.log1p(np.maximum(of.samples_seen[..., None] / of.interval, 1.0)))


def distances(of: Design, known: Measured) -> tuple[Floats, Floats]:
    """`g_i` [..., P] and `e` [...] of the module's docstring."""
    passes_P = log_passes(of)
    shape = passes_P.shape
    weights = np.broadcast_to(of.weights, shape)
    flat_R = (np.log(of.samples_seen)[..., None] - known.log_seen_R) ** 2
    if of.num_params is not None:
        flat_R = flat_R + (np.log(of.num_params)[..., None] - known.log_params_R) ** 2
    off_RP = (passes_P[..., None, :] - known.log_passes_RP) ** 2 + (1.0 - known.weights_RP) ** 2
    square_RP = np.broadcast_to(flat_R, (*shape[:-1], known.log_seen_R.size))[..., None] + off_RP
    nearest_P = np.sqrt(np.where(known.weights_RP > 0, square_RP, np.inf).min(-2))
    elsewhere = np.abs(weights[..., None, :] - known.weights_RP).sum(-1).min(-1) / 2
    return np.where(np.isfinite(nearest_P), nearest_P, _UNKNOWN), elsewhere


@functools.lru_cache(maxsize=8)
def normal_draws(num_draws: int, num_pools: int) -> Floats:
    """The `z` of each draw: of all mixes, of each pool, of mixes; [S, P + 2], mean 0 and variance 1."""
    z = np.random.default_rng(0).standard_normal((num_draws, num_pools + 2))
    z = (z - z.mean(0)) / np.maximum(z.std(0), _LEAST_ERROR)
    z.flags.writeable = False
    return np.asarray(z)


def deviations(doubt: Doubt, of: Design, known: Measured, alone_P: Floats, z_SZ: Floats) -> Floats:
    """By how much each draw strays at a design, [S, ...].

    Args:
        doubt: The scales.
        of: The design.
        known: Where the runs lie.
        alone_P: What the pools alone reach at the same length, [..., P], in what strays (`straying`).
        z_SZ: From `normal_draws`.
    """
    g_P, e = distances(of, known)
    mean = (of.weights * alone_P).sum(-1, keepdims=True)
    e = e * np.sqrt((of.weights * (alone_P - mean) ** 2).sum(-1))
    own = np.tensordot(z_SZ[:, 1:-1], of.weights * np.log1p(g_P), (1, -1))
    shared = np.multiply.outer(z_SZ[:, 0], (of.weights * g_P).sum(-1))
    return np.asarray(
        doubt.drift * shared + doubt.pools * own + doubt.mixes * np.multiply.outer(z_SZ[:, -1], e)
    )


def straying(error: Floats, *, bound: float | None, d: Floats | float) -> Floats:
    """What strays: the logit of an error as a share of its bound, or the log of a loss above d."""
    if bound is None:
        return np.asarray(np.log(np.maximum(error - d, _LEAST_ERROR * error)))
    share = np.clip(error / bound, _LEAST_ERROR, 1.0 - _LEAST_ERROR)
    return np.asarray(np.log(share / (1.0 - share)))


def strayed(error: Floats, deviation: Floats, *, bound: float | None, d: Floats) -> Floats:
    """Errors moved by their deviations, within their bounds.

    Args:
        error: [S, ...].
        deviation: From `deviations`.
        bound: The largest error that there can be; None for a loss of which none is known.
        d: The irreducible part of a loss in each draw.
    """
    if bound is None:
        return np.asarray(d + np.maximum(error - d, 0.0) * np.exp(deviation))
    share = np.clip(error / bound, _LEAST_ERROR, 1.0 - _LEAST_ERROR)
    return np.asarray(bound / (1.0 + (1.0 - share) / share * np.exp(-deviation)))


def per_log_error(error: Floats, *, bound: float | None, d: float) -> Floats:
    """Deviation for each unit of log error: what turns a residual into a deviation."""
    if bound is None:
        return np.asarray(error / np.maximum(error - d, _LEAST_ERROR * error))
    return np.asarray(1.0 / np.maximum(1.0 - error / bound, _LEAST_ERROR))
