"""What the laws say about mixes of the whole pools: errors in every draw, in pieces that fit into the cache.

Axes: S draws, N mixes, P pools.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from thresher.planning.laws.law import Floats
from thresher.planning.laws.predict import predict_draws
from thresher.planning.laws.profile import HIGH, LOW
from thresher.planning.laws.result import Laws

FEW_DRAWS = 24
_CHUNK_ELEMENTS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictor:
    """Laws with the size of every pool.

    Attributes:
        params: Size of the model to plan for, where the laws have a term for it; None for that of the laws.
    """

    laws: Laws
    size_P: Floats
    params: float | None = None

    @property
    def num_draws(self) -> int:
        """Draws of the laws, S."""
        return sum(max(1, len(fit.draws_SX)) for fit in self.laws.fits)


def with_few_draws(predictor: Predictor, count: int = FEW_DRAWS) -> Predictor:
    """The same with about `count` draws, evenly taken, for searching; answers are then computed with all."""
    step = max(1, round(predictor.num_draws / count))
    fits = tuple(replace(fit, draws_SX=fit.draws_SX[::step]) for fit in predictor.laws.fits)
    return replace(predictor, laws=replace(predictor.laws, fits=fits))


def errors(predictor: Predictor, samples_seen: ArrayLike, weights_NP: Floats) -> Floats:
    """Predicted error of each mix in each draw, [S, N]; `samples_seen` is one number or [N]."""
    samples_N = np.broadcast_to(np.asarray(samples_seen, float), len(weights_NP))
    step = max(1, _CHUNK_ELEMENTS // (predictor.num_draws * weights_NP.shape[1]))
    pieces = [
        predict_draws(
            predictor.laws,
            samples_N[start : start + step],
            weights_NP[start : start + step],
            predictor.size_P,
            params=predictor.params,
        )
        for start in range(0, len(weights_NP), step)
    ]
    return np.concatenate(pieces, axis=1)


def mean_errors(predictor: Predictor, samples_seen: ArrayLike, weights_NP: Floats) -> Floats:
    """Mean over the draws, [N]."""
    return np.asarray(errors(predictor, samples_seen, weights_NP).mean(0))


def band(error_SN: Floats) -> tuple[Floats, Floats]:
    """5% and 95% quantiles over the draws, [N] each."""
    low_N, high_N = np.quantile(error_SN, (LOW, HIGH), axis=0)
    return low_N, high_N
