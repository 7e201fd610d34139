"""How alike two runs are by the shares of their domains and by their sizes: a covariance and its slopes.

A loss mostly follows each share by itself, on a scale between linear and logarithmic: the first hundredth of
a domain teaches more than the second. A share r is therefore read as

    u(r) = ln(1 + r/f) / ln(1 + 1/f),

which runs from 0 to 1 and turns from linear to logarithmic at the floor f. No reading says how much worse a
loss becomes where a domain is left out altogether, so absence is something of its own. With the similarity of
two runs in domain j, E_j = exp(-(u_j - u'_j)² / 2ℓ²) + absent² (1 where r_j = r'_j = 0), their covariance is

    4 + M W + Σ_c trend_c² x_c x'_c + Σ_c bend_c² exp(-(x_c - x'_c)² / 2)
    M = linear² Σ_j (r_j - 1/D)(r'_j - 1/D) + S + pairs² Σ_{j<l} a_j² a_l² E_j E_l,    S = Σ_j a_j² E_j
    W = exp(Σ_c growth_c (x_c + x'_c)) (1 + Σ_c spread_c² x_c x'_c)

with one a_j a domain. The products let two domains work together. By `growth` all that shares do becomes
smaller or larger with the size, by `spread` they do something else at one size than at another. It is an
additive Gaussian process with products of second order (arXiv 1112.4394); the sum over pairs is
(S² - Σ_j a_j⁴ E_j²) / 2.

Axes: N and Q runs, D domains, C covariates (standardised logarithms of size or length), P parameters.
"""

import numpy as np

from thresher.planning.shares.inputs import Floats, Inputs

SHARED = ("floor", "length", "absent", "linear", "pairs", "noise")
"""The first parameters, which are neither a domain's nor a covariate's; all are natural logarithms."""
COVARIATE = ("trend", "bend", "spread", "growth")
"""The parameters of a covariate, which come last, one covariate after the other; `growth` is no logarithm."""
CONSTANT = 4.0
"""Variance of the level, in units of the variance of the losses over runs."""


def num_parameters(inputs: Inputs) -> int:
    """P, the number of parameters that the covariance of these runs has."""
    return int(len(SHARED) + inputs.shares.shape[1] + len(COVARIATE) * inputs.covariates.shape[1])


def covariance(theta: Floats, left: Inputs, right: Inputs) -> Floats:
    """Covariance of the standardised logarithms of a loss [N, Q], without noise."""
    floor, length, absent, linear, pairs = np.exp(theta[: len(SHARED) - 1])
    squares = _squares(theta, left)
    reading_left, _ = _read_shares(left.shares, floor)
    reading_right, _ = _read_shares(right.shares, floor)
    singles = np.zeros((len(left), len(right)))
    own_squares = np.zeros_like(singles)
    for square, u, v in zip(squares, reading_left.T, reading_right.T, strict=True):
        term = np.exp(-0.5 * ((u[:, None] - v) / length) ** 2)
        term[np.ix_(u == 0, v == 0)] += absent**2
        term *= square
        singles += term
        own_squares += term**2
    mixes = singles + 0.5 * pairs**2 * (singles**2 - own_squares) + linear**2 * _products(left, right)
    return _with_covariates(theta, mixes, left, right)


def variance(theta: Floats, inputs: Inputs) -> Floats:
    """Diagonal of `covariance(theta, inputs, inputs)` [N]."""
    pairs, linear = np.exp(2 * theta[SHARED.index("pairs")]), np.exp(2 * theta[SHARED.index("linear")])
    absent = np.exp(2 * theta[SHARED.index("absent")])
    terms = _squares(theta, inputs) * (1 + absent * (inputs.shares == 0))
    centred = inputs.shares - 1 / inputs.shares.shape[1]
    mixes = terms.sum(1) + 0.5 * pairs * (terms.sum(1) ** 2 - (terms**2).sum(1))
    x_squares = inputs.covariates**2
    trend, bend, spread, growth = _of_covariates(theta, inputs)
    factor = np.exp(2 * inputs.covariates @ growth) * (1 + x_squares @ spread)
    total: Floats = (
        CONSTANT + (mixes + linear * (centred**2).sum(1)) * factor + x_squares @ trend + bend.sum()
    )
    return total


class Gram:
    """Covariance of runs among each other, with what its slopes need."""

    def __init__(self, theta: Floats, inputs: Inputs) -> None:
        self._theta, self._inputs = theta, inputs
        floor, length, absent, linear, pairs = np.exp(theta[: len(SHARED) - 1])
        self._squares, self._length, self._pairs = _squares(theta, inputs), length, pairs**2
        reading, self._reading_slope = _read_shares(inputs.shares, floor)
        self._gaps = [u[:, None] - u for u in reading.T]
        self._near = [np.exp((-0.5 / length**2) * gaps**2) for gaps in self._gaps]
        self._absent = [absent * (share == 0) for share in inputs.shares.T]
        self._alike = [near + np.outer(z, z) for near, z in zip(self._near, self._absent, strict=True)]
        self._singles = np.zeros((len(inputs), len(inputs)))
        own_squares = np.zeros_like(self._singles)
        for square, alike in zip(self._squares, self._alike, strict=True):
            term = square * alike
            self._singles += term
            own_squares += term**2
        self._joint = 0.5 * self._pairs * (self._singles**2 - own_squares)
        self._linear = linear**2 * _products(inputs, inputs)
        self._mixes = self._singles + self._joint + self._linear
        self.covariance = _with_covariates(theta, self._mixes, inputs, inputs)
        """[N, N], without noise."""

    def slopes(self, weight: Floats) -> Floats:
        """Sum of a symmetric `weight` [N, N] times the slope in each parameter [P], that of noise included.

        With T = weight · W, the slope of S and the pairs in a similarity E_j is
        a_j² (T + pairs² T S) - pairs² a_j⁴ T E_j; all slopes but those of the covariates follow from it.
        """
        inner = weight * _factor(self._theta, self._inputs, self._inputs)
        outer, crossed = inner * (1 + self._pairs * self._singles), self._pairs * inner
        of_singles = np.empty(len(self._squares))
        of_length = of_floor = of_absent = 0.0
        for j, (square, alike, gaps) in enumerate(zip(self._squares, self._alike, self._gaps, strict=True)):
            pull = outer - square * crossed * alike
            of_singles[j] = 2 * square * np.vdot(pull, alike)
            of_absent += 2 * square * float(self._absent[j] @ pull @ self._absent[j])
            pull *= self._near[j] * gaps
            of_length += square * float(np.vdot(pull, gaps))
            # Both ends of a gap move with the floor, and pull and gap change sign when they are exchanged.
            of_floor -= 2 * square * float(pull.sum(1) @ self._reading_slope[:, j])
        shared = (
            of_floor / self._length**2,
            of_length / self._length**2,
            of_absent,
            2 * np.vdot(inner, self._linear),
            2 * np.vdot(inner, self._joint),
            2 * np.exp(2 * self._theta[SHARED.index("noise")]) * np.trace(weight),
        )
        return np.concatenate([shared, of_singles, self._covariate_slopes(weight)])

    def _covariate_slopes(self, weight: Floats) -> Floats:
        trend, bend, spread, growth = _of_covariates(self._theta, self._inputs)
        grown = np.exp(self._inputs.covariates @ growth)
        of_mixes = weight * self._mixes
        grown_mixes = of_mixes * np.outer(grown, grown)
        whole = of_mixes * _factor(self._theta, self._inputs, self._inputs)
        found: list[float] = []
        for c, x in enumerate(self._inputs.covariates.T):
            products = np.outer(x, x)
            found += [
                2 * trend[c] * float((weight * products).sum()),
                2 * bend[c] * float((weight * _near(x, x)).sum()),
                2 * spread[c] * float((grown_mixes * products).sum()),
                2 * float(whole.sum(1) @ x),
            ]
        return np.array(found)


def _read_shares(shares: Floats, floor: float) -> tuple[Floats, Floats]:
    """The reading u(r) [N, D], and its slope in ln f [N, D]."""
    whole = np.log1p(1 / floor)
    reading = np.log1p(shares / floor) / whole
    slope = reading / (whole * (1 + floor)) - shares / (shares + floor) / whole
    return reading, slope


def _with_covariates(theta: Floats, mixes: Floats, left: Inputs, right: Inputs) -> Floats:
    trend, bend, _, _ = _of_covariates(theta, left)
    total: Floats = mixes * _factor(theta, left, right) + CONSTANT
    for c, (x, z) in enumerate(zip(left.covariates.T, right.covariates.T, strict=True)):
        total = total + trend[c] * np.outer(x, z) + bend[c] * _near(x, z)
    return total


def _factor(theta: Floats, left: Inputs, right: Inputs) -> Floats:
    """W [N, Q]."""
    _, _, spread, growth = _of_covariates(theta, left)
    x, z = left.covariates, right.covariates
    found: Floats = np.outer(np.exp(x @ growth), np.exp(z @ growth)) * (1 + (x * spread) @ z.T)
    return found


def _squares(theta: Floats, inputs: Inputs) -> Floats:
    """a_j² of each domain [D]."""
    found: Floats = np.exp(2 * theta[len(SHARED) : len(SHARED) + inputs.shares.shape[1]])
    return found


def _of_covariates(theta: Floats, inputs: Inputs) -> Floats:
    """trend², bend², spread² and growth of each covariate [4, C]."""
    found: Floats = theta[len(SHARED) + inputs.shares.shape[1] :].reshape(-1, len(COVARIATE)).T.copy()
    found[:3] = np.exp(2 * found[:3])
    return found


def _products(left: Inputs, right: Inputs) -> Floats:
    num = left.shares.shape[1]
    found: Floats = (left.shares - 1 / num) @ (right.shares - 1 / num).T
    return found


def _near(x: Floats, z: Floats) -> Floats:
    found: Floats = np.exp(-0.5 * (x[:, None] - z) ** 2)
    return found
