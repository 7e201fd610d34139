"""The section [evaluate] of a config, and the error that its metric becomes: what laws are fitted to."""

from collections.abc import Callable, Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from thresher.errors import InputError
from thresher.settings import OneOf, Pattern, Section

_TASKS_OF = {"zeroshot_error": ("zeroshot",), "average_error": ("zeroshot", "retrieval")}
"""Evaluation sets that a metric needs; the others need retrieval."""


def _recall_error(metrics: Mapping[str, float]) -> float:
    import numpy as np

    return 1 - float(np.mean([value for name, value in metrics.items() if "_R@" in name]))


ERRORS: dict[str, Callable[[Mapping[str, float]], float]] = {
    "zeroshot_error": lambda m: 1 - m["zeroshot_acc1"],
    "retrieval_error": lambda m: 1 - (m["image_to_text_R@1"] + m["text_to_image_R@1"]) / 2,
    "recall_error": _recall_error,
    "mrr_error": lambda m: 1 - m["retrieval_mrr"],
    "retrieval_loss": lambda m: m["retrieval_loss"],
    "average_error": lambda m: (
        1 - (m["zeroshot_acc1"] + (m["image_to_text_R@1"] + m["text_to_image_R@1"]) / 2) / 2
    ),
}


class Evaluate(Section):
    """What a model is measured on."""

    metric: Annotated[str, OneOf(ERRORS)] = Field(
        default="zeroshot_error",
        description=f"The error that laws are fitted to: {', '.join(ERRORS)}.",
    )
    zeroshot: tuple[Pattern, ...] = Field(
        default=(),
        json_schema_extra={"shown": True},
        examples=[["eval/{00000..00001}.tar"]],
        description="Shards of labelled images for zero-shot classification.",
    )
    label_key: str = Field(
        default="class", description="Key of the label in each pair's json: a class name or number."
    )
    classes: tuple[str, ...] = Field(
        default=(),
        examples=[["cat", "dog"]],
        description="Class names; the labels found in the shards when left out.",
    )
    templates: tuple[str, ...] = Field(
        default=("a photo of a {}.",),
        min_length=1,
        description="Captions for a class; {} stands for its name.",
    )
    retrieval: tuple[Pattern, ...] = Field(
        default=(),
        examples=[["eval/retrieval.tar"]],
        description="Shards for retrieval recall; an image may have several captions.",
    )

    @model_validator(mode="after")
    def _can_measure(self) -> Self:
        for needed in _TASKS_OF.get(self.metric, ("retrieval",)):
            if not getattr(self, needed):
                raise ValueError(f"metric '{self.metric}' needs shards; name them under '{needed}'")
        if plain := [template for template in self.templates if "{}" not in template]:
            raise ValueError(f"template {plain[0]!r} has no {{}} for the class name")
        return self


def error_of(metric: str, metrics: Mapping[str, float]) -> float:
    """The error that laws are fitted to, from what was measured.

    Raises:
        InputError: the metric is unknown, or its task was not among those evaluated.
    """
    if metric not in ERRORS:
        raise InputError(f"metric {metric!r} is unknown; take one of {', '.join(ERRORS)}")
    try:
        return ERRORS[metric](metrics)
    except KeyError as missing:
        raise InputError(f"metric {metric!r} needs {missing}, which no evaluation set gives") from missing
