"""The data-constrained task of `scalebench.py`: what is left out, which runs are bought, and rivals.

Axes: R runs, Q runs that are wanted, M outputs; settings are logs of parameters, tokens and unique tokens.
"""

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.crowding import CROWDING, crowding_term

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
LARGE, SMALL, ENOUGH = 2e9, 4e8, 4
"""Parameters of models that are left out, of those whose most repeated runs are; runs of a model."""
_SEVENTH, _FIFTH = 1 / 7, 1 / 5
_PRIORS = {
    "E": (np.log(1.8), 0.4),
    "A": (-0.3, 1.0),
    "alpha": (np.log(0.35), 0.4),
    "B": (0.0, 1.0),
    "beta": (np.log(0.35), 0.4),
    "R": (np.log(140.0), 0.7),
    "room": (np.log(4.0), 0.7),
    "excess": (np.log(1.2), 0.2),
    "onset": (np.log(80.0), 0.3),
    "sharpness": (np.log(2.0), 0.2),
}
"""Centres and standard deviations of logs of what a design takes for unknown."""
_SURFACE, _LENGTH, _NOISE = 0.05, 1.5, 0.01
"""Height of what the law leaves over and its length over each log, and the noise of a run; of a log loss."""
_STEP = 1e-4
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
    """Places of runs that together lower the doubt about the losses of targets most for their cost.

    Greedy V-optimal design (arXiv 2604.22753) under the laws of the package with weak priors on their
    parameters and a smooth surface above them. It asks for no loss, so all runs are chosen at once.
    """
    every = np.vstack([candidates, targets])
    loss, slopes = _crowded_loss(every)
    apart = np.sqrt(3 * (((every[:, None] - every) / _LENGTH) ** 2).sum(-1))
    surface = _SURFACE**2 * (1 + apart) * np.exp(-apart)
    doubt = slopes @ slopes.T + np.outer(loss, loss) * surface
    chosen: list[int] = []
    number = len(candidates)
    noise, open_to = (_NOISE * loss[:number]) ** 2, np.ones(number, bool)
    while True:
        open_to &= cost <= left
        if not open_to.any():
            return np.array(chosen, dtype=np.intp)
        own = np.diag(doubt)[:number] + noise
        fall = (doubt[:number, number:] ** 2).sum(1) / own / cost
        best = int(np.argmax(np.where(open_to, fall, -np.inf)))
        doubt = doubt - np.outer(doubt[best], doubt[best]) / own[best]
        chosen.append(best)
        open_to[best] = False
        left -= cost[best]


def _crowded_loss(settings: Floats) -> tuple[Floats, Floats]:
    """The loss [R] at the centres of the priors and its slopes, a standard deviation each [R, T]."""
    params, seen, unique = np.exp(settings).T

    def law(theta: dict[str, float]) -> Floats:
        E, A, alpha, B, beta, R = (np.exp(theta[name]) for name in tuple(_PRIORS)[:6])
        shared = {name: np.exp(theta[name]) for name in CROWDING}
        harm, _ = crowding_term(shared, params, seen, np.ones((len(params), 1)), unique[:, None])
        return E + A * (params / 1e8) ** -alpha + B * (_worth(seen, unique, R) / 1e9) ** -beta + harm

    centres = {name: centre for name, (centre, _) in _PRIORS.items()}
    middle = law(centres)
    moved = [law(centres | {name: centre + _STEP}) - middle for name, centre in centres.items()]
    return middle, np.column_stack(moved) / _STEP * [sd for _, sd in _PRIORS.values()]


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
