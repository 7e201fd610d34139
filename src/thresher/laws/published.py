"""The table that the authors of arXiv 2404.07177 published, reproduced as their code computes it.

Only for comparison with their numbers. Their code multiplies d by the decay of the repetitions,
`y = (A (n_1 / n0)^b + d) * prod_j (n_j / n_{j-1})^(b_{j-1})`, so that repeating lowers even the
irreducible error; every prediction elsewhere in this package adds d last, as their formula says.
"""

import numpy as np
from numpy.typing import ArrayLike

from thresher.laws import utility
from thresher.laws.law import Floats
from thresher.laws.mix import Parameters


def error_as_published(
    parameters: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: float
) -> Floats:
    """Error of mixes of equal pools, uniformly drawn, with d inside the product; shape [...].

    Args:
        parameters: Without leading axes.
        samples_seen: [...].
        weights: [..., P], equal among the pools of a mix and 0 elsewhere.
        num_unique: Samples in each pool.
    """
    weights = np.asarray(weights, float)
    samples = np.asarray(samples_seen, float)
    first_pass = np.minimum(samples, num_unique / weights.max(-1))
    stretch = (num_unique / parameters.num_unique_P / weights.max(-1)[..., None]) ** parameters.gamma
    exposure = utility.log_exposure(
        samples[..., None], num_unique / weights.max(-1)[..., None], parameters.tau_P * stretch
    ).value
    fresh_b = (weights * parameters.b_P).sum(-1)
    fresh = parameters.A * (first_pass / parameters.n0) ** fresh_b + parameters.d
    worn = (weights * parameters.b_P * (exposure - np.log(first_pass)[..., None])).sum(-1)
    return np.asarray(fresh * np.exp(worn))
