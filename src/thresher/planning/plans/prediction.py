"""A prediction: the error of a mix at a budget, with its interval.

A prediction in one sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from thresher.budget import format_count
from thresher.planning.runs.record import is_loss
from thresher.tables import Block, error_text, html_of, passes_text, sentences, text_of


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
        return prediction_text(self)

    def _repr_html_(self) -> str:
        return html_of(prediction_blocks(self))


def prediction_text(prediction: "Prediction") -> str:
    """The mix, its budget and passes, and the error with its interval where the laws have draws."""
    return text_of(prediction_blocks(prediction))


def prediction_blocks(prediction: "Prediction") -> list[Block]:
    """The sentence of `prediction_text`."""
    loss = is_loss(prediction.metric)
    said = (
        f"{_mix(prediction)} at {format_count(prediction.samples_seen)} samples seen: "
        f"{prediction.metric} {error_text(prediction.error, loss)}"
    )
    if prediction.low < prediction.high:
        said += f", {error_text(prediction.low, loss)} to {error_text(prediction.high, loss)}"
    return [sentences(f"{said}.")]


def _mix(prediction: "Prediction") -> str:
    alone = len(prediction.weights) == 1
    return " + ".join(
        f"{'' if alone else f'{weight:.3g} x '}{pool} ({passes_text(prediction.repeats[pool])} passes)"
        for pool, weight in prediction.weights.items()
    )
