"""Losses as functions of the shares of domains, and perhaps of size and length: a fit that knows its doubt.

Each loss has a Gaussian process of its own on its logarithm (`kernel.py`, `tuning.py`), averaged with the
data mixing law (`law.py`) by weights that predict mixes left out best. From those mixes (`left_out.py`) also
comes how much too sure the processes are and how the errors of the losses go together; the doubt of a mean
of losses rests on both.

Axes: N runs, Q new runs, D domains, C covariates, M losses, P parameters, S draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from thresher.errors import InputError
from thresher.planning.shares.inputs import Floats, Inputs, check_losses, checked_shares, columns
from thresher.planning.shares.kernel import covariance, variance
from thresher.planning.shares.law import fit_law, law_logarithms
from thresher.planning.shares.left_out import (
    correlation_of,
    law_share,
    leave_out,
    leave_out_law,
    tuned_rows,
    widening_of,
)
from thresher.planning.shares.solving import noise_of, solve, solve_lower
from thresher.planning.shares.tuning import tune

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
        law: Parameters of the data mixing law of each loss (`law.py`) [M, 2 + C + D].
        law_share: Its weight in each loss, beside the Gaussian process [M].
        widening: Factor on standard deviations, from the runs left out.
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
    law: Floats
    law_share: Floats
    widening: float
    correlation: Floats

    @property
    def noise(self) -> Floats:
        """Relative standard deviation of each loss between runs of one setting [M]."""
        found: Floats = np.sqrt(noise_of(self.theta)) * self.spread
        return found

    def predict(self, shares: Floats, covariates: Floats | None = None) -> tuple[Floats, Floats]:
        """Median of each loss and its standard deviation, without the noise of a run [Q, M] each."""
        new = self.read(shares, covariates)
        medians, doubts = np.empty((len(new), len(self.theta))), np.empty((len(new), len(self.theta)))
        for loss, theta in enumerate(self.theta):
            towards = covariance(theta, new, self.inputs)
            medians[:, loss] = self._median(loss, new, towards)
            explained = solve_lower(self.lower[loss], towards.T)
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
            explained = solve_lower(self.lower[loss], towards.T)
            values, vectors = np.linalg.eigh(covariance(theta, new, new) - explained.T @ explained)
            root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
            strayed = normal[:, :, loss] @ root * self.widening
            drawn[:, :, loss] = self._median(loss, new, towards) + strayed
        losses: Floats = np.exp(self.level + self.spread * drawn)
        return losses

    def _median(self, loss: int, new: Inputs, towards: Floats) -> Floats:
        """Standardised logarithms of one loss at new runs [Q]: process and law, by their weights."""
        process: Floats = towards @ self.solved[loss]
        share = self.law_share[loss]
        by_law = (law_logarithms(self.law[loss], new) - self.level[loss]) / self.spread[loss]
        found: Floats = (1 - share) * process + share * by_law
        return found

    def read(self, shares: Floats, covariates: Floats | None) -> Inputs:
        """New runs as the fit reads them.

        Raises:
            InputError: another number of domains or covariates than the fit has, or shares that are none.
        """
        shares = checked_shares(shares)
        num_domains = self.inputs.shares.shape[1]
        if shares.shape[1] != num_domains:
            raise InputError(f"the mixes have {shares.shape[1]} shares; the fitted runs have {num_domains}")
        return Inputs(shares, (columns(covariates, len(shares), len(self.centre)) - self.centre) / self.scale)


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
    check_losses(losses, len(shares))
    given = columns(covariates, len(shares), None)
    centre, scale = given.mean(0), given.std(0)
    # A column that does not vary is 0 in every run; a new run that differs in it is then far from all others.
    scale[scale < _ROUNDING * np.maximum(1, np.abs(centre))] = 1.0
    inputs = Inputs(shares, (given - centre) / scale)
    logarithms = np.log(losses)
    level, spread = logarithms.mean(0), logarithms.std(0)
    levels = (logarithms - level) / spread
    mixes = np.unique(shares, axis=0, return_inverse=True)[1].ravel()
    if mixes.max() == 0:
        raise InputError("all runs have the same shares, so nothing tells what shares do; train another mix")
    tuned = tuned_rows(mixes)
    begin: Sequence[Floats | None] = [None] * losses.shape[1] if starts is None else list(starts)
    theta = np.array([tune(inputs.rows(tuned), levels[tuned, k], start) for k, start in enumerate(begin)])
    lower, solved = solve(theta, inputs, levels)
    left = leave_out(theta, inputs, levels, mixes)
    noise = np.sqrt(noise_of(theta)) * spread
    law = np.array([fit_law(inputs, column, one) for column, one in zip(logarithms.T, noise, strict=True)])
    by_law = leave_out_law(law, inputs, logarithms, noise, mixes) / spread
    share = law_share(left.missed, by_law, mixes)
    left = replace(left, missed=(1 - share) * left.missed + share * by_law)
    correlation = correlation_of(left)
    return ShareFit(
        inputs=inputs,
        theta=theta,
        level=level,
        spread=spread,
        centre=centre,
        scale=scale,
        lower=lower,
        solved=solved,
        left_out=np.exp(logarithms - left.missed * spread),
        law=law,
        law_share=share,
        widening=widening_of(left, correlation, spread, mixes),
        correlation=correlation,
    )
