"""From the sections of a config to training recipes."""

from collections.abc import Sequence

import torch

from thresher.config.sections import Filter, Probe, Train
from thresher.train.recipe import Recipe


def probe_recipe(probe: Probe, points: Sequence[int]) -> Recipe:
    """Recipe of every probe; `points` are the samples seen at the measuring points."""
    return _recipe(probe, round(probe.warmup * min(points)))


def train_recipe(train: Train, samples_seen: int) -> Recipe:
    """Recipe of a run of `samples_seen`."""
    return _recipe(train, round(train.warmup * samples_seen))


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
    """`cpu` or `cuda[:n]`; `auto` takes a GPU when there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
