"""From the sections of a config to training recipes."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from thresher.config.sections import Filter, Probe, Train
from thresher.errors import InputError
from thresher.train.recipe import Recipe


def probe_recipe(probe: Probe, points: Sequence[int]) -> Recipe:
    """Recipe of every probe; `points` are the samples seen at the measuring points."""
    return _recipe(probe, round(probe.warmup * min(points)))


def train_recipe(train: Train, samples_seen: int) -> Recipe:
    """Recipe of a run of `samples_seen`."""
    recipe = _recipe(train, round(train.warmup * samples_seen))
    given = {name: getattr(train, name) for name in _OF_SELECTION}
    return replace(recipe, **given)


_OF_SELECTION = (
    *("select", "criterion", "filter_ratio", "filter_ratio_end", "chunks", "gain", "select_from"),
    *("select_to", "rho_gamma", "rho_temperature", "across", "flexi", "low_share", "reuse_scoring"),
)


def _recipe(section: Probe | Train, warmup_samples: int) -> Recipe:
    return Recipe(
        model=section.model,
        loss=section.loss,
        batch_size=section.batch_size,
        lr=section.lr,
        weight_decay=section.weight_decay,
        beta2=section.beta2,
        warmup_samples=warmup_samples,
        cooldown=section.cooldown,
        grad_clip=section.grad_clip,
        precision=section.precision,
        flip=section.flip,
        crop=section.crop,
    )


def filter_recipe(section: Filter) -> Recipe:
    """Recipe of the data filtering network."""
    return Recipe(
        model=section.model,
        batch_size=section.batch_size,
        lr=section.lr,
        weight_decay=section.weight_decay,
        warmup_samples=round(0.05 * section.samples_seen),
        flip=section.flip,
        crop=section.crop,
    )


def resolve_device(name: str) -> str:
    """`cpu` or `cuda[:n]`; `auto` takes a GPU when there is one.

    Raises:
        InputError: there is no such device, or not here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise InputError(f"device {name!r} is unknown; take auto, cpu, cuda or cuda:0")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch sees no CUDA device here; take cpu")
    return name
