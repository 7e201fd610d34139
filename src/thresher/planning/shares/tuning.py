"""The parameters of the covariance that make one loss most probable, with priors that few runs do not move.

The objective is the negative logarithm of the marginal likelihood of a Gaussian process (Rasmussen and
Williams, "Gaussian Processes for Machine Learning", equations 2.30 and 5.9) plus that of normal priors on the
parameters, nearly all of them logarithms of scales. Losses are standardised, so one prior fits every table.

Axes: N runs, D domains, C covariates, P parameters.
"""

import numpy as np
from numpy.typing import NDArray

from thresher.planning.shares.inputs import Floats, Inputs
from thresher.planning.shares.kernel import COVARIATE, SHARED, Gram, num_parameters
from thresher.planning.shares.solving import factor, with_noise

_CENTRES = {
    "floor": np.log(0.005),
    "length": np.log(0.7),
    "absent": 0.3,
    "linear": -1.5,
    "pairs": -1.0,
    "noise": -3.5,
    "domain": -1.5,
    "trend": 0.0,
    "bend": -2.0,
    "spread": -2.0,
    "growth": 0.0,
}
_WIDTHS = {"length": 0.5, "growth": 0.3}
"""Of the priors; 1 where nothing is said."""
_REACH = 4.0
"""Widths around the centre within which a parameter is looked for."""
_MOST_STEPS = 50


def prior(inputs: Inputs) -> tuple[Floats, Floats]:
    """Centre and width of each parameter's prior [P].

    Args:
        inputs: The runs, for the number of domains and covariates.
    """
    num_domains, num_covariates = inputs.shares.shape[1], inputs.covariates.shape[1]
    names = [*SHARED, *["domain"] * num_domains, *COVARIATE * num_covariates]
    assert len(names) == num_parameters(inputs)
    centres = np.array([_CENTRES[name] for name in names])
    return centres, np.array([_WIDTHS.get(name, 1.0) for name in names])


def tune(inputs: Inputs, levels: Floats, start: Floats | None = None) -> Floats:
    """The most probable parameters [P] for standardised logarithms of a loss [N].

    Args:
        inputs: The runs.
        levels: What they gave; mean 0, variance 1.
        start: Where the search begins; the centre of the prior otherwise.
    """
    from scipy.optimize import minimize

    centres, widths = prior(inputs)
    begin = centres if start is None else start
    bounds = np.stack([centres - _REACH * widths, centres + _REACH * widths], axis=1)

    def objective(theta: Floats) -> tuple[float, Floats]:
        value, slopes = negative_evidence(theta, inputs, levels)
        away = (theta - centres) / widths
        return value + 0.5 * float(away @ away), slopes + away / widths

    found = minimize(
        objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_STEPS}
    )
    best: NDArray[np.float64] = found.x
    return best


def negative_evidence(theta: Floats, inputs: Inputs, levels: Floats) -> tuple[float, Floats]:
    """Negative logarithm of the marginal likelihood, up to a constant, and its slopes [P]."""
    from scipy.linalg import lapack

    gram = Gram(theta, inputs)
    lower = factor(with_noise(theta, gram.covariance))
    inverse, _ = lapack.dpotri(lower, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    solved = inverse @ levels
    value = 0.5 * float(levels @ solved) + float(np.log(np.diag(lower)).sum())
    return value, gram.slopes(0.5 * (inverse - np.outer(solved, solved)))
