"""What a fit of shares is given, checked: the shares of domains, covariates such as size, and losses.

Axes: N runs, D domains, C covariates, M losses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError

Floats = NDArray[np.float64]
LEAST_RUNS = 4
_ROUNDED = 0.02
"""By how much shares that were rounded may miss 1."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of runs before they are trained.

    Attributes:
        shares: Share of each domain [N, D]; rows sum to 1.
        covariates: Standardised covariates [N, C]; C may be 0.
    """

    shares: Floats
    covariates: Floats

    def __len__(self) -> int:
        return len(self.shares)

    def rows(self, chosen: NDArray[np.intp]) -> "Inputs":
        """Some of the runs."""
        return Inputs(self.shares[chosen], self.covariates[chosen])


def checked_shares(shares: Floats) -> Floats:
    """The shares [N, D], each row divided by its sum.

    Raises:
        InputError: naming the first row (from 0) that holds no shares.
    """
    shares = np.asarray(shares, dtype=float)
    if shares.ndim != 2 or shares.shape[1] < 2:
        raise InputError(f"shares have the shape {shares.shape}; give one row a run, one column a domain")
    sums = shares.sum(1)
    wrong = ~((shares >= 0).all(1) & (np.abs(sums - 1) <= _ROUNDED))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"shares of run {row} are {np.round(shares[row], 4).tolist()}; they have to be from 0 to 1 and "
            "sum to 1"
        )
    whole: Floats = shares / sums[:, None]
    return whole


def check_losses(losses: Floats, num_runs: int) -> None:
    """Refuses losses that no fit can be made of.

    Raises:
        InputError: another number of rows than runs, too few runs, a loss that is not positive or does not
            vary.
    """
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


def columns(covariates: Floats | None, num_runs: int, wanted: int | None) -> Floats:
    """The covariates [N, C]; none is C = 0.

    Args:
        covariates: As they were given; one column may be a plain row of numbers.
        num_runs: N.
        wanted: C, where it is known.

    Raises:
        InputError: another shape, or a value that is not finite.
    """
    given = np.empty((num_runs, 0)) if covariates is None else np.asarray(covariates, dtype=float)
    given = given.reshape(num_runs, -1) if given.size or wanted is None else given
    if given.shape != (num_runs, given.shape[1] if wanted is None else wanted):
        raise InputError(
            f"covariates have the shape {given.shape} for {num_runs} runs; give one row a run and one "
            "column for each covariate of the fit"
        )
    if not np.isfinite(given).all():
        raise InputError("a covariate is not finite; give logarithms of positive sizes")
    return given
