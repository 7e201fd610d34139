"""Parametric laws of mixtures, to stand beside the model of shares (`mixtures.py`).

Each is fitted to every loss by itself, on its logarithm, with weak priors that keep few runs from running
away. x is the logarithm of the model's size, centred.

- log-linear: ln L = c + b x + Σ t_j r_j;
- exponential (arXiv 2403.16952): L = (c + exp(k + Σ t_j r_j)) e^(b x);
- effective data: L = c + exp(a + b x) (w_0 + Σ w_j r_j)^-α, a power law in what the shares are worth.

Axes: N runs, Q new runs, D domains, M losses.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Law = Callable[[Floats, Floats, Floats, Floats, Floats], Floats]
"""Shares [N, D], log sizes [N], losses [N, M], new shares, new log sizes -> losses [Q, M]."""
_ERROR = 0.01
"""Relative error of a law at a run, against which its priors weigh."""


def log_linear(shares: Floats, sizes: Floats, losses: Floats, new: Floats, new_sizes: Floats) -> Floats:
    """Ridge regression of the logarithms; solved at once."""

    def features(mixes: Floats, at: Floats) -> Floats:
        return np.column_stack([np.ones(len(mixes)), at - sizes.mean(), mixes - 1 / mixes.shape[1]])

    known = features(shares, sizes)
    ridge = np.diag([0, 1e-6, *[1e-3] * shares.shape[1]]) + 1e-12 * np.eye(known.shape[1])
    slopes = np.linalg.solve(known.T @ known + ridge, known.T @ np.log(losses))
    return np.exp(features(new, new_sizes) @ slopes)


def exponential(shares: Floats, sizes: Floats, losses: Floats, new: Floats, new_sizes: Floats) -> Floats:
    """The data mixing law with a power of the size."""

    def law(theta: Floats, mixes: Floats, at: Floats) -> Floats:
        return (np.exp(theta[0]) + np.exp(theta[1] + mixes @ theta[3:])) * np.exp(theta[2] * at)

    def start(loss: Floats, own: int) -> Floats:
        pull = np.where(np.arange(shares.shape[1]) == own, -3.0, 0.0)
        return np.r_[np.log(0.9 * loss.min()), np.log(0.2 * loss.mean()), -0.1, pull]

    return _fitted(law, start, [0.5, 2, 0.3, *[5] * shares.shape[1]], shares, sizes, losses, new, new_sizes)


def effective_data(shares: Floats, sizes: Floats, losses: Floats, new: Floats, new_sizes: Floats) -> Floats:
    """A power law in the worth of the shares, and of the size."""

    def law(theta: Floats, mixes: Floats, at: Floats) -> Floats:
        worth = np.exp(theta[4]) + mixes @ np.exp(theta[5:])
        return np.exp(theta[0]) + np.exp(theta[1] + theta[2] * at) * worth ** -np.exp(theta[3])

    def start(loss: Floats, own: int) -> Floats:
        worth = np.where(np.arange(shares.shape[1]) == own, 0.0, -4.0)
        return np.r_[np.log(0.8 * loss.min()), np.log(0.3 * loss.mean()), -0.1, np.log(0.2), -5, worth]

    widths = [0.3, 1, 0.3, 0.7, 1.5, *[1.5] * shares.shape[1]]
    return _fitted(law, start, widths, shares, sizes, losses, new, new_sizes)


def _fitted(
    law: Callable[[Floats, Floats, Floats], Floats],
    start: Callable[[Floats, int], Floats],
    widths: list[float],
    shares: Floats,
    sizes: Floats,
    losses: Floats,
    new: Floats,
    new_sizes: Floats,
) -> Floats:
    """The law at its most probable parameters; loss k is taken to be measured on domain k to begin with."""
    from scipy.optimize import least_squares

    middle = sizes.mean()
    found = []
    for own, loss in enumerate(losses.T):
        begin = start(loss, own)

        def off(theta: Floats, loss: Floats = loss, begin: Floats = begin) -> Floats:
            missed = np.log(law(theta, shares, sizes - middle) / loss) / _ERROR
            return np.r_[missed, (theta - begin) / widths]

        best = least_squares(off, begin, max_nfev=200).x
        found.append(law(best, new, new_sizes - middle))
    return np.array(found).T


LAWS: dict[str, Law] = {
    "log-linear": log_linear,
    "exponential": exponential,
    "effective data": effective_data,
}
