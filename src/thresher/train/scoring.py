"""The learner's embeddings of a super-batch, from which its pairs are scored.

Shapes: B candidates, D dimensions.

Chosen pairs of many ranks: each trains on its share, and all know which pairs were chosen.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from thresher.models.flexi import encode_image_low
from thresher.models.towers import Towers, autocast, to_input
from thresher.selection.across_ranks import SelectionAcross
from thresher.selection.embeddings import Embeddings
from thresher.selection.even_ranks import balance
from thresher.selection.exchange import gather_rows, group_of
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


def moved(batch: Batch, across: SelectionAcross, keys: list[int], device: torch.device) -> Batch:
    """This rank's share of the chosen pairs, in an order that says nothing of their scores."""
    tensors = (torch.from_numpy(batch.rows_B), torch.from_numpy(batch.images_BHWC), batch.tokens_BT)
    rows, images, tokens = (one.cpu() for one in balance([one.to(device) for one in tensors], across))
    order = np.random.default_rng(keys).permutation(len(rows))
    return Batch(rows.numpy(), images.numpy(), tokens).take(order)


def chosen_rows(batch: Batch, across: SelectionAcross, device: torch.device) -> npt.NDArray[np.int64]:
    """Rows of all ranks' chosen pairs, in the order in which they were chosen."""
    count = len(batch.rows_B)  # the same on every rank
    rows: npt.NDArray[np.int64] = rows_of_all(batch, device)[
        (across.ranks_b * count + across.places_b).cpu().numpy()
    ]
    return rows


def rows_of_all(batch: Batch, device: torch.device) -> npt.NDArray[np.int64]:
    """Rows of the batches of all ranks, which are of one size."""
    group = group_of()
    if group.world == 1:
        return batch.rows_B
    rows_N1 = gather_rows(
        torch.from_numpy(batch.rows_B).to(device)[:, None], [len(batch.rows_B)] * group.world, group
    )
    return rows_N1.flatten().cpu().numpy()
