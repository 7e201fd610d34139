"""Predictions for plans: the error of mixes of the whole pools, in every draw and as one with its interval.

Errors are computed in pieces that fit into the cache. Axes: S draws, N mixes, P pools.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from thresher.budget import format_count
from thresher.planning.laws.law import Floats
from thresher.planning.laws.predict import predict_draws
from thresher.planning.laws.profile import HIGH, LOW
from thresher.planning.laws.result import Laws
from thresher.planning.runs.record import is_loss
from thresher.tables import Block, decimal, error_text, html_of, passes_text, sentences, text_of

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


def error_interval(error_SN: Floats) -> tuple[Floats, Floats]:
    """The interval of each error: 5% and 95% quantiles over the draws, [N] each."""
    low_N, high_N = np.quantile(error_SN, (LOW, HIGH), axis=0)
    return low_N, high_N


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the laws say about one mix at one budget.

    Attributes:
        weights: Sampling weight of each of its pools; sums to 1.
        error: Mean over the draws of the laws.
        low: 5% quantile over the draws; with the noise of a single run where that was asked for.
        high: 95% quantile.
        repeats: Passes over each of its pools.
    """

    metric: str
    samples_seen: int
    weights: Mapping[str, float]
    error: float
    low: float
    high: float
    repeats: Mapping[str, float]

    def __float__(self) -> float:
        return self.error

    def __str__(self) -> str:
        return text_of(prediction_blocks(self))

    def _repr_html_(self) -> str:
        return html_of(prediction_blocks(self))


def prediction_blocks(prediction: Prediction) -> list[Block]:
    """The mix, its budget and passes, and the error with its interval where the laws have draws."""
    loss = is_loss(prediction.metric)
    said = (
        f"{_mix(prediction)} at {format_count(prediction.samples_seen)} samples seen: "
        f"{prediction.metric} {error_text(prediction.error, loss)}"
    )
    if prediction.low < prediction.high:
        said += f", {error_text(prediction.low, loss)} to {error_text(prediction.high, loss)}"
    return [sentences(f"{said}.")]


def _mix(prediction: Prediction) -> str:
    alone = len(prediction.weights) == 1
    return " + ".join(
        f"{'' if alone else f'{decimal(weight, 3)} x '}{pool} "
        f"({passes_text(prediction.repeats[pool])} passes)"
        for pool, weight in prediction.weights.items()
    )
