"""Losses as functions of the shares of domains, and perhaps of size and length: a fit that knows its doubt.

Each loss has a Gaussian process of its own on its logarithm (`kernel.py`, `tuning.py`). Two things come from
leaving out one mix after the other, in closed form (Rasmussen and Williams, equations 5.10 to 5.12, for
blocks): how much too sure the processes are of mixes that they have not seen, and how the errors of the
losses go together. The doubt of a mean of losses rests on both.

Axes: N runs, Q new runs, D domains, C covariates, M losses, P parameters, S draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.planning.shares.kernel import SHARED, Floats, Inputs, covariance, variance
from thresher.planning.shares.tuning import tune

LEAST_RUNS = 4
MOST_TUNED = 240
"""Runs that the parameters are tuned to; the predictions rest on all runs."""
_SURE = 5.0
"""As many mixes as the prior is worth that the stated doubt is right and that errors do not go together."""
_DOUBTED = 1.5
_FOLDS = 5
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFit:
    """The fit of a mixture table; `fit_shares` makes it.

    Attributes:
        inputs: The runs that were fitted, their covariates standardised.
        theta: Parameters of the covariance of each loss [M, P].
        level, spread: Mean and standard deviation of the logarithm of each loss over the runs [M].
        centre, scale: Mean and standard deviation of each covariate [C].
        lower: Cholesky factor of the covariance with noise [M, N, N].
        solved: That covariance's inverse times the standardised logarithms [M, N].
        left_out: Prediction of each run by a fit that has not seen its mix, as a loss [N, M].
        widening: Factor on each loss's standard deviation, from the runs left out [M].
        correlation: Of the errors of the losses, from the runs left out [M, M].
    """

    inputs: Inputs
    theta: Floats
    level: Floats
    spread: Floats
    centre: Floats
    scale: Floats
    lower: Floats
    solved: Floats
    left_out: Floats
    widening: float
    correlation: Floats

    @property
    def noise(self) -> Floats:
        """Relative standard deviation of each loss between runs of one setting [M]."""
        found: Floats = np.exp(self.theta[:, SHARED.index("noise")]) * self.spread
        return found

    def predict(self, shares: Floats, covariates: Floats | None = None) -> tuple[Floats, Floats]:
        """Median of each loss and its standard deviation, without the noise of a run [Q, M] each."""
        new = self.read(shares, covariates)
        medians, doubts = np.empty((len(new), len(self.theta))), np.empty((len(new), len(self.theta)))
        for loss, theta in enumerate(self.theta):
            towards = covariance(theta, new, self.inputs)
            medians[:, loss] = towards @ self.solved[loss]
            explained = _solve_lower(self.lower[loss], towards.T)
            left = variance(theta, new) - (explained**2).sum(0)
            doubts[:, loss] = np.sqrt(np.maximum(left, 0)) * self.widening
        losses = np.exp(self.level + self.spread * medians)
        return losses, losses * self.spread * doubts

    def draws(
        self, shares: Floats, covariates: Floats | None, number: int, generator: np.random.Generator
    ) -> Floats:
        """Joint draws of all losses at all new runs, without the noise of a run [S, Q, M].

        Their weighted mean over M is a draw of the mean of the losses, and the draws of two runs can be
        compared. The cost grows with Q³.
        """
        new = self.read(shares, covariates)
        together = np.linalg.cholesky(self.correlation)
        normal = generator.standard_normal((number, len(new), len(self.theta))) @ together.T
        drawn = np.empty_like(normal)
        for loss, theta in enumerate(self.theta):
            towards = covariance(theta, new, self.inputs)
            explained = _solve_lower(self.lower[loss], towards.T)
            values, vectors = np.linalg.eigh(covariance(theta, new, new) - explained.T @ explained)
            root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
            strayed = normal[:, :, loss] @ root * self.widening
            drawn[:, :, loss] = towards @ self.solved[loss] + strayed
        losses: Floats = np.exp(self.level + self.spread * drawn)
        return losses

    def read(self, shares: Floats, covariates: Floats | None) -> Inputs:
        """New runs as the fit reads them.

        Raises:
            InputError: another number of domains or covariates than the fit has, or shares that are none.
        """
        shares = checked_shares(shares)
        num_domains = self.inputs.shares.shape[1]
        if shares.shape[1] != num_domains:
            raise InputError(f"the mixes have {shares.shape[1]} shares; the fitted runs have {num_domains}")
        return Inputs(shares, (_columns(covariates, len(shares), len(self.centre)) - self.centre) / self.scale)


def fit_shares(
    shares: Floats,
    losses: Floats,
    *,
    covariates: Floats | None = None,
    starts: Floats | None = None,
) -> ShareFit:
    """Losses as functions of shares and covariates.

    Args:
        shares: Share of each domain in each run [N, D]; rows sum to 1.
        losses: What the runs gave [N, M]; positive.
        covariates: Logarithms of model size or length [N, C]; columns that do not vary play no part.
        starts: Parameters to begin the tuning with [M, P], such as those of a fit to fewer of these runs.

    Raises:
        InputError: naming what is wrong with the table: too few runs or mixes, shares that do not sum to 1, a
            loss that is not positive or is the same in all runs.
    """
    shares, losses = checked_shares(shares), np.asarray(losses, dtype=float)
    _check_losses(losses, len(shares))
    given = _columns(covariates, len(shares), None)
    centre, scale = given.mean(0), given.std(0)
    # A column that does not vary is 0 in every run; a new run that differs in it is then far from all others.
    scale[scale < _ROUNDING * np.maximum(1, np.abs(centre))] = 1.0
    inputs = Inputs(shares, (given - centre) / scale)
    logarithms = np.log(losses)
    level, spread = logarithms.mean(0), logarithms.std(0)
    levels = (logarithms - level) / spread
    mixes = np.unique(shares, axis=0, return_inverse=True)[1].ravel()
    tuned = _tuned_rows(mixes)
    begin: Sequence[Floats | None] = [None] * losses.shape[1] if starts is None else list(starts)
    theta = np.array(
        [tune(inputs.rows(tuned), levels[tuned, k], start) for k, start in enumerate(begin)]
    )
    lower, solved = _solve(theta, inputs, levels)
    missed, doubt = _leave_out(theta, inputs, levels, mixes)
    correlation = _correlation(missed / doubt)
    of_mean = (missed @ spread) / np.sqrt(np.einsum("nk,kl,nl->n", doubt * spread, correlation, doubt * spread))
    widening = max(_widening(surprises, mixes) for surprises in (missed / doubt, of_mean))
    return ShareFit(
        inputs=inputs,
        theta=theta,
        level=level,
        spread=spread,
        centre=centre,
        scale=scale,
        lower=lower,
        solved=solved,
        left_out=np.exp(logarithms - missed * spread),
        widening=widening,
        correlation=correlation,
    )


def checked_shares(shares: Floats) -> Floats:
    """The shares [N, D], each row divided by its sum.

    Raises:
        InputError: naming the first row (from 0) that holds no shares.
    """
    shares = np.asarray(shares, dtype=float)
    if shares.ndim != 2 or shares.shape[1] < 2:
        raise InputError(f"shares have the shape {shares.shape}; give one row a run, one column a domain")
    sums = shares.sum(1)
    wrong = ~((shares >= 0).all(1) & (np.abs(sums - 1) < 0.02))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"shares of run {row} are {np.round(shares[row], 4).tolist()}; shares are from 0 to 1 and sum to 1"
        )
    whole: Floats = shares / sums[:, None]
    return whole


def _check_losses(losses: Floats, num_runs: int) -> None:
    if losses.ndim != 2 or len(losses) != num_runs:
        raise InputError(f"losses have the shape {losses.shape} for {num_runs} runs; give one row a run")
    if num_runs < LEAST_RUNS:
        raise InputError(f"{num_runs} runs say nothing about shares; bring at least {LEAST_RUNS}")
    wrong = ~(np.isfinite(losses) & (losses > 0))
    if wrong.any():
        row, loss = (int(place) for place in np.argwhere(wrong)[0])
        raise InputError(f"loss {loss} of run {row} is {losses[row, loss]}; it has to be positive")
    same = np.ptp(losses, axis=0) == 0
    if same.any():
        raise InputError(f"loss {int(np.argmax(same))} is the same in all runs; leave it out")


def _columns(covariates: Floats | None, num_runs: int, wanted: int | None) -> Floats:
    given = np.empty((num_runs, 0)) if covariates is None else np.asarray(covariates, dtype=float)
    given = given.reshape(num_runs, -1) if given.size or wanted is None else given
    if given.shape != (num_runs, given.shape[1] if wanted is None else wanted):
        raise InputError(
            f"covariates have the shape {given.shape} for {num_runs} runs of a fit with {wanted}; give one row "
            "a run and one column for each"
        )
    if not np.isfinite(given).all():
        raise InputError("a covariate is not finite; give logarithms of positive sizes")
    return given


def _tuned_rows(mixes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Runs to tune on: all, or all of some mixes, chosen evenly in an order that says nothing."""
    if len(mixes) <= MOST_TUNED:
        return np.arange(len(mixes))
    order = np.random.default_rng(0).permutation(mixes.max() + 1)
    place = np.argsort(order)[mixes]
    return np.sort(np.argsort(place, kind="stable")[:MOST_TUNED])


def _solve(theta: Floats, inputs: Inputs, levels: Floats) -> tuple[Floats, Floats]:
    """Cholesky factors of the covariances with noise [M, N, N], and their inverses times the levels [M, N]."""
    lower = np.empty((len(theta), len(inputs), len(inputs)))
    solved = np.empty((len(theta), len(inputs)))
    for loss, parameters in enumerate(theta):
        noise = np.exp(2 * parameters[SHARED.index("noise")])
        noisy = covariance(parameters, inputs, inputs) + noise * np.eye(len(inputs))
        lower[loss] = np.linalg.cholesky(noisy)
        solved[loss] = _solve_upper(lower[loss], _solve_lower(lower[loss], levels[:, loss]))
    return lower, solved


def _leave_out(
    theta: Floats, inputs: Inputs, levels: Floats, mixes: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Error and its standard deviation at each run, noise included, by fits without its mix [N, M] each.

    Parameters are tuned anew without each fold of mixes: those tuned to all runs know them already, and are
    too sure of them. More runs than are tuned to say enough about the parameters, which are kept then.
    """
    missed, doubt = np.empty_like(levels), np.empty_like(levels)
    order = np.random.default_rng(1).permutation(mixes.max() + 1)
    fold_of = (np.argsort(order) % _FOLDS)[mixes]
    for fold in np.unique(fold_of):
        held, kept = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        known, new = inputs.rows(kept), inputs.rows(held)
        for loss, start in enumerate(theta):
            found = tune(known, levels[kept, loss], start) if len(inputs) <= MOST_TUNED else start
            lower, solved = _solve(found[None], known, levels[kept, loss, None])
            towards = covariance(found, new, known)
            left = variance(found, new) - (_solve_lower(lower[0], towards.T) ** 2).sum(0)
            missed[held, loss] = levels[held, loss] - towards @ solved[0]
            doubt[held, loss] = np.sqrt(np.maximum(left, 0) + np.exp(2 * found[SHARED.index("noise")]))
    return missed, doubt


def _widening(surprises: Floats, mixes: NDArray[np.intp]) -> float:
    """How many times larger errors at mixes left out are than they were said to be."""
    num_mixes = mixes.max() + 1
    squares = float((surprises**2).mean()) * num_mixes
    return float(np.sqrt((_SURE * _DOUBTED**2 + squares) / (_SURE + num_mixes)))


def _correlation(surprises: Floats) -> Floats:
    num_losses = surprises.shape[1]
    strength = _SURE + num_losses
    together = surprises.T @ surprises + strength * np.diag((surprises**2).mean(0) + _ROUNDING)
    roots = np.sqrt(np.diag(together))
    found: Floats = together / np.outer(roots, roots)
    return found


def _solve_lower(lower: Floats, right: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    found: Floats = solve_triangular(lower, right, lower=True, check_finite=False)
    return found


def _solve_upper(lower: Floats, right: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    found: Floats = solve_triangular(lower, right, lower=True, trans=1, check_finite=False)
    return found
