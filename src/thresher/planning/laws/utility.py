"""The utility law: on its k-th repetition a pool teaches at the rate `b * 2^(-k / tau)` (arXiv 2404.07177).

With `dy/dn = b_k * (y - d) / n` inside pass k and pass boundaries at multiples of the return interval M, the
log of the error above d is a sum over passes. Divided by b it is the exposure

    E(n) = ln min(n, M) + sum_{k=1}^{K-1} r^k ln((k + 1) / k) + r^K ln(n / (K M))
    K = floor(n / M), r = 2^(-1 / tau)

and one pool has `y = A * exp(b * (E(n) - E(n0))) + d`, d added last. Where the first pass reaches beyond
n0, as in the paper, `E(n0) = ln n0`, and the authors' `(a n)^b`, n in units of 1e5 samples, is A = 1 and
n0 = 1e5 / a. Where a pool is smaller than n0 the paper's product would give the pool with the better b
the larger error at n0; here every curve still passes through the meeting point.

Drawn with replacement, the number of times that a sample was seen is Poisson with mean n/M, so the expected
worth of the next one is `exp(-(1 - r) n / M)`, and its integral `E(n) = ln n - Ein((1 - r) n / M)`, with the
entire exponential integral `Ein(z) = E1(z) + ln z + 0.5772...`. Array axis: E is the flat list of elements
that need a sum.
"""

import math

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.integrals import FIRST_LATER, ein, later_passes
from thresher.planning.laws.law import Exposure, Floats, Law
from thresher.planning.laws.mix import exposure_differences, log_excess_error

_LN2 = math.log(2.0)
_NEGLIGIBLE = -40.0
"""Terms below exp(-40) of the first pass cannot change a double any more."""
_FIRST_BLOCK = 4
_FEW_TERMS = 16_384
"""So many, needed or not, cost less than Python's loop around fewer of them."""
_LARGEST_BLOCK_ELEMENTS = 4_000_000
_PASSES = np.arange(FIRST_LATER, dtype=float)
_LOGS = np.log1p(1.0 / np.maximum(_PASSES, 1.0))[:, None] * np.column_stack([np.ones(FIRST_LATER), _PASSES])
"""`ln(1 + 1/k)`, and k times that, by k."""


def log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """`E(n)` of the module's docstring and slopes; arguments broadcast, an infinite interval never repeats.

    Costs one to two exponentials a pass and element for the first few hundred; passes beyond some 58
    half-lives are skipped.
    """
    seen = samples_seen / interval
    passes = np.floor(seen)
    fresh = np.log(np.minimum(samples_seen, interval))
    partial = np.log(np.maximum(seen, 1.0) / np.maximum(passes, 1.0))
    log_decay = -_LN2 / half_life
    worth_now = np.exp(log_decay * passes)
    last = worth_now * partial
    whole, whole_times_pass = _whole_passes(passes, log_decay)
    return Exposure(fresh + whole + last, -log_decay * (whole_times_pass + passes * last), worth_now)


def _whole_passes(passes: Floats, log_decay: Floats) -> tuple[Floats, Floats]:
    """`sum_{k=1}^{K-1} r^k ln(1 + 1/k)` and the same sum with every term times k; arguments broadcast."""
    most = passes.max(initial=0.0)
    shape = np.broadcast_shapes(passes.shape, log_decay.shape)
    if most * math.prod(shape) <= _FEW_TERMS and most <= FIRST_LATER:
        k = _PASSES[1 : int(most)]
        terms = np.exp(log_decay[..., None] * k) * (k < passes[..., None])
        sums = terms @ _LOGS[1 : int(most)]
        return sums[..., 0], sums[..., 1]
    passes_E = np.broadcast_to(passes, shape).ravel()
    total_E, weighted_E = _sum_of_passes(passes_E, np.broadcast_to(log_decay, shape).ravel())
    return total_E.reshape(shape), weighted_E.reshape(shape)


def _sum_of_passes(passes_E: Floats, log_decay_E: Floats) -> tuple[Floats, Floats]:
    """`sum_{k=1}^{K-1} r^k ln(1 + 1/k)` for each element, and the same sum with every term times k.

    Blocks of passes double in length and only elements with passes left stay in, so the work is at most
    twice the number of terms and Python's loop has a logarithmic number of rounds; `integrals.py` sums the
    rest.
    """
    sums_E2 = np.zeros((passes_E.size, 2))
    active: NDArray[np.intp] = np.flatnonzero(passes_E >= 2)
    start = 1
    while active.size and start < FIRST_LATER:
        K_A, log_decay_A = passes_E[active], log_decay_E[active]
        width = max(_FIRST_BLOCK, min(start, _LARGEST_BLOCK_ELEMENTS // active.size))
        stop = min(start + width, FIRST_LATER)
        k = _PASSES[start:stop]
        terms = np.exp(log_decay_A[:, None] * k)
        terms *= k < K_A[:, None]
        sums_E2[active] += terms @ _LOGS[start:stop]
        start = stop
        active = active[(start < K_A) & (log_decay_A * start > _NEGLIGIBLE)]
    if active.size:
        later = later_passes(passes_E[active], log_decay_E[active], np.zeros(active.size))
        sums_E2[active, 0] += later.value
        sums_E2[active, 1] += later.times_pass
    return sums_E2[:, 0], sums_E2[:, 1]


def expected_log_exposure(samples_seen: Floats, interval: Floats, half_life: Floats) -> Exposure:
    """The same for samples drawn with replacement."""
    seen = samples_seen / interval
    z = -np.expm1(-_LN2 / half_life) * seen
    by_log_z = -np.expm1(-z)
    log_z_by_log_tau = -np.exp2(-1.0 / half_life) * _LN2 / half_life / -np.expm1(-_LN2 / half_life)
    return Exposure(np.log(samples_seen) - ein(z), -by_log_z * log_z_by_log_tau, np.exp(-z))


LAW = Law(
    name="utility",
    shared=("A", "n0", "d", "gamma", "mixing"),
    fall=log_excess_error,
    span=exposure_differences(log_exposure, expected_log_exposure),
    about="Each repetition teaches less than the one before, by the factor 2^(-1/tau).",
)
HARMFUL = Law(
    name="harmful",
    shared=("A", "n0", "d", "gamma", "harm", "mixing"),
    fall=log_excess_error,
    span=exposure_differences(log_exposure, expected_log_exposure),
    about="As utility, but a sample repeated often enough does harm, so that the error turns up.",
)
