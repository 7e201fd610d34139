"""The interface of a law: how far samples seen of some pools bring the error down from the meeting point.

Every law reads `y = d + A * exp(fall) [+ size] [+ crowding]`. In most of them the fall is a sum over pools,
`sum_i w_i b_i (E_i(n) - E_i(n0))`, and they differ in `E_i(n)`, the log of the worth of `n` samples seen of a
mix in which pool i comes back every `M_i` samples. Pools share the meeting point `(n0, A + d)`.

Axes: P pools (always last); all leading axes broadcast (draws, candidates, points).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thresher.errors import InputError
from thresher.planning.laws.crowding import CROWDING, crowding_term

Floats = NDArray[np.float64]

SIZE = ("size", "alpha")
"""Shared parameters of the model-size term, which a law has where the runs are of models of several sizes."""
LOGARITHMIC = frozenset({"A", "start", "n0", "quality", "tau", *SIZE, *CROWDING})
"""Parameters whose coordinate is their natural log."""
OWN = ("A", "d")
"""Shared parameters that each pool may have of its own instead."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """What runs train on.

    Attributes:
        samples_seen: [...], repeats counted.
        weights: [..., P], sampling weights that sum to 1.
        num_unique: [..., P], unique samples of each pool that a run draws from.
        num_params: Parameters of the models, [...]; None where the law has no size term.
        replacement: Whether samples are drawn with replacement, so that exposures are Poisson, [...].
    """

    samples_seen: Floats
    weights: Floats
    num_unique: Floats
    num_params: Floats | None = None
    replacement: NDArray[np.bool_] | None = None

    @cached_property
    def interval(self) -> Floats:
        """Samples seen between two passes over each pool, `M_i = N_i / w_i`; infinite for one left out."""
        active = self.weights > 0
        return np.where(active, self.num_unique / np.where(active, self.weights, 1.0), np.inf)

    @cached_property
    def compact(self) -> "Compact | None":
        """The pools that the runs do draw from, where weights are [R, P] and no run draws from all pools."""
        if self.weights.ndim != 2 or self.num_unique.ndim > 2:
            return None
        runs, width = len(self.weights), int((self.weights > 0).sum(-1).max(initial=0))
        per_run = [
            x.shape[-1:] for x in (self.samples_seen, self.num_params, self.replacement) if x is not None
        ]
        same = all(axis in ((), (1,), (runs,)) for axis in (*per_run, self.num_unique.shape[-2:-1]))
        if not (same and 0 < width < self.weights.shape[-1]):
            return None
        pools_RW = np.argsort(self.weights <= 0, axis=-1, kind="stable")[:, :width]
        rows_R1 = np.arange(runs)[:, None]
        num_unique = np.broadcast_to(self.num_unique, self.weights.shape)
        of = replace(self, weights=self.weights[rows_R1, pools_RW], num_unique=num_unique[rows_R1, pools_RW])
        return Compact(of, rows_R1, pools_RW)


class Compact(NamedTuple):
    """A design with as many columns as the run that draws from most pools, W of P.

    Attributes:
        design: Weights and unique samples [R, W]; runs that draw from fewer pools have some of weight 0.
        rows: Number of each run, [R, 1].
        pools: Which pool a column stands for, [R, W].
    """

    design: Design
    rows: NDArray[np.intp]
    pools: NDArray[np.intp]


def design(
    samples_seen: ArrayLike,
    weights: ArrayLike,
    num_unique: ArrayLike,
    *,
    num_params: ArrayLike | None = None,
    replacement: ArrayLike = False,
) -> Design:
    """A `Design` from anything that numpy takes for an array."""
    with_replacement = np.asarray(replacement, bool)
    return Design(
        samples_seen=np.asarray(samples_seen, float),
        weights=np.asarray(weights, float),
        num_unique=np.asarray(num_unique, float),
        num_params=None if num_params is None else np.asarray(num_params, float),
        replacement=with_replacement if with_replacement.any() else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parameters:
    """Values of a law for P pools, in natural units; leading axes hold draws.

    Attributes:
        shared: Name of `Law.shared` (and of `SIZE` and `CROWDING`) to its value, [...].
        worth_P: What `Law.worth` names: the initial utility `b` (at most 0) or the `quality`, [..., P].
        tau_P: Half-life of each pool in passes, [..., P], at `num_unique_P` samples.
        num_unique_P: Pool size at which `tau_P` holds, [P].
        num_params: Model size at which `size` holds; None without a size term.
        own: What of `OWN` each pool has its own value of, [..., P]; `in_mix` puts it in place of `shared`.
    """

    shared: Mapping[str, Floats]
    worth_P: Floats
    tau_P: Floats
    num_unique_P: Floats
    num_params: float | None = None
    own: Mapping[str, Floats] = field(default_factory=dict)


class Exposure(NamedTuple):
    """`E` and its slopes, of one shape.

    Attributes:
        value: `E`, which is `ln n` while no sample was repeated.
        by_log_tau: Slope in the log of the half-life.
        by_log_samples: Slope in `ln n`: what a sample is worth now, 1 when fresh.
        by_tail: Slope in the tail of the wear, for laws that have one.
    """

    value: Floats
    by_log_tau: Floats
    by_log_samples: Floats
    by_tail: Floats = np.zeros(())


_SAME_FOR_RUNS = ((), (1,))
"""Shape of the axis of runs of parameters that do not differ between runs."""

LogExposure = Callable[..., Exposure]
"""(samples seen n, return interval M, half-life tau in passes, and the tail of a law with one), broadcast."""


class ExposureDifference(NamedTuple):
    """What lies between the meeting point and the samples seen: `E(n) - E(n0)` and its slopes."""

    value: Floats
    by_log_tau: Floats
    by_log_n0: Floats
    by_tail: Floats = np.zeros(())


class LogExcessError(NamedTuple):
    """`ln (y - d)`, [...], and its slopes in the coordinates; `shared` by name, the others [..., P]."""

    value: Floats
    shared: Mapping[str, Floats]
    by_worth: Floats
    by_log_tau: Floats


FallOf = Callable[["Law", Parameters, Design], LogExcessError]
SpanOf = Callable[..., ExposureDifference]
"""(n, n0, M, tau, replacement, and the tail if the law has one)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One law; `LAWS` holds them by name.

    Attributes:
        shared: Names of the parameters that all pools share; always with d and gamma.
        worth: Name of what each pool has of its own beside its half-life: "b" or "quality".
        has_half_life: Whether `tau` enters at all.
        fall: `ln (y - d)` and its slopes.
        span: What `fall` sums, for laws whose pools add up in the exponent.
        about: One sentence for people.
    """

    name: str
    shared: tuple[str, ...]
    worth: str = "b"
    has_half_life: bool = True
    fall: FallOf
    span: SpanOf | None = None
    about: str


def shared_names(law: Law, *, sized: bool, crowded: bool = False) -> tuple[str, ...]:
    """Names of the shared parameters, those of the size and the crowding term last."""
    return (*law.shared, *(SIZE if sized else ()), *(CROWDING if crowded else ()))


def in_mix(parameters: Parameters, weights: Floats) -> Parameters:
    """The parameters of a mix: what pools have of their own averaged by sampling weight, d and ln A.

    That is an assumption, the simplest that a split of a pool leaves as it was; no theorem says so.
    """
    if not parameters.own:
        return parameters
    shared = dict(parameters.shared)
    for name, own_P in parameters.own.items():
        logs = name in LOGARITHMIC
        mean = (weights * (np.log(own_P) if logs else own_P)).sum(-1)
        shared[name] = np.exp(mean) if logs else mean
    return replace(parameters, shared=shared)


def error(law: Law, parameters: Parameters, of: Design) -> Floats:
    """Predicted error, [...]; leading axes of parameters and design broadcast."""
    parameters = in_mix(parameters, of.weights)
    fall, _ = _log_excess_error(law, parameters, of)
    return np.asarray(np.exp(fall.value) + parameters.shared["d"] + added_terms(parameters, of)[0])


def error_with_jacobian(law: Law, parameters: Parameters, of: Design) -> tuple[Floats, Floats]:
    """Predicted error [...] and its slopes in the coordinates [..., X].

    The coordinates are the shared parameters in the order of `shared_names`, then the worth and then the
    half-life of each pool, then what pools have of their own; those in `LOGARITHMIC` are natural logs.
    """
    parameters = in_mix(parameters, of.weights)
    fall, compact = _log_excess_error(law, parameters, of)
    above = np.exp(fall.value)
    added, by_added = added_terms(parameters, of)
    shared = shared_names(law, sized=parameters.num_params is not None, crowded="room" in parameters.shared)
    pools = of.weights.shape[-1]
    worths, half_lives = len(shared), len(shared) + pools
    slopes = np.zeros((*above.shape, half_lives + (1 + len(parameters.own)) * pools))
    for place, name in enumerate(shared):
        slope = slopes[..., place]
        if name in by_added:
            slope[...] = by_added[name]
        elif name in fall.shared:
            np.multiply(above, fall.shared[name], out=slope)
        if name == "d":
            slope += 1.0
        if name in parameters.own:
            first = half_lives + (1 + list(parameters.own).index(name)) * pools
            slopes[..., first : first + pools] = slope[..., None] * of.weights
            slope[...] = 0.0
    for first, by_pool in ((worths, fall.by_worth), (half_lives, fall.by_log_tau)):
        of_pools = slopes[..., first : first + pools]
        if compact is None:
            np.multiply(above[..., None], by_pool, out=of_pools)
        else:
            of_pools[..., compact.rows, compact.pools] = above[..., None] * by_pool
    return above + parameters.shared["d"] + added, slopes


def log_excess_error_of(law: Law, parameters: Parameters, of: Design) -> LogExcessError:
    """`ln (y - d)` and its slopes, without the work for pools that no run draws from."""
    fall, compact = _log_excess_error(law, parameters, of)
    if compact is None:
        return fall
    by_pool = []
    for slope in (fall.by_worth, fall.by_log_tau):
        spread = np.zeros((*slope.shape[:-1], of.weights.shape[-1]))
        spread[..., compact.rows, compact.pools] = slope
        by_pool.append(spread)
    return fall._replace(by_worth=by_pool[0], by_log_tau=by_pool[1])


def _log_excess_error(law: Law, parameters: Parameters, of: Design) -> tuple[LogExcessError, Compact | None]:
    """The fall; its slopes by pool are [..., R, W] where a design of W columns comes with it."""
    compact, worth, tau = of.compact, parameters.worth_P, parameters.tau_P
    if compact is None or worth.shape[-2:-1] not in _SAME_FOR_RUNS or tau.shape[-2:-1] not in _SAME_FOR_RUNS:
        return law.fall(law, parameters, of), None
    few = Parameters(
        shared=parameters.shared,
        worth_P=_columns(worth, compact),
        tau_P=_columns(tau, compact),
        num_unique_P=parameters.num_unique_P[compact.pools],
        num_params=parameters.num_params,
    )
    return law.fall(law, few, compact.design), compact


def _columns(values_P: Floats, compact: Compact) -> Floats:
    return values_P[compact.pools] if values_P.ndim == 1 else values_P[..., 0, :].take(compact.pools, -1)


def added_terms(parameters: Parameters, of: Design) -> tuple[Floats, dict[str, Floats]]:
    """`size * (params / reference)^-alpha` and the harm of crowding, with slopes in their coordinates."""
    if parameters.num_params is None:
        return np.zeros(()), {}
    if of.num_params is None:
        raise InputError("this law has a term for the size of the model; name the number of its parameters")
    ratio = np.log(of.num_params / parameters.num_params)
    alpha = parameters.shared["alpha"]
    size = parameters.shared["size"] * np.exp(-alpha * ratio)
    slopes = {"size": size, "alpha": -size * alpha * ratio}
    if "room" not in parameters.shared:
        return size, slopes
    harm, by_harm = crowding_term(parameters.shared, of.num_params, of.samples_seen, of.weights, of.interval)
    return size + harm, slopes | by_harm


def stretched(parameters: Parameters, of: Design, interval: Floats) -> tuple[Floats, Floats]:
    """Half-lives at the return interval, `tau_i (M_i / N_ref_i)^gamma`, and `ln (M_i / N_ref_i)`."""
    reference_P = parameters.num_unique_P
    log_stretch = np.log(np.where(of.weights > 0, interval, reference_P) / reference_P)
    return parameters.tau_P * np.exp(parameters.shared["gamma"][..., None] * log_stretch), log_stretch
