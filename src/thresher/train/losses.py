"""Contrastive losses, as open_clip computes them on one process or many."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from open_clip.loss import ClipLoss, SigLipLoss

from thresher.errors import InputError
from thresher.selection.choices import LOSSES
from thresher.train.distributed import Ranks
from thresher.train.recipe import Recipe
from thresher.train.reference_loss import start_scale


def make_loss(name: str, ranks: Ranks) -> torch.nn.Module:
    """The loss called `name`: `siglip` (sigmoid) or `clip` (softmax).

    Each rank gets the sum over its own images against the captions of all ranks, divided by its number
    of images; the mean over ranks is the loss of the whole batch.
    """
    if name not in LOSSES:
        raise InputError(f"loss {name!r} is unknown; take one of {', '.join(LOSSES)}")
    loss: torch.nn.Module
    if name == "siglip":
        loss = SigLipLoss(rank=ranks.rank, world_size=ranks.world, dist_impl="gather")
    else:
        loss = ClipLoss(local_loss=True, gather_with_grad=True, rank=ranks.rank, world_size=ranks.world)
    return loss


def forward(
    model: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor, num_low: int | None = None
) -> dict[str, torch.Tensor]:
    """Unit-length `image_features` and `text_features`, `logit_scale` and, where there is one, `logit_bias`.

    `num_low` pairs, the first of the batch, are seen at low resolution by a `FlexiForward`; other models take
    None.
    """
    output: Any = model(images, tokens) if num_low is None else model(images, tokens, num_low)
    if not isinstance(output, dict):
        keys = ("image_features", "text_features", "logit_scale", "logit_bias")
        output = dict(zip(keys, output, strict=False))
    return {key: value for key, value in output.items() if value is not None}


def loss_of(
    output: Mapping[str, torch.Tensor],
    loss: torch.nn.Module,
    steering: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Loss of a batch in nats, computed in fp32 from what `forward` gives.

    Under autocast `siglip` and `clip` multiply the embeddings in its type, as in open_clip's own training.

    Args:
        output: embeddings, scale and bias.
        loss: from `make_loss`, or a `ReferenceLoss`.
        steering: what a `ReferenceLoss` wants besides.
    """
    arguments = {k: output[k].float() for k in ("image_features", "text_features", "logit_scale")}
    if isinstance(loss, SigLipLoss):
        arguments["logit_bias"] = output["logit_bias"].float()
    value: torch.Tensor = loss(**arguments, **(steering or {}))
    if "logit_bias" not in arguments and "logit_bias" in output:
        value = value + 0 * output["logit_bias"].sum()  # with many processes every weight needs a gradient
    return value


def forward_loss(
    model: torch.nn.Module, loss: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Loss of a batch in nats."""
    return loss_of(forward(model, images, tokens), loss)


def clamp_scale(model: torch.nn.Module) -> None:
    """Keep the scale of the similarities in [1, 100], as open_clip does after each step."""
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))  # type: ignore[operator]


def start_bias(model: torch.nn.Module, recipe: Recipe) -> None:
    """Start the sigmoid loss at the odds of a positive in a batch, one in `batch_size`; `rho` at its scale.

    SigLIP's -10 is close to that for its batch of 32,768; with a batch of 64 it would take thousands of
    steps to unlearn.
    """
    if recipe.loss == "rho" and recipe.rho_temperature is not None:
        start_scale(model, recipe.rho_temperature)
    if recipe.loss == "siglip" and recipe.pretrained is None:
        with torch.no_grad():
            model.logit_bias.fill_(-math.log(max(1, recipe.batch_size - 1)))  # type: ignore[operator]
