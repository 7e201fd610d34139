"""The data mixing law, which a Gaussian process is weighed against: it needs few runs where it holds.

    ln L = ln(exp(c) + exp(k + Σ_j t_j r_j)) + Σ_c b_c x_c

of arXiv 2403.16952, times a power of each size. Its parameters have weak normal priors.

Axes: N runs, D domains, C covariates; parameters c, k, b [C], t [D].
"""

import numpy as np

from thresher.planning.shares.inputs import Floats, Inputs

_LEFT, _ABOVE = 0.9, 0.2
"""Prior centres of exp(c), as a part of the least loss, and of exp(k), as a part of the usual one."""
_WIDTHS = (0.5, 2.0, 0.3, 3.0)
"""Of the priors on c, k, b and t."""
_LEAST_NOISE = 1e-3
_MOST_STEPS = 400


def fit_law(inputs: Inputs, logarithms: Floats, noise: float, start: Floats | None = None) -> Floats:
    """The most probable parameters [2 + C + D].

    Args:
        inputs: The runs.
        logarithms: Of one loss [N].
        noise: Relative standard deviation of the loss between runs of one setting.
        start: Where the search begins; the centre of the priors otherwise.
    """
    from scipy.optimize import least_squares

    num_covariates, num_domains = inputs.covariates.shape[1], inputs.shares.shape[1]
    centres = np.zeros(2 + num_covariates + num_domains)
    centres[:2] = np.log(_LEFT) + logarithms.min(), np.log(_ABOVE) + logarithms.mean()
    widths = np.repeat(_WIDTHS, (1, 1, num_covariates, num_domains))
    error = max(noise, _LEAST_NOISE)

    def off(theta: Floats) -> Floats:
        missed = (law_logarithms(theta, inputs) - logarithms) / error
        return np.concatenate([missed, (theta - centres) / widths])

    def slopes(theta: Floats) -> Floats:
        lasting, falling = _parts(theta, inputs)
        part = (falling / (lasting + falling))[:, None]
        columns = [1 - part, part, inputs.covariates, part * inputs.shares]
        return np.vstack([np.hstack(columns) / error, np.diag(1 / widths)])

    begin = centres if start is None else start
    best: Floats = least_squares(off, begin, slopes, method="lm", max_nfev=_MOST_STEPS).x
    return best


def law_logarithms(theta: Floats, inputs: Inputs) -> Floats:
    """The law's ln L of each run [N]."""
    num_covariates = inputs.covariates.shape[1]
    lasting, falling = _parts(theta, inputs)
    found: Floats = np.log(lasting + falling) + inputs.covariates @ theta[2 : 2 + num_covariates]
    return found


def _parts(theta: Floats, inputs: Inputs) -> tuple[Floats, Floats]:
    """exp(c) and exp(k + Σ t_j r_j) [N] each."""
    slopes = theta[2 + inputs.covariates.shape[1] :]
    falling: Floats = np.exp(np.minimum(theta[1] + inputs.shares @ slopes, 50))
    return np.full(len(falling), np.exp(np.minimum(theta[0], 50))), falling
