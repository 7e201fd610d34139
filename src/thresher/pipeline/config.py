"""The settings of a whole run: one frozen, validated section per stage."""

import typing
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from thresher.budget import parse_budget
from thresher.curate.settings import Cut, Subset
from thresher.errors import InputError
from thresher.models.evaluation.settings import Evaluate
from thresher.planning.settings import Fit, Plan
from thresher.scores.settings import Score, Shards
from thresher.scores.spec import ScorerSpec, is_random
from thresher.settings import Section, Workplace
from thresher.train.settings import Filter, Probe, Train


class Report(Section):
    """One self-contained page."""

    title: str = Field(default="Thresher report", description="Heading of the page.")
    gallery: int = Field(default=12, ge=0, description="Pairs shown of each pool.")


class Config(Workplace):
    """All the settings of a run; one section a stage, in the order of the stages."""

    shards: Shards
    filter: Filter | None = None
    score: Score = Score()
    cut: Cut = Cut()
    probe: Probe = Probe()
    evaluate: Evaluate
    fit: Fit = Fit()
    plan: Plan
    subset: Subset = Subset()
    train: Train | None = None
    report: Report = Report()

    @field_validator("subset", mode="before")
    @classmethod
    def _priced_as_planned(cls, value: object, info: ValidationInfo) -> object:
        """A budget in FLOPs or GPU-hours buys what it buys in [plan]; another text is left as it is."""
        plan, written = info.data.get("plan"), value.get("budget") if isinstance(value, dict) else None
        if not (isinstance(value, dict) and isinstance(plan, Plan) and isinstance(written, str)):
            return value
        try:
            return {**value, "budget": parse_budget(written, plan.price)}
        except InputError:
            return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        specs = [_spec(scorer) for scorer in self.score.scorers]
        columns = [spec.column for spec in specs]
        if self.cut.by not in columns:
            raise ValueError(
                f"[cut] by = '{self.cut.by}' is no column of [score], which has {', '.join(columns)}"
            )
        for text, spec in zip(self.score.scorers, specs, strict=True):
            if self.filter is None and is_random(spec):
                raise ValueError(
                    f"[score] scorers: '{text}' has no weights and would rank pairs at random; name some, "
                    "as in clip:model=ViT-B-32,pretrained=laion2b_s34b_b79k, or add a section [filter]"
                )
        if self.subset.budget is not None and self.subset.budget not in self.plan.budgets:
            raise ValueError(f"[subset] budget = {self.subset.budget} is none of the budgets of [plan]")
        return self


def _spec(scorer: str) -> ScorerSpec:
    """A scorer as it is written, its options unchecked; `as=NAME` names its column."""
    name, _, rest = scorer.partition(":")
    pairs = (option.partition("=") for option in rest.split(","))
    given = {key.strip(): value.strip() for key, _, value in pairs if key.strip()}
    column = given.pop("as", "")
    return ScorerSpec(name, tuple(given.items()), column)


def sections(config: type[Section] = Config) -> dict[str, type[Section]]:
    """The section classes of a config by name, in the order of the stages."""
    found: dict[str, type[Section]] = {}
    for name, field in config.model_fields.items():
        for kind in typing.get_args(field.annotation) or (field.annotation,):
            if isinstance(kind, type) and issubclass(kind, Section):
                found[name] = kind
    return found
