"""The table that the authors of arXiv 2404.07177 published, reproduced as their code computes it.

Only for comparison with their numbers. Their code multiplies d by the decay of the repetitions,
`y = (A (n_1 / n0)^b + d) * prod_j (n_j / n_{j-1})^(b_{j-1})`, so that repeating lowers even the
irreducible error; every prediction elsewhere in this package adds d last, as their formula says.
Axes: P pools.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from thresher.errors import InputError
from thresher.planning.laws import utility
from thresher.planning.laws.law import Floats, Parameters, in_mix
from thresher.planning.laws.predict import parameters
from thresher.planning.laws.result import Laws

_EQUAL = 1e-6


def error_as_published(
    parameters: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: float
) -> Floats:
    """Error of mixes of equal pools, uniformly drawn, with d inside the product; shape [...].

    Args:
        parameters: Of the utility law, without leading axes.
        samples_seen: [...].
        weights: [..., P], equal among the pools of a mix and 0 elsewhere.
        num_unique: Samples in each pool.
    """
    weights = np.asarray(weights, float)
    samples = np.asarray(samples_seen, float)
    shared = in_mix(parameters, weights).shared
    first_pass = np.minimum(samples, num_unique / weights.max(-1))
    stretch = (num_unique / parameters.num_unique_P / weights.max(-1)[..., None]) ** shared["gamma"]
    exposure = utility.log_exposure(
        samples[..., None], num_unique / weights.max(-1)[..., None], parameters.tau_P * stretch
    ).value
    fresh_b = (weights * parameters.worth_P).sum(-1)
    fresh = shared["A"] * (first_pass / shared["n0"]) ** fresh_b + shared["d"]
    worn = (weights * parameters.worth_P * (exposure - np.log(first_pass)[..., None])).sum(-1)
    return np.asarray(fresh * np.exp(worn))


def predict_as_published(
    laws: Laws, weights: Mapping[str, float], sizes: Mapping[str, float], samples_seen: float
) -> float:
    """Error of one mix at the fitted values, without an interval.

    Args:
        laws: Those of the utility law.
        weights: Pool to sampling weight; all equal, as their code knows nothing else.
        sizes: Samples in each pool; all equal as well.
        samples_seen: Repeats counted.

    Raises:
        InputError: another law, or a mix of unequal pools or weights.
    """
    if laws.best.law != "utility":
        raise InputError(
            f"the published form is one of the utility law, and this is the {laws.best.law} law; "
            f"fit with --law utility"
        )
    drawn = [pool for pool, weight in weights.items() if weight > 0]
    for name, values in (("weights", weights), ("pool sizes", sizes)):
        used = [values[pool] for pool in drawn]
        if max(used) > min(used) * (1 + _EQUAL):
            raise InputError(
                f"the published form takes equal pools drawn uniformly, and the {name} are "
                f"{', '.join(f'{value:g}' for value in used)}; leave --form out"
            )
    weights_P = [weights.get(pool, 0.0) for pool in laws.pool_names]
    return float(error_as_published(parameters(laws.best), samples_seen, weights_P, sizes[drawn[0]]))
