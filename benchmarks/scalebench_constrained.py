"""The data-constrained task of `scalebench.py`: what is left out, which runs are bought, and rivals.

Axes: R runs, Q runs that are wanted, M outputs; settings are logs of parameters, tokens and unique tokens.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
LARGE, SMALL, ENOUGH = 2e9, 4e8, 4
"""Parameters of models that are left out, of those whose most repeated runs are; runs of a model."""
_SEVENTH, _FIFTH = 1 / 7, 1 / 5
_SCALES = (1.5, 1.5, 1.5)
"""Lengths of a design over the logs of parameters, tokens and unique tokens."""
_SLOPES, _NOISE = 0.3, 0.02
"""Doubt about the slopes before any run, and the noise of one, in standard deviations of what curves."""
_CENTRES = (np.log(1.7), 0.0, np.log(0.35), 0.0, np.log(0.35), np.log(15.0), np.log(5.0))
_WIDTHS = (0.5, 1.5, 0.5, 1.5, 0.5, 1.0, 1.0)
"""Of the priors on ln E, A, ln alpha, B, ln beta, ln R_D and ln R_N."""
_ERROR = 0.02
_PARAMS_PER_TOKEN = 0.05
"""Twenty tokens a parameter (arXiv 2203.15556): more parameters than these are in excess."""


def r_squared(measured: Floats, predicted: Floats) -> Floats:
    """Of each output, at least -1 [M], or one of a single output."""
    left = ((measured - predicted) ** 2).sum(0)
    return np.maximum(-1, 1 - left / ((measured - measured.mean(0)) ** 2).sum(0))


def left_out(settings: Floats) -> dict[str, list[Rows]]:
    """Rule to the runs that it leaves out at once; the rules are those of `scalebench.py`."""
    log_params, log_seen, log_unique = settings.T
    passes = log_seen - log_unique
    large, small = log_params >= np.log(LARGE), log_params < np.log(SMALL)
    most_of_each = np.zeros(len(settings), bool)
    for size in np.unique(log_params):
        own = np.flatnonzero(log_params == size)
        if len(own) >= ENOUGH:
            most_of_each[own[np.argsort(passes[own])[-max(1, int(_FIFTH * len(own))) :]]] = True
    masks = {
        "large": large,
        "repeated": passes > np.quantile(passes, 1 - _SEVENTH),
        "target": large | (small & (passes > np.quantile(passes[small], 1 - _FIFTH))),
        "most of each": most_of_each,
    }
    fifth = np.random.default_rng(0).permutation(len(settings)) % 5
    return {name: [np.flatnonzero(mask)] for name, mask in masks.items()} | {
        "fifths": [np.flatnonzero(fifth == fold) for fold in range(5)]
    }


def designed(candidates: Floats, targets: Floats, cost: Floats, left: float) -> Rows:
    """Places of runs that together lower the doubt about the targets most for their cost.

    Greedy V-optimal design (arXiv 2604.22753) under a Gaussian process with a plane and a smooth surface over
    the logs of settings, of which nothing is known before.
    """
    every = np.vstack([candidates, targets])
    every = every - every.mean(0)
    gaps = ((every[:, None] - every) / _SCALES) ** 2
    doubt = 1 + _SLOPES**2 * every @ every.T + np.exp(-gaps.sum(-1) / 2)
    chosen: list[int] = []
    open_to = np.ones(len(candidates), bool)
    while True:
        open_to &= cost <= left
        if not open_to.any():
            return np.array(chosen, dtype=np.intp)
        own = np.diag(doubt)[: len(candidates)] + _NOISE**2
        fall = (doubt[: len(candidates), len(candidates) :] ** 2).sum(1) / own / cost
        best = int(np.argmax(np.where(open_to, fall, -np.inf)))
        doubt = doubt - np.outer(doubt[best], doubt[best]) / own[best]
        chosen.append(best)
        open_to[best] = False
        left -= cost[best]


def straight_line(settings: Floats, losses: Floats, wanted: Floats) -> Floats:
    """Log-log regression [Q]; few runs are held by a slight ridge."""
    middle = settings.mean(0)
    known = np.column_stack([np.ones(len(settings)), settings - middle])
    ridge = 1e-6 * np.eye(known.shape[1])
    slopes = np.linalg.solve(known.T @ known + ridge, known.T @ np.log(losses))
    return np.exp(np.column_stack([np.ones(len(wanted)), wanted - middle]) @ slopes)


def nearest(settings: Floats, losses: Floats, wanted: Floats) -> Floats:
    """The loss of the run with the nearest settings [Q]."""
    gaps = ((wanted[:, None] - settings) ** 2).sum(-1)
    return losses[gaps.argmin(1)]


def data_constrained(settings: Floats, losses: Floats, wanted: Floats) -> Floats:
    """The law of arXiv 2305.16264, at its most probable parameters under weak priors and Huber's loss [Q].

    L = E + A N'^-alpha + B D'^-beta; of the tokens D' beyond the first pass, and of the parameters N' in
    excess of a twentieth of the unique tokens, each is worth less than the one before.
    """
    from scipy.optimize import least_squares

    centres, widths = np.array(_CENTRES), np.array(_WIDTHS)

    def off(theta: Floats) -> Floats:
        missed = np.log(_constrained_loss(theta, settings) / losses) / _ERROR
        robust = np.sign(missed) * np.sqrt(2 * (np.sqrt(1 + missed**2) - 1))
        return np.r_[robust, (theta - centres) / widths]

    return _constrained_loss(least_squares(off, centres, max_nfev=500).x, wanted)


def _constrained_loss(theta: Floats, settings: Floats) -> Floats:
    log_params, log_seen, log_unique = settings.T
    unique = np.exp(log_unique)
    tokens = _worth(np.exp(log_seen), unique, np.exp(theta[5]))
    params = _worth(np.exp(log_params), _PARAMS_PER_TOKEN * unique, np.exp(theta[6]))
    of_params = np.exp(theta[1] - np.exp(theta[2]) * np.log(params / 1e8))
    return np.exp(theta[0]) + of_params + np.exp(theta[3] - np.exp(theta[4]) * np.log(tokens / 1e9))


def _worth(number: Floats, fresh: Floats, scale: float) -> Floats:
    first = np.minimum(number, fresh)
    return first * (1 - scale * np.expm1(-(number / first - 1) / scale))
