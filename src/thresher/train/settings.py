"""The sections [filter], [probe] and [train] of a config, and the recipes that they become."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, Self

from pydantic import Field, model_validator

from thresher.models.evaluation.settings import Evaluate
from thresher.scores.settings import Shards
from thresher.selection.choices import CRITERIA, LOSSES, METHODS, MODES
from thresher.settings import (
    PRECISIONS,
    Count,
    Mix,
    ModelName,
    OneOf,
    Pattern,
    ReferenceName,
    Section,
    Share,
    StartCount,
    Workplace,
)
from thresher.train.loggers import LOGGERS
from thresher.train.recipe import Recipe

Model = Annotated[ModelName, Field(description="open_clip model name, or local-dir:PATH.")]
BatchSize = Annotated[int, Field(gt=1, description="Pairs a step, over all processes.")]
LearningRate = Annotated[float, Field(gt=0, description="Peak learning rate of AdamW.")]
WeightDecay = Annotated[float, Field(ge=0, description="Weight decay, as the real run will use it.")]
Beta2 = Annotated[float, Field(gt=0, lt=1, description="AdamW's decay of the second moment.")]
GradClip = Annotated[float, Field(gt=0, description="Largest norm of the gradient.")]
Precision = Annotated[
    str,
    OneOf(PRECISIONS),
    Field(description="Mixed precision; auto is bf16 where the hardware has it."),
]
Flip = Annotated[bool, Field(description="Mirror half of the images (captions must not name sides).")]
Crop = Annotated[int, Field(ge=0, description="Largest random shift of an image, in pixels.")]
Cooldown = Annotated[Share, Field(description="Share of each run spent cooling down to zero.")]
CacheLimit = Annotated[
    Count, Field(description="Most bytes of decoded images to keep; above it, decode on the way.")
]
Seed = Annotated[int, Field(ge=0, description="Seed of initialisation and order.")]


class Filter(Section):
    """A data filtering network: a small model trained on curated pairs, which then scores the pool."""

    warmup: ClassVar[float] = 0.05
    """Share of the run spent warming up."""
    shards: tuple[Pattern, ...] = Field(
        min_length=1, examples=[["curated/{00000..00001}.tar"]], description="The curated pairs."
    )
    model: Model = "ViT-S-32"
    samples_seen: Count = Field(examples=["1M"], description="Samples seen in training, repeats counted.")
    batch_size: BatchSize = 256
    lr: LearningRate = 1e-3
    weight_decay: WeightDecay = Field(default=0.2, description="Weight decay.")
    flip: Flip = False
    crop: Crop = 0
    seed: Seed = 0


class Probe(Section):
    """Small training runs on single pools and on check mixes that the fit never sees."""

    model: Model = "ViT-S-32"
    targets: tuple[Count, ...] | None = Field(
        default=None,
        min_length=1,
        examples=[["32M", "64M", "128M"]],
        description="Budgets whose repetition the probes copy; the budgets of [plan] when left out.",
    )
    scale: Share = Field(
        default=1 / 16,
        description="Length of the probes, as a share of every target; four times that, up to 0.25, as long "
        "as the first probe does no better than guessing.",
    )
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
    loss: Annotated[str, OneOf(LOSSES)] = Field(default="siglip", description="Sigmoid or softmax loss.")
    batch_size: BatchSize = 256
    lr: LearningRate = 1e-3
    weight_decay: WeightDecay = 0.2
    beta2: Beta2 = 0.95
    grad_clip: GradClip = 1.0
    precision: Precision = "auto"
    flip: Flip = False
    crop: Crop = 0
    warmup: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the smallest measuring point spent warming up."
    )
    cooldown: Cooldown = 0.2
    jobs: int | None = Field(
        default=None,
        gt=0,
        examples=[2],
        description="Probes at the same time; one a core, or one a GPU, when left out.",
    )
    cache_limit: CacheLimit = 4_000_000_000

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


class Train(Section):
    """Contrastive training on the subset."""

    model: Model = "ViT-B-32"
    samples_seen: Count | None = Field(
        default=None,
        examples=["128M"],
        description="Samples seen, repeats counted; the subset's budget when left out.",
    )
    loss: Annotated[str, OneOf((*LOSSES, "rho"))] = Field(
        default="siglip",
        description="Sigmoid loss, softmax loss, or rho: the softmax loss steered by a reference.",
    )
    batch_size: BatchSize = 4096
    lr: LearningRate = 5e-4
    weight_decay: WeightDecay = 0.2
    beta2: Beta2 = 0.95
    grad_clip: GradClip = 1.0
    precision: Precision = "auto"
    flip: Flip = False
    crop: Crop = 0
    warmup: float = Field(default=0.05, ge=0, lt=1, description="Share of the run spent warming up.")
    cooldown: Cooldown = 0.2
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="Time between two checkpoints.")
    cache_limit: CacheLimit = 4_000_000_000
    workers: int = Field(
        default=2, ge=0, description="Processes that decode images; 0 decodes in the main process."
    )
    seed: Seed = 0
    select: Annotated[str, OneOf(METHODS)] = Field(
        default="uniform",
        description="How the pairs of a step are chosen from a super-batch: uniform takes them as they come, "
        "independent by their own scores, joint by what they teach together.",
    )
    criterion: Annotated[str, OneOf(CRITERIA)] = Field(
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
    across: Annotated[str, OneOf(MODES)] = Field(
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
    log: tuple[Annotated[str, OneOf(LOGGERS)], ...] = Field(
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


class TrainingConfig(Workplace):
    """The settings of training alone: the sections that `thresher train` reads, on pairs without a plan."""

    shards: Shards
    evaluate: Evaluate | None = None
    train: Train


class TrainingSettings(Protocol):
    """What training takes from a config, be it of a whole run or of training alone."""

    @property
    def workdir(self) -> Path:
        """Folder for everything that the stages write."""

    @property
    def device(self) -> str:
        """As in the config."""

    @property
    def shards(self) -> Shards:
        """The section [shards]."""

    @property
    def evaluate(self) -> Evaluate | None:
        """The section [evaluate]."""

    @property
    def train(self) -> Train | None:
        """The section [train]."""


def make_recipe(section: Filter | Probe | Train, samples_seen: int) -> Recipe:
    """How a run of `samples_seen` is trained: the keys of the section that a recipe has, by their names.

    Probes branch off a run of which the warm-up is a share of their smallest measuring point.
    """
    given = {
        field.name: getattr(section, field.name) for field in fields(Recipe) if hasattr(section, field.name)
    }
    return Recipe(**given, warmup_samples=round(section.warmup * samples_seen))
