"""The learner's view of a super-batch: its embeddings, from which pairs are scored.

Shapes: B candidates, D dimensions.
"""

import torch
from torch.nn.functional import normalize

from thresher.models.flexi import encode_image_low
from thresher.models.towers import Towers, autocast, to_input
from thresher.selection import Embeddings
from thresher.train.pairs import Batch
from thresher.train.recipe import Recipe

SCORED_AT_ONCE = 256
"""Pairs of a forward pass of scoring, where a training batch is smaller: without gradients more fit."""


def scoring_loss(recipe: Recipe) -> str:
    """The loss whose terms are the scores: that of training, softmax for the reference-steered one."""
    return "siglip" if recipe.loss == "siglip" else "clip"


def embed(towers: Towers, batch: Batch, recipe: Recipe, *, low: bool = True) -> Embeddings:
    """The learner's embeddings of a batch as it is (no augmentation), in eval mode, without gradient.

    The precision is that of training. With `low` and a recipe with `flexi`, images are seen at low
    resolution. With `reuse_scoring` the graph is kept. The model is left in training mode.
    """
    model = towers.model.eval()
    with torch.set_grad_enabled(recipe.reuse_scoring):
        embeddings = _embed(towers, batch, recipe, low=low)
    model.train()
    return embeddings


def _embed(towers: Towers, batch: Batch, recipe: Recipe, *, low: bool) -> Embeddings:
    model, at_once = towers.model, max(SCORED_AT_ONCE, recipe.batch_size)
    images, texts = [], []
    for start in range(0, len(batch.rows_B), at_once):
        part = slice(start, start + at_once)
        pixels = to_input(towers, batch.images_BHWC[part])
        tokens = batch.tokens_BT[part].to(towers.device)
        with autocast(towers.device, recipe.precision):
            if recipe.flexi and low:
                image = encode_image_low(model, pixels, recipe.flexi)
            else:
                image = model.encode_image(pixels)  # type: ignore[operator]
            text = model.encode_text(tokens)  # type: ignore[operator]
        images.append(normalize(image.float(), dim=-1))
        texts.append(normalize(text.float(), dim=-1))
    bias = getattr(model, "logit_bias", None)
    return Embeddings(
        image_BD=torch.cat(images),
        text_BD=torch.cat(texts),
        scale=float(model.logit_scale.detach().exp()),  # type: ignore[operator]
        bias=0.0 if bias is None else float(bias.detach()),
    )
