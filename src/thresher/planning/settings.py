"""The sections [fit] and [plan] of a config."""

from typing import Literal, Self

from pydantic import Field, model_validator

from thresher.planning.laws.registry import LAWS
from thresher.settings import Count, Section


class Fit(Section):
    """A law per pool."""

    law: str = Field(
        default="auto",
        description=f"Law to fit: auto (weighed by how they predict the longest runs), {', '.join(LAWS)}.",
    )
    bootstrap: int = Field(
        default=200, ge=0, description="Bootstrap fits for the intervals; 0 leaves them out."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the bootstrap.")

    @model_validator(mode="after")
    def _known_law(self) -> Self:
        if self.law not in ("auto", *LAWS):
            raise ValueError(f"there is no law '{self.law}'; choose one of auto, {', '.join(LAWS)}")
        return self


class Plan(Section):
    """The best mix for each budget."""

    budgets: tuple[Count, ...] = Field(
        min_length=1, examples=[["32M", "128M"]], description="Samples seen by the real run, repeats counted."
    )
    weights: Literal["subsets", "continuous", "both"] = Field(
        default="subsets",
        description="subsets chooses whole pools, drawn uniformly over their pairs; continuous chooses free "
        "weights of the pools; both chooses free weights where they add more than .1 points.",
    )
