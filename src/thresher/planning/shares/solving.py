"""Linear algebra with the Cholesky factors of covariances.

Axes: N runs, M losses, P parameters.
"""

import numpy as np

from thresher.planning.shares.inputs import Floats, Inputs
from thresher.planning.shares.kernel import SHARED, covariance


def noise_of(theta: Floats) -> Floats:
    """Variance of the noise of a run, in units of the variance of the losses; any leading axes."""
    found: Floats = np.exp(2 * theta[..., SHARED.index("noise")])
    return found


def noisy_covariance(theta: Floats, inputs: Inputs) -> Floats:
    """Covariance of what runs give [N, N], noise included."""
    found = covariance(theta, inputs, inputs)
    found[np.diag_indices_from(found)] += noise_of(theta)
    return found


def solve(theta: Floats, inputs: Inputs, levels: Floats) -> tuple[Floats, Floats]:
    """Cholesky factor of each loss's covariance [M, N, N], and its inverse times the levels [M, N].

    Args:
        theta: Parameters of each loss [M, P].
        inputs: The runs.
        levels: Standardised logarithms of the losses [N, M].
    """
    lower = np.stack([np.linalg.cholesky(noisy_covariance(one, inputs)) for one in theta])
    solved = np.stack([solve_both(one, column) for one, column in zip(lower, levels.T, strict=True)])
    return lower, solved


def solve_lower(lower: Floats, right: Floats) -> Floats:
    """L⁻¹ times the right side."""
    from scipy.linalg import solve_triangular

    found: Floats = solve_triangular(lower, right, lower=True, check_finite=False)
    return found


def solve_both(lower: Floats, right: Floats) -> Floats:
    """(L L')⁻¹ times the right side."""
    from scipy.linalg import cho_solve

    found: Floats = cho_solve((lower, True), right, check_finite=False)
    return found
