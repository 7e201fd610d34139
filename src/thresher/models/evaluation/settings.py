"""The section [evaluate] of a config."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from thresher.models.evaluation.metrics import ERRORS
from thresher.settings import OneOf, Pattern, Section

_TASKS_OF = {"zeroshot_error": ("zeroshot",), "average_error": ("zeroshot", "retrieval")}
"""Evaluation sets that a metric needs; the others need retrieval."""


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
