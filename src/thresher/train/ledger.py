"""FLOPs of a run by kind: scoring, reference, training, selecting.

Also the cost of a step of a recipe, relative to a uniform step.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from thresher.budget import DEVICES
from thresher.data.files.record_file import from_record
from thresher.errors import InputError
from thresher.models.flexi import FlexiForward, check_flexi
from thresher.models.flops import forward_flops, loss_flops, training_flops
from thresher.models.towers import Towers, context_length
from thresher.tables import decimal
from thresher.train.recipe import Recipe
from thresher.train.schedule import filter_ratio

FILE = "ledger.jsonl"
KINDS = ("score", "reference", "train", "select")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """FLOPs of one model, measured.

    Attributes:
        forward: of embedding a pair.
        train: of training on a pair, without the loss.
        forward_low: of embedding a pair at the low resolution; 0 without one.
        train_low: of training on it.
        loss: of the loss of a whole batch.
        world: ranks that share a batch.
    """

    forward: float
    train: float
    forward_low: float
    train_low: float
    loss: float
    world: int = 1

    def of_batch(self, recipe: Recipe, num_candidates: int) -> float:
        """FLOPs of training on one batch, the share at low resolution included.

        Where the scores' graph of `num_candidates` is trained on, of the way back through all of it.
        """
        if recipe.reuse_scoring and num_candidates:
            return num_candidates * (self.train - self.forward) + self.loss
        low = num_low(recipe, self.world)
        return low * self.train_low + (recipe.batch_size - low) * self.train + self.loss

    def of_scoring(self, recipe: Recipe, num_candidates: int) -> float:
        """FLOPs of scoring a super-batch by the learner."""
        if recipe.criterion == "easy-reference":
            return 0.0
        return num_candidates * (self.forward_low if recipe.flexi else self.forward)


def num_low(recipe: Recipe, world: int = 1) -> int:
    """Pairs of a batch that are trained at low resolution, equally many on each of `world` ranks.

    At least one a rank where the share is above 0.

    >>> num_low(Recipe(model="ViT-B-32", batch_size=64, flexi=56, low_share=0.1), world=8)
    8
    """
    if not recipe.flexi or recipe.low_share == 0:
        return 0
    return world * max(1, round(recipe.low_share * recipe.batch_size / world))


def measure_costs(towers: Towers, num_tokens: int, recipe: Recipe, world: int = 1) -> Costs:
    """FLOPs of a model, counted on real passes; weights and random state stay as they are.

    Raises:
        InputError: it cannot work with the patch size `flexi` of the recipe.
    """
    with torch.no_grad():
        tokens = torch.ones(1, num_tokens, dtype=torch.long, device=towers.device)
        dim = towers.model.encode_text(tokens).shape[1]  # type: ignore[operator]
    if recipe.flexi:
        check_flexi(towers, recipe.flexi)
    low = replace(towers, model=FlexiForward(towers.model, recipe.flexi)) if recipe.flexi else None
    return Costs(
        forward=forward_flops(towers, num_tokens),
        train=training_flops(towers, num_tokens),
        forward_low=forward_flops(low, num_tokens) if low is not None else 0.0,
        train_low=training_flops(low, num_tokens) if low is not None else 0.0,
        # rho computes both sides' similarities, and those of the reference without gradients
        loss=loss_flops(recipe.batch_size, dim) * (2 + 2 / 3 if recipe.loss == "rho" else 1),
        world=world,
    )


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What a run has spent so far.

    Attributes:
        samples_seen: pairs trained on, repeats counted.
        samples_scored: candidates that were scored.
        flops: by kind, as in `KINDS`.
    """

    samples_seen: int = 0
    samples_scored: int = 0
    flops: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    @property
    def total(self) -> float:
        """FLOPs of all kinds."""
        return sum(self.flops.values())

    def add(self, *, trained: int, scored: int, train: float, score: float, select: float) -> None:
        """Add one step: pairs trained on and scored, and FLOPs."""
        self.samples_seen += trained
        self.samples_scored += scored
        self.flops["train"] += train
        self.flops["score"] += score
        self.flops["select"] += select

    def state(self) -> dict[str, Any]:
        """A copy for a checkpoint."""
        return {"seen": self.samples_seen, "scored": self.samples_scored, "flops": dict(self.flops)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was taken."""
        self.samples_seen, self.samples_scored = (
            from_record(int, state[name], place=name) for name in ("seen", "scored")
        )
        self.flops = {kind: from_record(float, state["flops"][kind], place=kind) for kind in KINDS}


def peak_flops(device_name: str) -> float | None:
    """Most FLOPs a second of a device, None where it is not in the table.

    >>> peak_flops("NVIDIA H100 80GB HBM3"), peak_flops("a CPU")
    (989000000000000.0, None)
    """
    names = sorted((name for name in DEVICES if name in device_name), key=len)
    return DEVICES[names[-1]] if names else None


def peak_of(device: torch.device, world: int) -> float | None:
    """Most FLOPs a second of `world` such devices, None where it is not known."""
    peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return None if peak is None else world * peak


def step_ratio(recipe: Recipe, costs: Costs) -> float:
    """FLOPs of a step of `recipe` in units of a uniform step at full resolution, before any schedule.

    The selection's own products are left out; they are below a hundredth.
    """
    ratio = filter_ratio(replace(recipe, select_from=0, select_to=None), 0, 1 << 62)
    candidates = round(recipe.batch_size / (1 - ratio)) if recipe.selects else 0
    step = costs.of_scoring(recipe, candidates) + costs.of_batch(recipe, candidates)
    return step / (recipe.batch_size * costs.train + costs.loss)


def cost_sentence(recipe: Recipe, towers: Towers) -> str:
    """FLOPs of a step in units of a uniform one, measured; with a low resolution as well where it could help.

    The selection's own products are not in it, nor is the reference, which is embedded once.
    """
    num_tokens = context_length(towers)
    ratio = step_ratio(recipe, measure_costs(towers, num_tokens, recipe))
    if not recipe.selects:
        what = f"training {decimal(recipe.low_share)} of a batch with patches of {recipe.flexi} pixels"
        return f"{what} costs {ratio:.2f}x a uniform step with {recipe.model}"
    cached = " with a cached reference" if recipe.needs_reference else ""
    low = f", scored with patches of {recipe.flexi} pixels," if recipe.flexi else ""
    sentence = (
        f"{recipe.select} at f={decimal(recipe.filter_ratio)}{cached}{low} costs {ratio:.1f}x a uniform step "
        f"with {recipe.model}"
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
