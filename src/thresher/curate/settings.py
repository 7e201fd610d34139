"""The sections [cut] and [subset] of a config."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from thresher.curate.subset.write import FORMATS
from thresher.settings import Budget, OneOf, Section, Share


class Cut(Section):
    """Quality pools, best first."""

    by: str = Field(default="clip", description="Column of the score table to cut by.")
    edges: tuple[Share, ...] = Field(
        default=(0.1, 0.2, 0.3, 0.4),
        min_length=1,
        description="Shares of the pairs, best first: 0.1, 0.2 cuts the pools 0-10% and 10-20%.",
    )
    thresholds: tuple[float, ...] | None = Field(
        default=None,
        min_length=1,
        examples=[[0.30, 0.28, 0.25]],
        description="Lowest scores of the pools, best first; use them in place of `edges`.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.thresholds is not None and "edges" in self.model_fields_set:
            raise ValueError("'edges' and 'thresholds' exclude each other; keep one of them")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"edges {list(self.edges)} must rise, for example 0.1, 0.2, 0.3")
        if self.thresholds and list(self.thresholds) != sorted(set(self.thresholds), reverse=True):
            raise ValueError(f"thresholds {list(self.thresholds)} must fall, for example 0.30, 0.28")
        return self


class Subset(Section):
    """The chosen pairs, with repeats."""

    budget: Budget | None = Field(
        default=None,
        examples=["128M"],
        description="One of the budgets of [plan]; the largest when left out.",
    )
    format: Annotated[str, OneOf(FORMATS)] = Field(
        default="npy",
        description="npy (uids, as DataComp reads them), parquet (a table) or shards (new tars).",
    )
