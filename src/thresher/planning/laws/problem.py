"""The least-squares problem of a joint fit: residuals of the log error and their Jacobian.

Residuals are differences of log errors. For an error (not a loss) they are weighed by the error itself:
zero-shot accuracy and recall vary from seed to seed by as many points at every level, so that a log error
varies less where the error is large. Axes: R runs, P pools, X coordinates (`layout.py`), F free ones, Q
priors.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.law import Design, Floats, Law, error_with_jacobian
from thresher.planning.laws.layout import Layout, design_of, layout_of, to_natural, to_parameters
from thresher.planning.laws.limits import (
    USUAL_SPREAD,
    Limits,
    Spread,
    fresh_shows,
    gamma_shows,
    half_life_shows,
    hold,
    largest_d,
    limits,
)
from thresher.planning.laws.surface import is_dense
from thresher.planning.runs.record import Run, is_loss

_CLIPPED_NOISES = 4.0
_ROUNDING = 1e-6
"""Of the degrees of freedom."""
_RIGID = 1e3
"""What holds a coordinate to its prior where the prior has no width."""
_ENOUGH_FREEDOM = 3.0
USUAL_NOISE = 0.006
"""Log error; what stands in for a noise that too few runs measure."""
_NO_INFORMATION = 1e-20
"""A coordinate with less than this share of the largest information is not told by the runs at all."""
_DEVIATION_PER_MEDIAN = 1.4826
"""Of a normal distribution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Runs as arrays, limits, and what is free.

    Attributes:
        design: What the runs trained on, leading axis R.
        log_error_R: Natural log of the measured errors.
        scale_R: What turns a log error into a residual of equal spread; its geometric mean is 1.
        weight_R: Square root of how often a run counts.
        reference_P: Pool size at which each half-life holds.
        num_params: Model size at which the size term holds; None without one.
        most_passes_P: Passes over each pool in the run that repeats it most.
        start_X: Coordinates of what is held, and a point inside the bounds elsewhere.
        free_X: Which coordinates are fitted.
        assumed_X: Which are neither fitted nor held by the caller, but assumed, with the doubt of that.
        gamma_shows: Whether the runs can tell gamma.
        noise: Standard deviation of a residual, which weighs the priors; 0 leaves them out.
    """

    law: Law
    layout: Layout
    design: Design
    log_error_R: Floats
    scale_R: Floats
    weight_R: Floats
    reference_P: Floats
    num_params: float | None
    most_passes_P: Floats
    limits: Limits
    start_X: Floats
    free_X: NDArray[np.bool_]
    assumed_X: NDArray[np.bool_]
    gamma_shows: bool
    noise: float = 0.0

    @property
    def pools(self) -> tuple[str, ...]:
        """Names of the pools."""
        return self.layout.pools

    @cached_property
    def free(self) -> NDArray[np.intp]:
        """Places of the free coordinates, [F]."""
        return np.flatnonzero(self.free_X)

    @cached_property
    def prior_slope_FX(self) -> Floats:
        """Slopes of the priors of the free coordinates, `noise / sd` times what each is about."""
        return self.prior_scale_F[:, None] * self.limits.about_XX[self.free]

    @cached_property
    def prior_scale_F(self) -> Floats:
        """What a distance from the mean of each prior counts as a residual: noise / sd."""
        sd_F = self.limits.prior_sd_X[self.free]
        return np.where(sd_F > 0, self.noise / np.where(sd_F > 0, sd_F, 1.0), _RIGID)


def build_problem(
    law: Law,
    runs: Sequence[Run],
    pools: Sequence[str],
    fixed: Mapping[str, float],
    own: Sequence[str] = (),
    *,
    spread: Spread = USUAL_SPREAD,
) -> Problem:
    """The problem of fitting `runs`; `fixed` holds values for any shared parameter of the law.

    What of `own` the law has is each pool's own. `spread` is how widely pools lie around their mean.

    Raises:
        InputError: for a value in `fixed` that cannot be.
    """
    samples_R = np.array([run.samples_seen for run in runs], float)
    error_R = np.array([run.error for run in runs], float)
    loss = is_loss(runs[0].metric)
    num_params = _reference_params(runs)
    of = design_of(runs, pools, sized=num_params is not None)
    interval_RP = of.interval
    passes_RP = samples_R[:, None] / interval_RP
    crowded = is_dense(runs)
    layout = layout_of(law, pools, sized=num_params is not None, crowded=crowded, own=own)
    smallest_P = np.where(of.weights == of.weights.max(0), error_R[:, None], np.inf).min(0)  # purest runs
    shown_P = law.has_half_life & half_life_shows(passes_RP, samples_R)
    known = limits(
        layout,
        samples_R,
        error_R,
        passes_RP.max(0),
        smallest_P,
        loss=loss,
        shown_P=shown_P,
        fresh_P=fresh_shows(passes_RP, samples_R),
        spread=spread,
        params_per_sample_R=_params_per_sample(of, passes_RP) if crowded else None,
    )
    start_X, free_X = known.start_X.copy(), np.ones(layout.size, bool)
    shows = law.has_half_life and gamma_shows(interval_RP, passes_RP)
    free_X[layout.place("gamma")] = shows
    free_X[layout.half_lives] = shown_P
    if "harm" in layout.shared:
        repeated = [run for run, passes_P in zip(runs, passes_RP, strict=True) if passes_P.max() > 1.0]
        # a plateau in the middle of a schedule looks like harm
        free_X[layout.place("harm")] = shown_P.any() and all(run.final for run in repeated)
    if (
        "tail" in layout.shared
        and of.replacement is not None
        and (passes_RP.max(1) > 1.0)[of.replacement].any()
    ):
        free_X[layout.place("tail")] = False  # what they expect has no tail
    assumed_X = np.zeros(layout.size, bool)
    assumed_X[layout.half_lives] = law.has_half_life & ~shown_P
    if "mixing" in layout.shared:
        free_X[layout.place("mixing")] = (of.weights > 0).sum(1).max() > 1
        assumed_X[layout.place("mixing")] = not free_X[layout.place("mixing")] and "mixing" not in fixed
    if layout.worth == "quality":
        free_X[layout.worths.start] = False  # the others are measured by it
    elif len(pools) == 1 and "A" in layout.shared and not {"n0", "A"} & set(fixed):
        free_X[layout.place("n0")] = False  # one curve has one prefactor: A and n0 cannot be told apart
        # before anything was repeated: there the curves of its subsamples are one
        start_X[layout.place("n0")] = np.log(min(samples_R.min(), interval_RP.min()))
    hold(fixed, layout, start_X, free_X, float(error_R.min()))
    alone_RP = np.where(of.weights == 1.0, of.num_unique, 0.0)
    scale_R = np.ones_like(error_R) if loss else error_R / np.exp(np.log(error_R).mean())
    return Problem(
        law=law,
        layout=layout,
        design=of,
        log_error_R=np.log(error_R),
        scale_R=scale_R,
        weight_R=np.ones(len(runs)),
        reference_P=np.where(alone_RP.max(0) > 0, alone_RP, of.num_unique * (of.weights > 0)).max(0),
        num_params=num_params,
        most_passes_P=passes_RP.max(0),
        limits=known,
        start_X=start_X,
        free_X=free_X,
        assumed_X=assumed_X,
        gamma_shows=shows,
    )


def without_own(problem: Problem) -> Problem:
    """The same problem with nothing but shared parameters."""
    layout = replace(problem.layout, own=())
    kept = slice(layout.size)
    about_XX = problem.limits.about_XX[kept, kept]
    return replace(
        problem,
        layout=layout,
        limits=Limits(*(values[kept] for values in problem.limits))._replace(about_XX=about_XX),
        start_X=problem.start_X[kept],
        free_X=problem.free_X[kept],
        assumed_X=problem.assumed_X[kept],
    )


def _params_per_sample(of: Design, passes_RP: Floats) -> Floats:
    """Parameters for each unique sample, of the runs that repeat some, [R']."""
    assert of.num_params is not None
    repeats_R = passes_RP.max(1) > 1.0
    found: Floats = of.num_params[repeats_R] / of.interval.min(1)[repeats_R]
    return found


def _reference_params(runs: Sequence[Run]) -> float | None:
    """The geometric mean of the model sizes; None where there are not several."""
    sizes = [run.params for run in runs if run.params is not None]
    return float(np.exp(np.log(sizes).mean())) if len(set(sizes)) > 1 else None


def predictions(problem: Problem, coordinates_BX: Floats) -> tuple[Floats, Floats]:
    """Predicted errors [B, R] at coordinates [B, X] and their slopes in all of them [B, R, X]."""
    natural = to_natural(problem.layout, coordinates_BX)[:, None, :]
    parameters = to_parameters(problem.layout, natural, problem.reference_P, problem.num_params)
    return error_with_jacobian(problem.law, parameters, problem.design)


class Residuals(NamedTuple):
    """Residuals of the runs [B, R] and of the priors [B, F], with their slopes in the free coordinates.

    Attributes:
        runs: `(ln predicted - ln measured) * scale * weight`.
        by_free: [B, R, F].
        priors: `noise * (x - mean) / sd`, x less the shared coordinate for a pool's own; 0 without a prior.
        prior_slope_FF: Their slopes, `noise / sd` on the diagonal.
    """

    runs: Floats
    by_free: Floats
    priors: Floats
    prior_slope_FF: Floats


def residuals(problem: Problem, coordinates_BX: Floats, data: "Measured | None" = None) -> Residuals:
    """Residuals at a batch of coordinates [B, X]; `data` has other measurements for each of the batch."""
    data = measured(problem) if data is None else data
    predicted_BR, jacobian_BRX = predictions(problem, coordinates_BX)
    weight_BR = problem.scale_R * data.weight_BR
    free, slope_FX = problem.free, problem.prior_slope_FX
    mean_BF = data.prior_mean_BX[:, free] * problem.prior_scale_F
    return Residuals(
        (np.log(predicted_BR) - data.log_error_BR) * weight_BR,
        jacobian_BRX.take(free, -1) * (weight_BR / predicted_BR)[..., None],
        coordinates_BX @ slope_FX.T - mean_BF,
        slope_FX[:, free],
    )


class Measured(NamedTuple):
    """What a batch of fits to the same design differs in; leading axes B or 1.

    Attributes:
        log_error_BR: Natural log of the measured errors.
        weight_BR: Square root of how often a run counts.
        prior_mean_BX: Where the priors stand.
        upper_BX: Upper bounds; d stays below the smallest error.
    """

    log_error_BR: Floats
    weight_BR: Floats
    prior_mean_BX: Floats
    upper_BX: Floats


def measured(problem: Problem) -> Measured:
    """The measurements of the problem itself, as a batch of one."""
    return Measured(
        problem.log_error_R[None],
        problem.weight_R[None],
        problem.limits.prior_mean_X[None],
        problem.limits.upper_X[None],
    )


def batch_of(problem: Problem, log_error_BR: Floats, counts_BR: Floats, prior_mean_BX: Floats) -> Measured:
    """A batch of other measurements of the same runs, run r counted `counts[b, r]` times in fit b."""
    upper_BX = np.repeat(problem.limits.upper_X[None], len(log_error_BR), axis=0)
    smallest_B = np.exp(np.where(counts_BR > 0, log_error_BR, np.inf).min(1))
    upper_BX[:, problem.layout.place("d")] = largest_d(smallest_B)
    return Measured(log_error_BR, np.sqrt(counts_BR), prior_mean_BX, upper_BX)


def log_noise(problem: Problem, coordinates_X: Floats) -> float:
    """Standard deviation of a residual around a fit.

    Parameters are paid for as far as the runs, not the priors, settle them: by the trace of the hat matrix.
    Outliers count as four standard deviations. Where fewer than three runs are left to measure it, a usual
    noise fills them up.
    """
    residual_R = residuals(problem, coordinates_X[None]).runs[0]
    freedom = degrees_of_freedom(problem, coordinates_X)
    limit = _CLIPPED_NOISES * robust_deviation(residual_R, freedom)
    squares = float((np.minimum(np.abs(residual_R), limit) ** 2).sum())
    assumed = max(0.0, _ENOUGH_FREEDOM * (1 - _ROUNDING) - freedom)
    return math.sqrt((squares + assumed * USUAL_NOISE**2) / max(freedom + assumed, _ROUNDING))


def robust_deviation(residual_R: Floats, freedom: float) -> float:
    """Standard deviation from the median absolute residual, parameters paid for."""
    paid = math.sqrt(residual_R.size / max(1.0, freedom))
    return _DEVIATION_PER_MEDIAN * float(np.median(np.abs(residual_R))) * paid


def degrees_of_freedom(problem: Problem, coordinates_X: Floats) -> float:
    """Runs left over after the parameters that they settle."""
    if not problem.free_X.any():
        return float(problem.log_error_R.size)
    found = residuals(problem, coordinates_X[None])
    information_FF = found.by_free[0].T @ found.by_free[0]
    return float(problem.log_error_R.size - np.trace(posterior(found) @ information_FF))


def posterior(found: Residuals) -> Floats:
    """Linearised covariance of the free coordinates, priors included, in variances of a residual, [F, F]."""
    information_FF = found.by_free[0].T @ found.by_free[0] + found.prior_slope_FF.T @ found.prior_slope_FF
    diagonal_F = np.diag(information_FF)
    scale_F = np.sqrt(np.where(diagonal_F > _NO_INFORMATION * diagonal_F.max(), diagonal_F, 1.0))
    scaled_FF = information_FF / scale_F[:, None] / scale_F
    return np.asarray(np.linalg.pinv(scaled_FF, rcond=1e-13, hermitian=True) / scale_F[:, None] / scale_F)
