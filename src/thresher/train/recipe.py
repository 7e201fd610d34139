"""How a model is trained: everything but the data, the length and the seed."""

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Settings that two runs must share before one law can describe both.

    Attributes:
        model: open_clip name.
        pretrained: weights to start from, or None.
        loss: `siglip` or `clip`.
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

    @property
    def label(self) -> str:
        """Short text that differs when any setting differs; written into the ledger."""
        settings = json.dumps(asdict(self), sort_keys=True).encode()
        digest = hashlib.blake2b(settings, digest_size=4).hexdigest()
        return f"{self.model} {self.loss} b{self.batch_size} lr{self.lr:g} wd{self.weight_decay:g} {digest}"
