"""The bounded law: the utility law from a known error at the start, `y = start` before any sample.

A power law has an infinite error at n = 0. Here `dy/dn = b_k (y - d) / (n + n0)`, so that

    y = d + (start - d) exp(sum_i w_i b_i E_i)
    E(n) = sum_k r^k ln((n_{k+1} + n0) / (n_k + n0)),  r = 2^(-1 / tau)

with pass boundaries `n_k = k M`, the last one n. All curves start at the same point, which is known but for
a little: the error of guessing, at most 1, or a softmax contrastive loss of ln(batch), which can be held.
(After the idea of arXiv 2605.09189; this form is ours.) `n0` is how many samples pass before learning shows.

Drawn with replacement, the expected worth of the next sample is `exp(-c n)` with `c = (1 - r) / M`, as in the
utility law, and `E(n) = e^(c n0) (E1(c n0) - E1(c (n + n0)))` with the exponential integral E1.
Array axis: E is the flat list of elements that need a sum.
"""

import math

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.integrals import FIRST_LATER, ein, later_passes, scaled_exp1
from thresher.planning.laws.law import ExposureDifference, Floats, Law
from thresher.planning.laws.mix import log_excess_error

_LN2 = math.log(2.0)
_NEGLIGIBLE = -40.0
_FIRST_BLOCK = 4
_LARGEST_BLOCK_ELEMENTS = 4_000_000


def span(
    samples: Floats, n0: Floats, interval: Floats, half_life: Floats, replacement: NDArray[np.bool_] | None
) -> ExposureDifference:
    """`E(n)` of the module's docstring and its slopes; arguments broadcast."""
    exact = _exact(samples, n0, interval, half_life)
    if replacement is None:
        return exact
    of_pools = replacement[..., None]
    poisson = _expected(samples, n0, interval, half_life)
    return ExposureDifference(*(np.where(of_pools, *pair) for pair in zip(poisson, exact, strict=True)))


def _exact(samples: Floats, n0: Floats, interval: Floats, half_life: Floats) -> ExposureDifference:
    shape = np.broadcast_shapes(samples.shape, n0.shape, interval.shape, half_life.shape)
    n, onset, M, tau = (np.broadcast_to(x, shape).ravel() for x in (samples, n0, interval, half_life))
    repeated = n >= M
    finite = np.where(repeated, M, 1.0)
    passes = np.where(repeated, np.floor(n / finite), 0.0)
    log_r = -_LN2 / tau
    value, by_log_r, by_n0 = _whole_passes(passes, log_r, finite, onset)
    begun = np.where(repeated, passes * finite, 0.0)
    worth = np.exp(passes * log_r)
    rest = np.log((n + onset) / (begun + onset))
    value += worth * rest
    by_log_r += passes * worth * rest
    by_n0 += worth * (1.0 / (n + onset) - 1.0 / (begun + onset))
    return ExposureDifference(
        value.reshape(shape), (-log_r * by_log_r).reshape(shape), (onset * by_n0).reshape(shape)
    )


def _whole_passes(
    passes_E: Floats, log_r_E: Floats, interval_E: Floats, n0_E: Floats
) -> tuple[Floats, Floats, Floats]:
    """The sum over finished passes and its slopes in ln r and n0; blocks of passes double in length.

    `integrals.py` sums those beyond two thousand.
    """
    value, by_log_r, by_n0 = (np.zeros(passes_E.size) for _ in range(3))
    active: NDArray[np.intp] = np.flatnonzero(passes_E >= 1)
    start = 0
    while active.size and start < FIRST_LATER:
        width = max(_FIRST_BLOCK, min(start, _LARGEST_BLOCK_ELEMENTS // active.size))
        width = min(width, FIRST_LATER - start)
        k = np.arange(start, start + width, dtype=float)
        worth = np.exp(log_r_E[active, None] * k)
        worth *= k < passes_E[active, None]
        before = interval_E[active, None] * k + n0_E[active, None]
        after = before + interval_E[active, None]
        terms = worth * np.log(after / before)
        value[active] += terms.sum(1)
        by_log_r[active] += terms @ k
        by_n0[active] += (worth * (1.0 / after - 1.0 / before)).sum(1)
        start += width
        active = active[(passes_E[active] > start) & (log_r_E[active] * start > _NEGLIGIBLE)]
    if active.size:
        M = interval_E[active]
        later = later_passes(passes_E[active], log_r_E[active], n0_E[active] / M)
        value[active] += later.value
        by_log_r[active] += later.times_pass
        by_n0[active] += later.by_offset / M
    return value, by_log_r, by_n0


def _expected(samples: Floats, n0: Floats, interval: Floats, half_life: Floats) -> ExposureDifference:
    fresh_left = -np.expm1(-_LN2 / half_life)
    c = fresh_left / interval
    before, after = c * n0, c * (samples + n0)
    late = before > 1.0
    early_before, late_before = np.where(late, 1.0, before), np.where(late, before, 1.0)
    unworn = np.log1p(samples / n0) - ein(after) + ein(early_before)
    worn = scaled_exp1(late_before) - np.exp(-c * samples) * scaled_exp1(np.where(late, after, 1.0))
    value = np.where(late, worn, np.exp(early_before) * unworn)
    by_log_c = before * value + np.expm1(-c * samples)
    log_c_by_log_tau = -np.exp2(-1.0 / half_life) * _LN2 / half_life / fresh_left
    by_log_n0 = before * value - 1.0 + np.exp(-c * samples) * n0 / (samples + n0)
    return ExposureDifference(value, by_log_c * log_c_by_log_tau, by_log_n0)


LAW = Law(
    name="bounded",
    shared=("start", "n0", "d", "gamma", "mixing"),
    fall=log_excess_error,
    span=span,
    about="As utility, from a known error before the first sample.",
)
