"""How a model is trained: everything but the data, the length and the seed."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from thresher.data.digests import hasher


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Settings that two runs must share before one law can describe both.

    Attributes:
        model: open_clip name.
        pretrained: weights to start from, or None.
        loss: `siglip`, `clip` or `rho`, which needs the embeddings of a reference.
        batch_size: pairs a step over all ranks.
        lr: peak learning rate of AdamW.
        weight_decay: on matrices; vectors and scalars are not decayed.
        beta2: AdamW's second moment decay.
        warmup_samples: linear warm-up.
        cooldown: share of a run that cools down to zero, in (0, 1].
        grad_clip: largest norm of the gradient.
        precision: `auto`, `fp32` or `bf16`.
        flip: mirror half of the images.
        crop: largest shift of an image in pixels, edges repeated.
        select: `uniform`, `independent` or `joint`: how the pairs of a step are chosen from a super-batch.
        criterion: `learnability`, `easy-reference` or `hard-learner`.
        filter_ratio: share of the super-batch that is not trained on, in [0, 1).
        filter_ratio_end: where the ratio has moved to, linearly, at the end of the selected stretch; None
            leaves it.
        chunks: of joint selection.
        gain: the scores are multiplied by it before pairs are drawn.
        select_from: samples seen (trained on) at which selection begins; before it, batches are uniform.
        select_to: samples seen at which it ends; None is the end of the run.
        reuse_scoring: train on the embeddings that the scores were made of (needs the graph of the whole
            super-batch, and no augmentation).
        flexi: patch size in pixels at which pairs are scored and `low_share` of a batch is trained; 0 is the
            model's own, for all.
        low_share: share of a batch that is trained at the patch size `flexi`.
        rho_gamma: weight of the batch in the moving averages of the loss `rho`; None is what its authors
            recommend for as many epochs.
        rho_temperature: of the loss `rho`, which does not learn it; None is what the model starts from.
        across: `global` or `stratified`: among the candidates of all ranks, or of each rank its share.
    """

    model: str
    pretrained: str | None = None
    loss: str = "siglip"
    batch_size: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.2
    beta2: float = 0.95
    warmup_samples: int = 1024
    cooldown: float = 0.2
    grad_clip: float = 1.0
    precision: str = "auto"
    flip: bool = False
    crop: int = 0
    select: str = "uniform"
    criterion: str = "learnability"
    filter_ratio: float = 0.8
    filter_ratio_end: float | None = None
    chunks: int = 16
    gain: float = 1.0
    select_from: int = 0
    select_to: int | None = None
    reuse_scoring: bool = False
    flexi: int = 0
    low_share: float = 0.5
    rho_gamma: float | None = None
    rho_temperature: float | None = None
    across: str = "global"

    @property
    def selects(self) -> bool:
        """Whether batches are chosen from super-batches."""
        return self.select != "uniform"

    @property
    def needs_reference(self) -> bool:
        """Whether training reads the embeddings of a reference model."""
        return self.loss == "rho" or (self.selects and self.criterion != "hard-learner")

    def settings(self) -> dict[str, Any]:
        """The settings by name; those that came after the first release only where they are no default."""
        default = {field.name: field.default for field in fields(self)}
        return {
            name: value
            for name, value in asdict(self).items()
            if name in _FIRST_RELEASE or value != default[name]
        }

    @property
    def label(self) -> str:
        """Short text that differs when any setting differs; written into the ledger."""
        settings = json.dumps(self.settings(), sort_keys=True).encode()
        digest = hasher(settings, size=4).hexdigest()
        return f"{self.model} {self.loss} b{self.batch_size} lr{self.lr:g} wd{self.weight_decay:g} {digest}"


_FIRST_RELEASE = frozenset(
    {
        *("model", "pretrained", "loss", "batch_size", "lr", "weight_decay", "beta2", "warmup_samples"),
        *("cooldown", "grad_clip", "precision", "flip", "crop"),
    }
)
"""Settings that are in every label, so that the labels in finished ledgers stay valid."""
