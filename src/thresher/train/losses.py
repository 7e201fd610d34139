"""Contrastive losses, as open_clip computes them on one process or many."""

import math
from typing import Any

import torch
from open_clip.loss import ClipLoss, SigLipLoss

from thresher.errors import InputError
from thresher.train.distributed import Ranks
from thresher.train.recipe import Recipe

LOSSES = {"siglip": SigLipLoss, "clip": ClipLoss}


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


def forward_loss(
    model: torch.nn.Module, loss: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Loss of a batch in nats, computed in fp32 from the embeddings."""
    output: Any = model(images, tokens)
    if not isinstance(output, dict):
        keys = ("image_features", "text_features", "logit_scale", "logit_bias")
        output = dict(zip(keys, output, strict=False))
    arguments = {k: output[k].float() for k in ("image_features", "text_features", "logit_scale")}
    if isinstance(loss, SigLipLoss):
        arguments["logit_bias"] = output["logit_bias"].float()
    value: torch.Tensor = loss(**arguments)
    return value


def clamp_scale(model: torch.nn.Module) -> None:
    """Keep the scale of the similarities in [1, 100], as open_clip does after each step."""
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))  # type: ignore[operator]


def start_bias(model: torch.nn.Module, recipe: Recipe) -> None:
    """Start the sigmoid loss at the odds of a positive in a batch, one in `batch_size`.

    SigLIP's -10 is close to that for its batch of 32,768; with a batch of 64 it would take thousands of
    steps to unlearn.
    """
    if recipe.loss == "siglip" and recipe.pretrained is None:
        with torch.no_grad():
            model.logit_bias.fill_(-math.log(max(1, recipe.batch_size - 1)))  # type: ignore[operator]
