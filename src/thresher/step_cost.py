"""What a step of a recipe costs, in uniform steps: a sentence before the run."""

import math
from dataclasses import replace

import torch

from thresher.errors import InputError
from thresher.models.flexi import check_flexi
from thresher.models.towers import Towers, context_length
from thresher.train.ledger import measure_costs, step_ratio
from thresher.train.recipe import Recipe


def cost_sentence(recipe: Recipe, towers: Towers) -> str:
    """FLOPs of a step in units of a uniform one, measured; with a low resolution as well where it could help.

    The selection's own products are not in it, nor is the reference, which is embedded once.
    """
    num_tokens = context_length(towers)
    ratio = step_ratio(recipe, measure_costs(towers, num_tokens, recipe))
    if not recipe.selects:
        what = f"training {recipe.low_share:g} of a batch with patches of {recipe.flexi} pixels"
        return f"{what} costs {ratio:.2f}x a uniform step with {recipe.model}"
    cached = " with a cached reference" if recipe.needs_reference else ""
    low = f", scored with patches of {recipe.flexi} pixels," if recipe.flexi else ""
    sentence = (
        f"{recipe.select} at f={recipe.filter_ratio:g}{cached}{low} costs {ratio:.1f}x a uniform step with "
        f"{recipe.model}"
    )
    patch = None if recipe.flexi else possible_low_patch(towers)
    if patch is None:
        return sentence
    flexi = replace(recipe, flexi=patch)
    cheaper = step_ratio(flexi, measure_costs(towers, num_tokens, flexi))
    return f"{sentence} ({cheaper:.1f}x with --flexi {patch})"


def possible_low_patch(towers: Towers) -> int | None:
    """The patch size nearest to twice that of the model with which it can work, None where there is none."""
    modules = dict(towers.model.named_modules())
    convolution = modules.get("visual.conv1") or modules.get("visual.trunk.patch_embed.proj")
    if not isinstance(convolution, torch.nn.Conv2d):
        return None
    own, size = int(convolution.kernel_size[0]), towers.spec.size
    larger = [patch for patch in range(own + 1, size // 2 + 1) if size % patch == 0]
    if not larger:
        return None
    patch = min(larger, key=lambda patch: abs(math.log(patch / (2 * own))))
    try:
        check_flexi(towers, patch)
    except InputError:
        return None
    return patch
