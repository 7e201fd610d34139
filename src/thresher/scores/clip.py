"""Cosine similarity of image and caption under an open_clip model.

Shapes: B pairs, D embedding dimensions, T tokens.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from thresher.scores.model import open_model
from thresher.scores.scorer import Images, Pending, Scorer

if TYPE_CHECKING:
    import torch

    from thresher.models.towers import Towers


def clip_similarity(
    *,
    model: str = "ViT-B-32",
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "auto",
) -> Scorer:
    """Scores pairs by the cosine of their two embeddings, from -1 to 1.

    Args:
        model: Name of an open_clip model.
        pretrained: Registry tag (`laion2b_s34b_b79k`) or path of a checkpoint; left out, the weights are
            random (the same each time), which is good for measuring speed and nothing else.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, ...
        batch_size: Pairs a forward pass.
        precision: auto (bf16 where the hardware multiplies bf16, else fp32), fp32 or bf16 (autocast).

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
        needed_for="the scorer clip",
    )
    digest = hashlib.blake2b(f"clip-1 {towers.fingerprint} {used}".encode(), digest_size=16)
    return Scorer(
        fingerprint=digest.hexdigest(),
        spec=towers.spec,
        batch_size=batch_size,
        prepare=lambda captions: towers.tokenize(list(captions)),
        score=_similarity(towers, batch_size, used),
    )


def _similarity(towers: "Towers", batch_size: int, precision: str) -> Callable[[Images | None, Any], Pending]:
    import torch

    from thresher.models.towers import autocast, to_input

    @torch.inference_mode()
    def score(images_BHWC: Images | None, tokens_BT: "torch.Tensor") -> Pending:
        assert images_BHWC is not None
        parts = []
        for start in range(0, len(images_BHWC), batch_size):
            chosen = slice(start, start + batch_size)
            with autocast(towers.device, precision):
                image_BD = towers.model.encode_image(to_input(towers, images_BHWC[chosen]))  # type: ignore[operator]
                text_BD = towers.model.encode_text(tokens_BT[chosen].to(towers.device))  # type: ignore[operator]
            parts.append(torch.nn.functional.cosine_similarity(image_BD.float(), text_BD.float(), dim=-1))
        cosine_B = torch.cat(parts)
        return lambda: np.asarray(cosine_B.cpu().numpy(), dtype=np.float32)

    return score
