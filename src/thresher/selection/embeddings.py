"""A model's embeddings of a set of pairs: unit vectors of both sides, scale and bias of its loss.

Shapes: B candidates, D dimensions.
"""

import math
from dataclasses import dataclass, replace

import torch

LENGTH_TOLERANCE = 0.01
"""bf16 and int8 round a unit vector's length by less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """Image and text embeddings of the same pairs in the same order, unit length, any float dtype."""

    image_BD: torch.Tensor
    text_BD: torch.Tensor
    scale: float = 1.0  # exp(logit_scale)
    bias: float = 0.0  # logit_bias; the softmax loss knows none

    def __len__(self) -> int:
        return len(self.image_BD)


def take(embeddings: Embeddings, places: torch.Tensor) -> Embeddings:
    """The rows at `places`, in that order."""
    images, texts = (side.index_select(0, places) for side in (embeddings.image_BD, embeddings.text_BD))
    return replace(embeddings, image_BD=images, text_BD=texts)


def prepared(embeddings: Embeddings) -> Embeddings:
    """The same, without gradient; in fp32 unless the device multiplies half types into fp32."""
    images, texts = embeddings.image_BD.detach(), embeddings.text_BD.detach()
    half = (torch.float16, torch.bfloat16)
    if not (images.is_cuda and images.dtype in half and texts.dtype == images.dtype):
        images, texts = images.float(), texts.float()
    return Embeddings(
        image_BD=images.contiguous(),
        text_BD=texts.contiguous(),
        scale=float(embeddings.scale),
        bias=float(embeddings.bias),
    )


def diagonal(embeddings: Embeddings) -> torch.Tensor:
    """Logit of every pair with itself, without the bias, `scale * image . text`, fp32 [B]."""
    products_B = (embeddings.image_BD.float() * embeddings.text_BD.float()).sum(1)
    return products_B * embeddings.scale


def logit_bound(embeddings: Embeddings) -> float:
    """No logit of an image and a text of these is larger in size, the bias left out."""
    return embeddings.scale * (1 + LENGTH_TOLERANCE) ** 2


def check(name: str, embeddings: Embeddings, num_rows: int) -> None:
    """Refuse embeddings that cannot belong to `num_rows` candidates.

    Raises:
        ValueError: shapes that differ, a length that is not 1, or a scale or bias that no trained model has.
    """
    shapes = tuple(embeddings.image_BD.shape), tuple(embeddings.text_BD.shape)
    if len(shapes[0]) != 2 or shapes[0] != shapes[1]:
        raise ValueError(
            f"{name} embeddings are {shapes[0]} for images and {shapes[1]} for texts; give two [B, D] of one "
            "shape"
        )
    if shapes[0][0] != num_rows:
        raise ValueError(f"{name} embeddings have {shapes[0][0]} rows for {num_rows} candidates")
    if not (math.isfinite(embeddings.scale) and embeddings.scale > 0):
        raise ValueError(
            f"scale of the {name} is {embeddings.scale}; give exp(logit_scale), a positive number"
        )
    if not math.isfinite(embeddings.bias):
        raise ValueError(f"bias of the {name} is {embeddings.bias}; give logit_bias, or 0")
    for side, vectors_BD in (("image", embeddings.image_BD), ("text", embeddings.text_BD)):
        length_B = torch.linalg.vector_norm(vectors_BD.detach(), dim=1, dtype=torch.float32)
        wrong_B = ~((length_B - 1).abs() <= LENGTH_TOLERANCE)  # so that nan counts as wrong
        if bool(wrong_B.any()):
            row = int(wrong_B.int().argmax())
            raise ValueError(
                f"{side} embedding {row} of the {name} has length {float(length_B[row]):.4f}; divide each by "
                "its length"
            )
