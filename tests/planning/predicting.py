from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thresher.planning.laws.predict import draw_noise, predict_draws
from thresher.planning.laws.profile import HIGH, LOW
from thresher.planning.laws.result import Laws


def mix_draws(
    laws: Laws, weights: Mapping[str, float], sizes: Mapping[str, float], samples_seen: ArrayLike
) -> NDArray[np.float64]:
    """The errors of a mix of pools, named and with relative weights, in every draw: [S, ...]."""
    total = sum(weights.values())
    weights_P = [weights.get(name, 0.0) / total for name in laws.pool_names]
    size_P = [max(1.0, sizes.get(name, 1.0)) for name in laws.pool_names]
    return predict_draws(laws, samples_seen, weights_P, size_P)


def mix_error(
    laws: Laws, weights: Mapping[str, float], sizes: Mapping[str, float], samples_seen: ArrayLike
) -> NDArray[np.float64]:
    """Mean over the draws, one value for each of `samples_seen`."""
    return np.asarray(mix_draws(laws, weights, sizes, samples_seen).mean(0))


def mix_band(
    laws: Laws,
    weights: Mapping[str, float],
    sizes: Mapping[str, float],
    samples_seen: ArrayLike,
    *,
    with_noise: bool = False,
) -> NDArray[np.float64]:
    """5% and 95% quantiles over the draws, [2, N]; with the noise of a single run where asked for."""
    error_SN = mix_draws(laws, weights, sizes, np.atleast_1d(np.asarray(samples_seen, float)))
    if with_noise:
        error_SN = error_SN + draw_noise(laws)[:, None]
    return np.quantile(error_SN, (LOW, HIGH), axis=0)
