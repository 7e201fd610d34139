"""The settings of a whole run: one frozen, validated section per stage."""

import typing
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thresher.config.kinds import (
    Count,
    FilePath,
    Mix,
    ModelName,
    Pattern,
    ReferenceName,
    ScorerText,
    Share,
    StartCount,
)
from thresher.laws import LAWS
from thresher.scores.spec import ScorerSpec, is_random

Metric = Literal[
    "zeroshot_error", "retrieval_error", "recall_error", "mrr_error", "retrieval_loss", "average_error"
]
_TASKS_OF = {"zeroshot_error": ("zeroshot",), "average_error": ("zeroshot", "retrieval")}
"""Evaluation sets that a metric needs; the others need retrieval."""


class Section(BaseModel):
    """Strict types, no unknown keys, no change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class Shards(Section):
    """The pool of pairs."""

    paths: tuple[Pattern, ...] = Field(
        min_length=1,
        examples=[["shards/{00000..00009}.tar"]],
        description="Tars, folders or tables of pairs; brace patterns, globs, `::` and addresses work.",
    )
    exclude: FilePath | None = Field(
        default=None,
        examples=["exclude.txt"],
        description="Pairs never to use: uids as text (one a line), .npy or Parquet.",
    )


class Filter(Section):
    """A data filtering network: a small model trained on curated pairs, which then scores the pool."""

    shards: tuple[Pattern, ...] = Field(
        min_length=1, examples=[["curated/{00000..00001}.tar"]], description="The curated pairs."
    )
    model: ModelName = Field(default="ViT-S-32", description="open_clip model name, or local-dir:PATH.")
    samples_seen: Count = Field(examples=["1M"], description="Samples seen in training, repeats counted.")
    batch_size: int = Field(default=256, gt=1, description="Pairs a step.")
    lr: float = Field(default=1e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.2, ge=0, description="Weight decay.")
    flip: bool = Field(default=False, description="Mirror half of the images (captions must not name sides).")
    crop: int = Field(default=0, ge=0, description="Largest random shift of an image, in pixels.")
    seed: int = Field(default=0, ge=0, description="Seed of initialisation and order.")


class Score(Section):
    """One row a pair, one column a scorer."""

    scorers: tuple[ScorerText, ...] = Field(
        default=("clip", "caption"),
        min_length=1,
        examples=[["clip:model=ViT-B-32,pretrained=laion2b_s34b_b79k", "caption"]],
        description="Scorers, each NAME or NAME:key=value,key=value. clip needs weights: `pretrained`, a tag "
        "or a file, or the section [filter], whose network a bare clip takes.",
    )
    batch_size: int = Field(default=256, gt=0, description="Pairs a forward pass.")
    workers: int = Field(
        default=2, ge=0, description="Processes that decode images; 0 decodes in the main process."
    )


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


class Probe(Section):
    """Small training runs on single pools and on check mixes that the fit never sees."""

    model: ModelName = Field(default="ViT-S-32", description="open_clip model name, or local-dir:PATH.")
    targets: tuple[Count, ...] | None = Field(
        default=None,
        min_length=1,
        examples=[["32M", "64M", "128M"]],
        description="Budgets whose repetition the probes copy; the budgets of [plan] when left out.",
    )
    scale: Share = Field(default=1 / 16, description="Length of the probes, as a share of every target.")
    fractions: tuple[Share, ...] | None = Field(
        default=None,
        min_length=1,
        examples=[[0.0625, 1.0]],
        description="Shares of every pool that probes draw from; `scale`, so that pairs come back as often "
        "as at the target, and 1, where they are fresh, when left out. Two shares let `fit` tell worth from "
        "wear, and how half-lives grow with a pool (gamma).",
    )
    samples: tuple[Count, ...] | None = Field(
        default=None,
        min_length=1,
        examples=[["2M", "4M", "8M"]],
        description="Samples seen at the measuring points, in place of `targets` x `scale`.",
    )
    checks: tuple[Mix, ...] | None = Field(
        default=None,
        examples=[[{"0-10%": 0.5, "10-20%": 0.5}]],
        description="Mixes to train and to predict, kept out of the fit: pool name = weight; the two best "
        "pools together, the three best, ... when left out.",
    )
    mixes: tuple[Mix, ...] | None = Field(
        default=None,
        examples=[[{"0-10%": 0.5, "10-20%": 0.5}]],
        description="Mixes to train for the fit, which tell how pools add up; all pools together, where "
        "there are three or more, when left out.",
    )
    verify: bool = Field(
        default=False,
        description="Also train the winners of the smallest and the largest budget at both, on whole pools, "
        "to see whether the order is right. Costs what the budgets cost.",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(0,),
        min_length=1,
        description="Every probe is run once a seed; two or more give the noise level.",
    )
    loss: Literal["siglip", "clip"] = Field(default="siglip", description="Sigmoid or softmax loss.")
    batch_size: int = Field(default=256, gt=1, description="Pairs a step, over all processes.")
    lr: float = Field(default=1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(default=0.2, ge=0, description="Weight decay, as the real run will use it.")
    beta2: float = Field(default=0.95, gt=0, lt=1, description="AdamW's decay of the second moment.")
    grad_clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Mixed precision; auto is bf16 where the hardware has it."
    )
    flip: bool = Field(default=False, description="Mirror half of the images (captions must not name sides).")
    crop: int = Field(default=0, ge=0, description="Largest random shift of an image, in pixels.")
    warmup: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the smallest measuring point spent warming up."
    )
    cooldown: Share = Field(default=0.2, description="Share of each run spent cooling down to zero.")
    jobs: int | None = Field(
        default=None,
        gt=0,
        examples=[2],
        description="Probes at the same time; one a core, or one a GPU, when left out.",
    )
    cache_limit: Count = Field(
        default=4_000_000_000,
        description="Most bytes of decoded images to keep; above it, decode on the way.",
    )

    @model_validator(mode="after")
    def _fits_in_a_run(self) -> Self:
        if self.warmup + self.cooldown > 1:
            raise ValueError(
                f"warmup {self.warmup} and cooldown {self.cooldown} add up to more than the whole run"
            )
        if len(set(self.shares)) < len(self.shares):
            raise ValueError(f"fractions {list(self.shares)} hold a share twice")
        return self

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of every pool that probes draw from; the check mixes take the first."""
        return self.fractions or (self.scale, 1.0)


class Evaluate(Section):
    """What a model is measured on."""

    metric: Metric = Field(
        default="zeroshot_error",
        description=f"The error that laws are fitted to: {', '.join(typing.get_args(Metric))}.",
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


class Subset(Section):
    """The chosen pairs, with repeats."""

    budget: Count | None = Field(
        default=None,
        examples=["128M"],
        description="One of the budgets of [plan]; the largest when left out.",
    )
    format: Literal["npy", "parquet", "shards"] = Field(
        default="npy",
        description="npy (uids, as DataComp reads them), parquet (a table) or shards (new tars).",
    )


class Train(Section):
    """Contrastive training on the subset."""

    model: ModelName = Field(default="ViT-B-32", description="open_clip model name, or local-dir:PATH.")
    samples_seen: Count | None = Field(
        default=None,
        examples=["128M"],
        description="Samples seen, repeats counted; the subset's budget when left out.",
    )
    loss: Literal["siglip", "clip", "rho"] = Field(
        default="siglip",
        description="Sigmoid loss, softmax loss, or rho: the softmax loss steered by a reference.",
    )
    batch_size: int = Field(default=4096, gt=1, description="Pairs a step, over all processes.")
    lr: float = Field(default=5e-4, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(default=0.2, ge=0, description="Weight decay, as the real run will use it.")
    beta2: float = Field(default=0.95, gt=0, lt=1, description="AdamW's decay of the second moment.")
    grad_clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Mixed precision; auto is bf16 where the hardware has it."
    )
    flip: bool = Field(default=False, description="Mirror half of the images (captions must not name sides).")
    crop: int = Field(default=0, ge=0, description="Largest random shift of an image, in pixels.")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="Share of the run spent warming up.")
    cooldown: Share = Field(default=0.2, description="Share of each run spent cooling down to zero.")
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="Time between two checkpoints.")
    cache_limit: Count = Field(
        default=4_000_000_000,
        description="Most bytes of decoded images to keep; above it, decode on the way.",
    )
    workers: int = Field(
        default=2, ge=0, description="Processes that decode images; 0 decodes in the main process."
    )
    seed: int = Field(default=0, ge=0, description="Seed of initialisation and order.")
    select: Literal["uniform", "independent", "joint"] = Field(
        default="uniform",
        description="How the pairs of a step are chosen from a super-batch: uniform takes them as they come, "
        "independent by their own scores, joint by what they teach together.",
    )
    criterion: Literal["learnability", "easy-reference", "hard-learner"] = Field(
        default="learnability",
        description="Score: loss of the learner minus that of the reference, or one of them alone.",
    )
    filter_ratio: float = Field(
        default=0.8, ge=0, lt=1, description="Share of the super-batch that a step does not train on."
    )
    filter_ratio_end: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        examples=[0.5],
        description="Where filter_ratio has moved to, linearly, at the end of the selected stretch.",
    )
    chunks: int = Field(default=16, gt=0, description="Chunks in which joint selection draws a batch.")
    gain: float = Field(
        default=1.0, ge=0, description="Factor of the scores before pairs are drawn; 0 draws uniformly."
    )
    reference: ReferenceName | None = Field(
        default=None,
        examples=["reference"],
        description="Folder that `thresher embed` wrote, or a model that is embedded first: local-dir:FOLDER "
        "or NAME,pretrained=TAG.",
    )
    select_from: StartCount = Field(default=0, description="Samples seen at which selection begins.")
    select_to: Count | None = Field(
        default=None,
        examples=["96M"],
        description="Samples seen at which selection ends; the end of the run when left out.",
    )
    rho_gamma: float | None = Field(
        default=None,
        gt=0,
        le=1,
        examples=[0.8],
        description="Weight of a batch in the moving averages of the loss rho; by the number of epochs when "
        "left out.",
    )
    rho_temperature: float | None = Field(
        default=None,
        ge=0.01,
        le=1,
        examples=[0.07],
        description="Temperature of the loss rho, which does not learn it; the model's own when left out.",
    )
    across: Literal["global", "stratified"] = Field(
        default="global",
        description="With several processes: choose among the candidates of all, or each its share of a "
        "batch among its own.",
    )
    flexi: int = Field(
        default=0,
        ge=0,
        description="Patch size in pixels, larger than the model's, at which candidates are scored; 0 scores "
        "at full resolution.",
    )
    low_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of a batch that is trained at that patch size."
    )
    reuse_scoring: bool = Field(
        default=False,
        description="Train on the embeddings that the scores were made of; keeps the graph of the whole "
        "super-batch, and allows no augmentation.",
    )
    log: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        default=(), examples=[["tensorboard"]], description="Where losses and FLOPs are shown as well."
    )

    @model_validator(mode="after")
    def _can_select(self) -> Self:
        scored = self.select != "uniform" and self.criterion != "hard-learner"
        if self.reference is None and (scored or self.loss == "rho"):
            what = f"criterion '{self.criterion}'" if scored else "loss 'rho'"
            raise ValueError(f"{what} needs a reference model; name one under 'reference'")
        if self.select_to is not None and self.select_to <= self.select_from:
            raise ValueError(f"select_to {self.select_to} must be above select_from {self.select_from}")
        return self


class Report(Section):
    """One self-contained page."""

    title: str = Field(default="Thresher report", description="Heading of the page.")
    gallery: int = Field(default=12, ge=0, description="Pairs shown of each pool.")


class Config(Section):
    """All the settings of a run; one section a stage, in the order of the stages."""

    workdir: FilePath = Field(
        default=Path("work"),
        description="Folder for everything that the stages write.",
    )
    device: str = Field(
        default="auto", description="auto, cpu, cuda or cuda:N; auto takes a GPU when there is one."
    )
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


class TrainingConfig(Section):
    """The settings of training alone: the sections that `thresher train` reads, on pairs without a plan."""

    workdir: FilePath = Config.model_fields["workdir"].default
    device: str = Config.model_fields["device"].default
    shards: Shards
    evaluate: Evaluate | None = None
    train: Train


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
