"""How well a fit predicts mixes that it has not seen, how well it knew that, and how its errors go together.

Axes: N runs, M losses, P parameters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.planning.shares.inputs import Floats, Inputs
from thresher.planning.shares.kernel import covariance, variance
from thresher.planning.shares.law import fit_law, law_logarithms
from thresher.planning.shares.solving import factor, noise_of, noisy_covariance, solve_both, solve_lower
from thresher.planning.shares.tuning import tune

MOST_TUNED = 240
"""Runs that parameters are tuned to; predictions rest on all runs."""
_FOLDS = 5
_AGAINST_LAW = 8.0
_USUAL, _STRENGTH = 1.7, 0.3
"""Centre of the prior on the widening, and its width in logarithms."""
_WIDENINGS = np.geomspace(0.5, 5, 81)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Predictions of runs by fits without their mix, in standardised logarithms [N, M] each.

    Attributes:
        missed: What was measured minus what was predicted.
        doubt: Standard deviation of the prediction, without noise.
        noise: Standard deviation of the noise of a run.
    """

    missed: Floats
    doubt: Floats
    noise: Floats


def tuned_rows(mixes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Runs to tune to: all, or where there are many those of some mixes, in an order that says nothing."""
    if len(mixes) <= MOST_TUNED:
        return np.arange(len(mixes))
    place = np.argsort(np.random.default_rng(0).permutation(mixes.max() + 1))[mixes]
    return np.sort(np.argsort(place, kind="stable")[:MOST_TUNED])


def folds(mixes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Fold of each run, a fifth of the mixes in each [N]."""
    order = np.random.default_rng(1).permutation(mixes.max() + 1)
    return np.asarray(np.argsort(order) % _FOLDS)[mixes]


def leave_out_law(
    theta: Floats, inputs: Inputs, logarithms: Floats, noise: Floats, mixes: NDArray[np.intp]
) -> Floats:
    """What the data mixing law misses where it has not seen the mix, in logarithms of the losses [N, M].

    Args:
        theta: Its parameters for each loss, fitted to all runs [M, 2 + C + D].
        inputs: The runs.
        logarithms: Of the losses [N, M].
        noise: Relative standard deviation of each loss [M].
        mixes: Number of the mix of each run [N].
    """
    missed = np.empty_like(logarithms)
    fold_of = folds(mixes)
    for fold in np.unique(fold_of):
        held, kept = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        for loss, start in enumerate(theta):
            found = fit_law(inputs.rows(kept), logarithms[kept, loss], noise[loss], start)
            missed[held, loss] = logarithms[held, loss] - law_logarithms(found, inputs.rows(held))
    return missed


def law_share(missed: Floats, by_law: Floats, mixes: NDArray[np.intp]) -> Floats:
    """Weight of the law in each loss that leaves the least squared error at mixes left out, 0 to 1 [M].

    Args:
        missed: By the Gaussian process [N, M].
        by_law: By the law, in the same unit [N, M].
        mixes: Number of the mix of each run [N]; some further mixes are counted that speak against the law.
    """
    apart = missed - by_law
    strength = 1 + _AGAINST_LAW / (mixes.max() + 1)
    found: Floats = (missed * apart).sum(0) / np.maximum(strength * (apart**2).sum(0), 1e-300)
    return np.clip(found, 0, 1)


def leave_out(theta: Floats, inputs: Inputs, levels: Floats, mixes: NDArray[np.intp]) -> LeftOut:
    """Predicts each fifth of the mixes from the others.

    Parameters are tuned anew each time: those tuned to all runs know the mix already, and are too sure of it.
    Where there are more runs than are tuned to, they say enough about the parameters, which are kept.

    Args:
        theta: Parameters of each loss [M, P].
        inputs: The runs.
        levels: Standardised logarithms of the losses [N, M].
        mixes: Number of the mix of each run [N].
    """
    missed, doubt, noise = np.empty_like(levels), np.empty_like(levels), np.empty_like(levels)
    fold_of = folds(mixes)
    for loss, start in enumerate(theta):
        tuned_to_all = len(inputs) > MOST_TUNED
        whole = noisy_covariance(start, inputs) if tuned_to_all else None
        for fold in np.unique(fold_of):
            held, kept = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
            known, new = inputs.rows(kept), inputs.rows(held)
            if whole is None:
                found = tune(known, levels[kept, loss], start)
                noisy, towards = noisy_covariance(found, known), covariance(found, known, new)
            else:
                found, noisy, towards = start, whole[np.ix_(kept, kept)], whole[np.ix_(kept, held)]
            lower = factor(noisy)
            missed[held, loss] = levels[held, loss] - towards.T @ solve_both(lower, levels[kept, loss])
            left = variance(found, new) - (solve_lower(lower, towards) ** 2).sum(0)
            doubt[held, loss] = np.sqrt(np.maximum(left, 0))
            noise[held, loss] = np.sqrt(noise_of(found))
    return LeftOut(missed=missed, doubt=doubt, noise=noise)


def correlation_of(left: LeftOut) -> Floats:
    """Of the errors of the losses in one run [M, M]; shrunk towards none where there are few runs."""
    surprises = left.missed / np.hypot(left.doubt, left.noise)
    num_runs, num_losses = surprises.shape
    products = surprises.T @ surprises
    together = products + num_losses / num_runs * np.diag(np.diag(products))
    roots = np.sqrt(np.diag(together))
    found: Floats = together / np.outer(roots, roots)
    return found


def widening_of(left: LeftOut, correlation: Floats, spread: Floats, mixes: NDArray[np.intp]) -> float:
    """Factor on standard deviations that makes the errors at mixes left out most probable.

    It is looked for in each loss by itself and in their mean, and the larger one holds: losses may be right
    one by one while their mean is too sure.

    Args:
        left: The runs left out.
        correlation: Of the errors of the losses [M, M].
        spread: Standard deviation of the logarithm of each loss [M]; its weight in the mean.
        mixes: Number of the mix of each run [N]; runs of one mix count as one.
    """
    weight = 1 / np.bincount(mixes)[mixes]
    of_mean = [
        np.einsum("nk,kl,nl->n", one * spread, correlation, one * spread) for one in (left.doubt, left.noise)
    ]
    return max(
        _most_probable(left.missed, left.doubt**2, left.noise**2, weight),
        _most_probable((left.missed @ spread)[:, None], of_mean[0][:, None], of_mean[1][:, None], weight),
    )


def _most_probable(missed: Floats, doubt: Floats, noise: Floats, weight: Floats) -> float:
    """The widening of greatest posterior, for errors and the variances that they were said to have [N, M]."""
    total = _WIDENINGS[:, None, None] ** 2 * doubt + noise
    unlikely = 0.5 * (missed**2 / total + np.log(total)).mean(2) @ weight
    unlikely += 0.5 * (np.log(_WIDENINGS / _USUAL) / _STRENGTH) ** 2
    return float(_WIDENINGS[np.argmin(unlikely)])
