"""A prediction in one sentence."""

from typing import TYPE_CHECKING

from thresher.budget import format_count
from thresher.display.blocks import Block, sentences, text_of
from thresher.plans.wording import error_text
from thresher.runs import is_loss

if TYPE_CHECKING:
    from thresher.api import Prediction


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
        f"{'' if alone else f'{weight:.3g} x '}{pool} ({prediction.repeats[pool]:.2g} passes)"
        for pool, weight in prediction.weights.items()
    )
