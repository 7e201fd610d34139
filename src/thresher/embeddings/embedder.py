"""A model that turns pairs into the embeddings that are stored.

Shapes: B pairs, D embedding dimensions, T tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thresher.embeddings.numbers import DTYPES, pack
from thresher.scores.model import open_model
from thresher.scores.scorer import Images, Pending, Scorer

if TYPE_CHECKING:
    import torch

    from thresher.models.towers import Towers


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """An open model and what its embeddings need in order to be used.

    Attributes:
        scorer: Gives [B, 2, D] a batch, image and text vectors in the form that is stored.
        fingerprint: Of weights and preprocessing.
        dim: D.
        scale: Factor of the cosines in the model's loss.
        bias: What its loss adds to them; 0 for a model without one.
        precision: `fp32` or `bf16`.
        flops_per_pair: Of embedding one pair.
    """

    scorer: Scorer
    fingerprint: str
    dim: int
    scale: float
    bias: float
    precision: str
    flops_per_pair: float


def open_embedder(
    model: str, *, pretrained: str | None, device: str, batch_size: int, precision: str, dtype: str
) -> Embedder:
    """Load `model` for embedding; the options are those of `embed_shards`.

    Raises:
        InputError: the model, its weights, the device or the precision cannot be had.
        MissingExtra: torch or open_clip is not installed.
    """
    towers, used = open_model(
        model,
        pretrained=pretrained,
        device=device,
        batch_size=batch_size,
        precision=precision,
        needed_for="embedding pairs",
    )

    from thresher.models.flops import forward_flops
    from thresher.models.towers import context_length, embed_images

    blank = np.zeros((1, towers.spec.size, towers.spec.size, 3), dtype=np.uint8)
    dim = embed_images(towers, blank, precision=used).shape[1]
    weights = towers.model.state_dict()
    return Embedder(
        scorer=Scorer(
            fingerprint=towers.fingerprint,
            spec=towers.spec,
            batch_size=batch_size,
            prepare=lambda captions: towers.tokenize(list(captions)),
            score=_embedding(towers, used, dtype),
            result=np.dtype((DTYPES[dtype], (2, dim))),
        ),
        fingerprint=towers.fingerprint,
        dim=dim,
        scale=float(weights["logit_scale"].exp()),
        bias=float(weights["logit_bias"]) if "logit_bias" in weights else 0.0,
        precision=used,
        flops_per_pair=forward_flops(towers, context_length(towers)),
    )


def _embedding(towers: "Towers", precision: str, dtype: str) -> Callable[[Images | None, Any], Pending]:
    import torch

    from thresher.models.towers import autocast, to_input

    @torch.inference_mode()
    def embed(images_BHWC: Images | None, tokens_BT: "torch.Tensor") -> Pending:
        assert images_BHWC is not None
        with autocast(towers.device, precision):
            image_BD = towers.model.encode_image(to_input(towers, images_BHWC))  # type: ignore[operator]
            text_BD = towers.model.encode_text(tokens_BT.to(towers.device))  # type: ignore[operator]
        unit_B2D = torch.nn.functional.normalize(torch.stack([image_BD, text_BD], dim=1).float(), dim=-1)

        def finished() -> npt.NDArray[Any]:
            return pack(unit_B2D.cpu().numpy(), dtype)

        return finished

    return embed
