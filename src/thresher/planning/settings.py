"""The sections [fit] and [plan] of a config."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from thresher.budget import USUAL_MFU, Price
from thresher.planning.laws.registry import LAWS
from thresher.planning.plans.make_plan import WEIGHTS
from thresher.settings import Budget, DeviceFlops, Flops, OneOf, Section, Share


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

    flops_per_sample: Flops | None = Field(
        default=None,
        examples=["8.8 GFLOPs"],
        description="Training FLOPs of one sample seen by the real run, for budgets in FLOPs or GPU-hours.",
    )
    device_flops: DeviceFlops | None = Field(
        default=None,
        examples=["A100"],
        description="Peak FLOP/s of one GPU, or its name, for budgets in GPU-hours.",
    )
    mfu: Share = Field(default=USUAL_MFU, description="Share of that peak which training reaches.")
    budgets: tuple[Budget, ...] = Field(
        min_length=1,
        examples=[["32M", "128M"]],
        description="Samples seen by the real run, repeats counted; or its FLOPs (1e18FLOPs) or GPU-hours "
        "(100gpu-h).",
    )
    within: dict[str, str] = Field(
        default={},
        examples=[{"laion_filter": "no_filter"}],
        description="Pools that lie in another one, to that one; laws and plan are of the disjoint parts.",
    )
    weights: Annotated[str, OneOf(WEIGHTS)] = Field(
        default="subsets",
        description="subsets chooses whole pools, drawn uniformly over their pairs; continuous chooses free "
        "weights of the pools; both chooses free weights where they add more than .1 points.",
    )

    @property
    def price(self) -> Price:
        """What FLOPs and GPU-hours buy."""
        return Price(flops_per_sample=self.flops_per_sample, device_flops=self.device_flops, mfu=self.mfu)
