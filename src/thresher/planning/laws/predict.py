"""What fitted laws predict: curves, draws of their parameters, and errors at designs.

Axes: S draws, P pools, R runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike

from thresher.errors import InputError
from thresher.planning.laws import utility
from thresher.planning.laws.doubt import (
    Measured,
    deviations,
    measured_by,
    normal_draws,
    strayed,
    straying,
)
from thresher.planning.laws.fits import Fit
from thresher.planning.laws.law import Design, Floats, Parameters, design, error, in_mix
from thresher.planning.laws.layout import Layout, design_of, layout_of, to_parameters
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws
from thresher.planning.laws.surface import Residuals, places, through
from thresher.tables import decimal

_ROWS = 100
"""Rows of predictions that laws without draws share."""
_LEAST_FREEDOM = 1.0
_LARGEST_NOISE_FACTOR = 4.0
"""A noise measured with one degree of freedom may be any multiple: as far as draws go in `profile.py`."""
_EQUAL = 1e-6


def parameters(fit: Fit) -> Parameters:
    """The fitted values, without leading axes."""
    return to_parameters(_layout(fit), _fitted_values(fit), _reference(fit), fit.num_params)


def draw_parameters(fit: Fit, *, more_axes: int = 0) -> Parameters:
    """The draws, leading axis S and then `more_axes` of length 1; the fitted values where there are none."""
    draws_SX = fit.draws_SX if len(fit.draws_SX) else _fitted_values(fit)[None]
    draws = draws_SX.reshape(len(draws_SX), *(1,) * more_axes, -1)
    return to_parameters(_layout(fit), draws, _reference(fit), fit.num_params)


def _layout(fit: Fit) -> Layout:
    """The layout of the columns of `draws_SX`."""
    names = [pool.name for pool in fit.pools]
    sized, crowded = fit.num_params is not None, "room" in fit.shared
    return layout_of(LAWS[fit.law], names, sized=sized, crowded=crowded, own=fit.own)


def _fitted_values(fit: Fit) -> Floats:
    """The fitted values in the columns of `draws_SX`; laws without half-lives have 1 in their place."""
    layout = _layout(fit)
    kinds = (layout.worth, "tau", *layout.own)
    of_pools = [pool.values.get(kind, 1.0) for kind in kinds for pool in fit.pools]
    return np.array([*(fit.shared[name] for name in layout.shared), *of_pools], float)


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
    return predict_designs(
        laws,
        lambda fit: design(
            samples_seen,
            weights,
            num_unique,
            num_params=None if fit.num_params is None else size,
            replacement=laws.replacement,
        ),
    )


def predict_designs(laws: Laws, design_of_fit: Callable[[Fit], Design]) -> Floats:
    """As `predict_draws`, for the design that `design_of_fit` makes for each law.

    A law so light that it has no draws is left out; laws fitted without any stand in proportion to their
    weights.
    """
    error_S, d_S, of = _by_laws(laws, design_of_fit)
    has_draws = any(len(fit.draws_SX) for fit in laws.fits)
    residuals = _residuals(laws)
    if residuals is not None:
        mean_S, doubt = residuals.at(of)
        z_S = normal_draws(len(error_S), 0)[:, 0] if has_draws else np.zeros(len(error_S))
        error_S = error_S * np.exp(mean_S + np.multiply.outer(z_S, doubt))
    known = _measured(laws) if has_draws else None
    if known is None:
        return error_S if laws.bound is None else np.minimum(error_S, laws.bound)
    z_SZ = normal_draws(len(error_S), len(laws.pool_names))
    deviation_S = deviations(laws.doubt, of, known, _alone(laws, design_of_fit(laws.best)), z_SZ)
    return strayed(error_S, deviation_S, bound=laws.bound, d=d_S.reshape(-1, *(1,) * (error_S.ndim - 1)))


def _by_laws(laws: Laws, design_of_fit: Callable[[Fit], Design]) -> tuple[Floats, Floats, Design]:
    """Errors of every draw [S, ...] by the laws alone, their d [S], and the design of one of them."""
    has_draws = any(len(fit.draws_SX) for fit in laws.fits)
    predicted, floors = [], []
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        if has_draws and not len(fit.draws_SX):
            continue
        of = design_of_fit(fit)
        axes = max(of.samples_seen.ndim, of.weights.ndim - 1, of.num_unique.ndim - 1)
        drawn = draw_parameters(fit, more_axes=axes)
        error_S = np.asarray(error(LAWS[fit.law], drawn, of))
        rows = 1 if has_draws else max(1, round(weight * _ROWS))
        predicted.append(np.repeat(error_S, rows, axis=0))
        floors.append(np.repeat(drawn.shared["d"].ravel(), rows))
    return np.concatenate(predicted), np.concatenate(floors), of


def _alone(laws: Laws, of: Design) -> Floats:
    """What the pools alone reach at the same length by the first law, [..., P], as far as it strays."""
    count = len(laws.pool_names)
    alone = replace(
        of,
        samples_seen=of.samples_seen[..., None],
        weights=np.eye(count),
        num_unique=np.asarray(of.num_unique)[..., None, :],
        num_params=None if of.num_params is None else of.num_params[..., None],
        replacement=None if of.replacement is None else of.replacement[..., None],
    )
    known = parameters(laws.best)
    return straying(error(LAWS[laws.best.law], known, alone), bound=laws.bound, d=laws.best.shared["d"])


_KNOWN: WeakKeyDictionary[Laws, Measured] = WeakKeyDictionary()
_RESIDUALS: WeakKeyDictionary[Laws, Residuals] = WeakKeyDictionary()


def _residuals(laws: Laws) -> Residuals | None:
    """The surface through what every draw leaves over at the runs of the fit; None where there is none."""
    if laws not in _RESIDUALS and laws.surface is not None:
        runs = [point.run for point in laws.points]
        of = design_of(runs, laws.pool_names, sized=True)
        log_error_R = np.log([run.error for run in runs])
        _RESIDUALS[laws] = through(
            laws.surface, places(of), log_error_R - np.log(_by_laws(laws, lambda _: of)[0])
        )
    return _RESIDUALS.get(laws)


def _measured(laws: Laws) -> Measured | None:
    """Where the runs of the fit lie; None for laws without runs."""
    if laws not in _KNOWN and laws.points:
        _KNOWN[laws] = measured_by([point.run for point in laws.points], laws.pool_names)
    return _KNOWN.get(laws)


def draw_noise(laws: Laws) -> Floats:
    """What the error of one run may lie off its law, one value for each row of `predict_draws`, [S].

    The noise was measured on a few residuals, so that it is itself uncertain: normal with a variance whose
    inverse follows the chi-square law of its degrees of freedom, hence Student's distribution, each law with
    its own. The same laws give the same values.
    """
    rng = np.random.default_rng(1)
    has_draws = any(len(fit.draws_SX) for fit in laws.fits)
    noise = []
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        count = len(fit.draws_SX) if has_draws else max(1, round(weight * _ROWS))
        factor_S = np.ones(count)
        if np.isfinite(fit.noise_freedom):
            freedom = max(_LEAST_FREEDOM, fit.noise_freedom)
            factor_S = np.sqrt(freedom / rng.chisquare(freedom, count))
        noise.append(fit.noise * np.minimum(factor_S, _LARGEST_NOISE_FACTOR) * rng.standard_normal(count))
    return np.concatenate(noise)


def utility_curve(fit: Fit, pool: str, repetitions: ArrayLike, *, of_draws: bool = False) -> Floats:
    """What a sample of one pool is worth on its k-th repetition (0 is the first pass), 1 when fresh.

    `2^(-k / tau)` in every law with half-lives, less the harm that a sample does. (That of the saturating law
    is done by the whole mix and shows in the error alone.) By the fitted values, or by each draw, [S, ...].
    """
    names = [law.name for law in fit.pools]
    if pool not in names:
        raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(names)}")
    law, k = LAWS[fit.law], np.asarray(repetitions, float)
    known = draw_parameters(fit, more_axes=k.ndim) if of_draws else parameters(fit)
    worth = np.exp2(-k / known.tau_P[..., names.index(pool)]) if law.has_half_life else np.ones_like(k)
    harm = known.shared.get("harm", 0.0) if law.worth == "b" else 0.0
    return np.asarray(worth - harm * (1.0 - worth))


def _reference(fit: Fit) -> Floats:
    return np.array([pool.num_unique for pool in fit.pools], float)


def error_as_published(
    parameters: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: float
) -> Floats:
    """Error of mixes of equal pools, drawn uniformly, as the code of arXiv 2404.07177 computes it, [...].

    Only for comparison with the table published there. That code multiplies d by the decay of the
    repetitions, `y = (A (n_1 / n0)^b + d) * prod_j (n_j / n_{j-1})^(b_{j-1})`, so that repeating lowers even
    the irreducible error; every prediction elsewhere in this package adds d last, as the paper's formula
    says.

    Args:
        parameters: Of the utility law, without leading axes.
        samples_seen: [...].
        weights: [..., P], equal among the pools of a mix and 0 elsewhere.
        num_unique: Samples in each pool.
    """
    weights = np.asarray(weights, float)
    samples = np.asarray(samples_seen, float)
    shared = in_mix(parameters, weights).shared
    first_pass = np.minimum(samples, num_unique / weights.max(-1))
    stretch = (num_unique / parameters.num_unique_P / weights.max(-1)[..., None]) ** shared["gamma"]
    exposure = utility.log_exposure(
        samples[..., None], num_unique / weights.max(-1)[..., None], parameters.tau_P * stretch
    ).value
    fresh_b = (weights * parameters.worth_P).sum(-1)
    fresh = shared["A"] * (first_pass / shared["n0"]) ** fresh_b + shared["d"]
    worn = (weights * parameters.worth_P * (exposure - np.log(first_pass)[..., None])).sum(-1)
    return np.asarray(fresh * np.exp(worn))


def predict_as_published(
    laws: Laws, weights: Mapping[str, float], sizes: Mapping[str, float], samples_seen: float
) -> float:
    """Error of one mix at the fitted values by `error_as_published`, without an interval.

    Args:
        laws: Those of the utility law.
        weights: Pool to sampling weight; all equal, as their code knows nothing else.
        sizes: Samples in each pool; all equal as well.
        samples_seen: Repeats counted.

    Raises:
        InputError: another law, or a mix of unequal pools or weights.
    """
    if laws.best.law != "utility":
        raise InputError(
            f"the published form is one of the utility law, and this is the {laws.best.law} law; "
            f"fit with --law utility"
        )
    active = [pool for pool, weight in weights.items() if weight > 0]
    for name, values in (("weights", weights), ("pool sizes", sizes)):
        used = [values[pool] for pool in active]
        if max(used) > min(used) * (1 + _EQUAL):
            raise InputError(
                f"the published form takes equal pools drawn uniformly, and the {name} are "
                f"{', '.join(map(decimal, used))}; leave --form out"
            )
    weights_P = [weights.get(pool, 0.0) for pool in laws.pool_names]
    return float(error_as_published(parameters(laws.best), samples_seen, weights_P, sizes[active[0]]))
