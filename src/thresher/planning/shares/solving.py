"""Linear algebra with the Cholesky factors of covariances.

Axes: N runs, M losses, P parameters.
"""

import numpy as np

from thresher.planning.shares.inputs import Floats, Inputs
from thresher.planning.shares.kernel import SHARED, covariance

_ROUNDING = 1e-11


def noise_of(theta: Floats) -> Floats:
    """Variance of the noise of a run, in units of the variance of the losses; any leading axes."""
    found: Floats = np.exp(2 * theta[..., SHARED.index("noise")])
    return found


def noisy_covariance(theta: Floats, inputs: Inputs) -> Floats:
    """Covariance of what runs give [N, N], noise included."""
    return with_noise(theta, covariance(theta, inputs, inputs))


def with_noise(theta: Floats, matrix: Floats) -> Floats:
    """The covariance with noise on its diagonal, and as much more as keeps its factor from failing [N, N]."""
    found = matrix.copy()
    found[np.diag_indices_from(found)] += noise_of(theta) + _ROUNDING * np.diag(matrix).mean()
    return found


def factor(matrix: Floats) -> Floats:
    """L with L L' the matrix."""
    from scipy.linalg import cholesky

    found: Floats = cholesky(matrix, lower=True, check_finite=False)
    return found


def solve(theta: Floats, inputs: Inputs, levels: Floats) -> tuple[Floats, Floats]:
    """Cholesky factor of each loss's covariance [M, N, N], and its inverse times the levels [M, N].

    Args:
        theta: Parameters of each loss [M, P].
        inputs: The runs.
        levels: Standardised logarithms of the losses [N, M].
    """
    lower = np.stack([factor(noisy_covariance(one, inputs)) for one in theta])
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
