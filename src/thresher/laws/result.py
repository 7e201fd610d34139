"""Fitted laws: parameters with intervals, what a fit says about itself, and predictions.

One `Fit` is one law; `Laws` are the laws that the runs could have come from, each with its weight.
Predictions are made by all of them together: the doubt about the law is part of the doubt about a plan.
Axes: S draws, P pools.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.interval import HIGH, LOW
from thresher.laws.law import Design, Floats, Parameters, design, error
from thresher.laws.layout import Layout, layout_of, to_parameters
from thresher.runs import Run

Interval = tuple[float, float]

_UNDRAWN = 100
"""Rows of predictions that laws without draws share."""
_LEAST_FREEDOM = 1.0
_LARGEST_NOISE_FACTOR = 4.0
"""A noise measured with one degree of freedom may be any multiple: as far as draws go in `interval.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLaw:
    """One pool's own parameters.

    Attributes:
        values: "b" (initial utility, at most 0) or "quality", and "tau" (half-life in passes at `num_unique`
            samples) where the law has one; "A" and "d" where each pool has its own.
        num_unique: Pool size at which `tau` holds.
        pool_samples: Size of the whole pool.
        intervals: 5-95% intervals of `values`.
        status: Sentences about what is not identified or sits at a bound, each with the remedy.
    """

    name: str
    values: Mapping[str, float]
    num_unique: float
    pool_samples: float
    intervals: Mapping[str, Interval]
    status: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A run beside what is predicted for it; `residual` is measured minus predicted error."""

    run: Run
    predicted: float
    residual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Runs that the fit never saw.

    Attributes:
        mae: Mean absolute error of the predictions; None without check runs.
        mae_of_mean: Mean absolute error of predicting the mean of these runs for each of them.
    """

    mae: float | None = None
    mae_of_mean: float | None = None
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """One law fitted jointly to the runs of all pools.

    Attributes:
        shared: Values of the parameters that all pools share, by name; d is the irreducible error.
        num_params: Model size at which `size` holds; None where the runs are of models of one size.
        intervals: 5-95% intervals of the shared parameters; a held one has none.
        noise: Standard deviation of the residuals, in units of the error.
        noise_freedom: Degrees of freedom that the noise was measured with; infinite where it is known.
        status: Sentences about the shared parameters, each with the remedy.
        draws_SX: Parameters that other runs of the same kind could have given, one row each.
        draw_names: Columns of the draws: "d", "b:0-10%", "tau:0-10%", "d:0-10%".
        own: What of A and d each pool has its own of; those in `shared` are what the pools' lie around.
    """

    law: str
    shared: Mapping[str, float]
    pools: tuple[PoolLaw, ...]
    num_params: float | None
    intervals: Mapping[str, Interval]
    noise: float
    status: tuple[str, ...]
    draws_SX: Floats = field(repr=False)
    draw_names: tuple[str, ...]
    own: tuple[str, ...] = ()
    noise_freedom: float = np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class LawScore:
    """How well a law predicted the longest runs from the shorter ones.

    Attributes:
        num_parameters: Fitted to all runs.
        rmse: Root mean square residual of the fit to all runs, units of the error; None where it cannot be
            fitted.
        heldout_mae: Mean absolute error on the longest runs when fitted to the others; None where there are
            too few.
        heldout_runs: How many runs were held out.
        weight: Share that the law has in the predictions.
    """

    law: str
    num_parameters: int
    rmse: float | None
    heldout_mae: float | None
    heldout_runs: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Laws:
    """The laws that the runs could have come from.

    Attributes:
        fits: The one with the largest weight first.
        weights: Share of each in the predictions; sum to 1.
        comparison: Every law that was tried, in the order of the register.
        status: Sentences about the choice of the law.
        warnings: Sentences about the runs.
        replacement: Whether all runs drew with replacement, so that predictions are for runs that do.
        params: Model size that predictions are for where a law has a size term: the largest among the runs.
        longest: Samples seen of the longest run of the fit.
        drift: How far predictions of longer runs have been off, for each factor e in samples seen beyond the
            longest run that was fitted: the standard deviation of the log error that neither noise nor the
            doubt about the parameters explains, measured on held-out runs (`choice.py`). All mixes drift
            together, so it widens the interval of an error and leaves the ranking alone.
        points: The runs of the fit beside their predictions.
        check: Runs that no fit saw.
    """

    metric: str
    recipe: str | None
    model: str | None
    fits: tuple[Fit, ...]
    weights: tuple[float, ...]
    comparison: tuple[LawScore, ...] = ()
    status: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    params: float | None = None
    replacement: bool = False
    longest: float | None = None
    drift: float = 0.0
    points: tuple[Point, ...] = ()
    check: Check = field(default_factory=Check)

    @property
    def best(self) -> Fit:
        """The fit with the largest weight."""
        return self.fits[0]

    @property
    def pools(self) -> tuple[PoolLaw, ...]:
        """The pools under the law with the largest weight."""
        return self.best.pools

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Names of the pools, in the order of the last axis of weights."""
        return tuple(pool.name for pool in self.best.pools)

    @property
    def noise(self) -> float:
        """Standard deviation of the error of one run."""
        return self.best.noise

    def __repr__(self) -> str:
        from thresher.display.laws import laws_line

        return f"<{laws_line(self)}>"

    def __str__(self) -> str:
        from thresher.display.blocks import text_of
        from thresher.display.laws import laws_blocks

        return text_of(laws_blocks(self))

    def _repr_html_(self) -> str:
        from thresher.display.html import html_of
        from thresher.display.laws import laws_blocks

        return html_of(laws_blocks(self))

    def to_polars(self, table: str = "parameters") -> Any:
        """A `polars.DataFrame`: "parameters", "runs" (with predictions) or "laws" (the comparison)."""
        from thresher.frames import table_of_laws, to_polars

        return to_polars(table_of_laws(self, table))

    def to_pandas(self, table: str = "parameters") -> Any:
        """The same as a `pandas.DataFrame`."""
        from thresher.frames import table_of_laws, to_pandas

        return to_pandas(table_of_laws(self, table))


def layout_of_fit(fit: Fit) -> Layout:
    """The layout of the columns of `draws_SX`."""
    names = [pool.name for pool in fit.pools]
    return layout_of(LAWS[fit.law], names, sized=fit.num_params is not None, own=fit.own)


def parameters(fit: Fit) -> Parameters:
    """The fitted values, without leading axes."""
    law = LAWS[fit.law]
    return Parameters(
        shared={name: np.asarray(value, float) for name, value in fit.shared.items()},
        worth_P=np.array([pool.values[law.worth] for pool in fit.pools], float),
        tau_P=np.array([pool.values.get("tau", 1.0) for pool in fit.pools], float),
        num_unique_P=_reference(fit),
        num_params=fit.num_params,
        own={name: np.array([pool.values[name] for pool in fit.pools], float) for name in fit.own},
    )


def draw_parameters(fit: Fit, *, more_axes: int = 0) -> Parameters:
    """The draws, leading axis S and then `more_axes` of length 1; the fitted values where there are none."""
    if not len(fit.draws_SX):
        point = parameters(fit)
        lead = (1,) * (1 + more_axes)
        return Parameters(
            shared={name: np.reshape(value, lead) for name, value in point.shared.items()},
            worth_P=point.worth_P.reshape(*lead, -1),
            tau_P=point.tau_P.reshape(*lead, -1),
            num_unique_P=point.num_unique_P,
            num_params=point.num_params,
            own={name: value_P.reshape(*lead, -1) for name, value_P in point.own.items()},
        )
    draws = fit.draws_SX.reshape(len(fit.draws_SX), *(1,) * more_axes, -1)
    return to_parameters(layout_of_fit(fit), draws, _reference(fit), fit.num_params)


def predict_fit(
    fit: Fit, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike, params: float | None = None
) -> Floats:
    """Predicted error of one law at its fitted values; arguments as in `predict_draws`, which see."""
    return error(LAWS[fit.law], parameters(fit), _design(fit, samples_seen, weights, num_unique, params))


def predict_draws(
    laws: Laws,
    samples_seen: ArrayLike,
    weights: ArrayLike,
    num_unique: ArrayLike,
    *,
    params: float | None = None,
) -> Floats:
    """Predicted errors of every draw of every law, [S, ...]; laws have draws in proportion to their weights.

    Args:
        laws: The fitted laws.
        samples_seen: [...], repeats counted.
        weights: [..., P], sampling weights that sum to 1; pools in the order of `laws.pool_names`.
        num_unique: [..., P], unique samples of each pool.
        params: Model size, for laws with a size term; that of `laws` where absent.
    """
    size = laws.params if params is None else params
    drawn = laws.replacement
    return predict_designs(laws, lambda fit: _design(fit, samples_seen, weights, num_unique, size, drawn))


def predict_designs(laws: Laws, design_of_fit: Callable[[Fit], Design]) -> Floats:
    """As `predict_draws`, for the design that `design_of_fit` makes for each law.

    A law so light that it has no draws is left out; laws fitted without any stand in proportion to their
    weights.
    """
    drawn = any(len(fit.draws_SX) for fit in laws.fits)
    predicted = []
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        if drawn and not len(fit.draws_SX):
            continue
        of = design_of_fit(fit)
        beyond = np.log(np.maximum(of.samples_seen / (laws.longest or np.inf), 1.0))
        axes = max(of.samples_seen.ndim, of.weights.ndim - 1, of.num_unique.ndim - 1)
        error_S = np.asarray(error(LAWS[fit.law], draw_parameters(fit, more_axes=axes), of))
        predicted.append(error_S if drawn else np.repeat(error_S, max(1, round(weight * _UNDRAWN)), axis=0))
    error_S = np.concatenate(predicted)
    if not drawn or laws.drift == 0:
        return error_S
    drift_S = laws.drift * _normal(len(error_S)).reshape(-1, *(1,) * (error_S.ndim - 1)) * beyond
    return np.asarray(error_S * np.exp(drift_S - (laws.drift * beyond) ** 2 / 2))


def draw_noise(laws: Laws) -> Floats:
    """What the error of one run may lie off its law, one value for each row of `predict_draws`, [S].

    The noise was measured on a few residuals, so that it is itself uncertain: normal with a variance whose
    inverse follows the chi-square law of its degrees of freedom, hence Student's distribution, each law with
    its own. The same laws give the same values.
    """
    rng = np.random.default_rng(1)
    drawn = any(len(fit.draws_SX) for fit in laws.fits)
    noise = []
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        count = len(fit.draws_SX) if drawn else max(1, round(weight * _UNDRAWN))
        factor_S = np.ones(count)
        if np.isfinite(fit.noise_freedom):
            freedom = max(_LEAST_FREEDOM, fit.noise_freedom)
            factor_S = np.sqrt(freedom / rng.chisquare(freedom, count))
        noise.append(fit.noise * np.minimum(factor_S, _LARGEST_NOISE_FACTOR) * rng.standard_normal(count))
    return np.concatenate(noise)


def _normal(count: int) -> Floats:
    """Quantiles of a normal distribution, in the same shuffled order for every prediction."""
    places = np.random.default_rng(0).permutation((np.arange(count) + 0.5) / count)
    return np.array([NormalDist().inv_cdf(place) for place in places.tolist()])


def predict_mix(
    laws: Laws, weights: Mapping[str, float], num_unique: Mapping[str, float], samples_seen: ArrayLike
) -> Floats:
    """Predicted error of a mix, the mean over the draws, one value for each of `samples_seen`.

    Args:
        laws: The fitted laws.
        weights: Pool name to sampling weight, relative.
        num_unique: Pool name to unique samples that the run draws from.
        samples_seen: Any shape.

    Raises:
        InputError: naming a pool without a law or without a size.
    """
    weights_P, unique_P = _mix_arrays(laws, weights, num_unique)
    return np.asarray(predict_draws(laws, samples_seen, weights_P, unique_P).mean(0))


def predict_mix_interval(
    laws: Laws,
    weights: Mapping[str, float],
    num_unique: Mapping[str, float],
    samples_seen: ArrayLike,
    *,
    with_noise: bool = False,
) -> tuple[Floats, Floats]:
    """5% and 95% quantiles of the predicted error over the draws.

    That is the doubt about the law; `with_noise` adds the noise of a single run, as a run measured next will
    have it (`draw_noise`).
    """
    weights_P, unique_P = _mix_arrays(laws, weights, num_unique)
    seen_N = np.atleast_1d(np.asarray(samples_seen, float))
    error_SN = predict_draws(laws, seen_N, weights_P, unique_P)
    if with_noise:
        error_SN = error_SN + draw_noise(laws)[:, None]
    low_N, high_N = np.quantile(error_SN, (LOW, HIGH), axis=0)
    return low_N, high_N


def utility_curve(fit: Fit, pool: str, repetitions: ArrayLike) -> Floats:
    """What a sample of one pool is worth on its k-th repetition (0 is the first pass), 1 when fresh.

    `2^(-k / tau)` in every law with half-lives, less the harm that a sample does. (That of the saturating law
    is done by the whole mix and shows in the error alone.)
    """
    for law in fit.pools:
        if law.name == pool:
            k = np.asarray(repetitions, float)
            worth = np.ones_like(k) if "tau" not in law.values else np.exp2(-k / law.values["tau"])
            harm = fit.shared.get("harm", 0.0) if LAWS[fit.law].worth == "b" else 0.0
            return np.asarray(worth - harm * (1.0 - worth))
    raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(law.name for law in fit.pools)}")


def _design(
    fit: Fit,
    samples_seen: ArrayLike,
    weights: ArrayLike,
    num_unique: ArrayLike,
    params: float | None,
    replacement: bool = False,
) -> Design:
    size = None if fit.num_params is None else params
    return design(samples_seen, weights, num_unique, num_params=size, replacement=replacement)


def _reference(fit: Fit) -> Floats:
    return np.array([pool.num_unique for pool in fit.pools], float)


def _mix_arrays(
    laws: Laws, weights: Mapping[str, float], num_unique: Mapping[str, float]
) -> tuple[Floats, Floats]:
    names = laws.pool_names
    for pool, weight in weights.items():
        if pool not in names:
            raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(names)}")
        if weight > 0 and not num_unique.get(pool, 0) > 0:
            raise InputError(f"pool {pool!r} has weight {weight:g} but no size; give its number of samples")
    total = sum(weights.values())
    weights_P = np.array([weights.get(name, 0.0) / total for name in names])
    unique_P = np.array([max(1.0, num_unique.get(name, 1.0)) for name in names])
    return weights_P, unique_P
