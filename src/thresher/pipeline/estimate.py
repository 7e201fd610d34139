"""What a dry run says: what the stages of a config take, and whether its probes can determine its laws.

Costs are seconds on this machine, bytes on disk and FLOPs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from thresher.curate.pools.edges import ends_of_edges, names_of
from thresher.data.exclude import read_exclude
from thresher.data.index import build_index
from thresher.data.patterns import expand
from thresher.models.flops import forward_flops, training_flops
from thresher.models.towers import (
    Towers,
    autocast,
    context_length,
    embed_images,
    embed_texts,
    load_towers,
    resolve_device,
    to_input,
)
from thresher.pipeline.config import Config
from thresher.planning.plans.mixes import filled_pools
from thresher.scores.registry import parse_scorer
from thresher.selection.choices import LOSSES
from thresher.train.distributed import SINGLE
from thresher.train.ledger import measure_costs, step_ratio
from thresher.train.losses import forward_loss, make_loss
from thresher.train.probe.stage import jobs_of, plan_trials, recipe_of
from thresher.train.probe.trials import Trial
from thresher.train.recipe import Recipe
from thresher.train.schedule import whole_steps
from thresher.train.settings import make_recipe

ROW_BYTES = 200  # a row of the score table or of the index, caption included
MEASURE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """One line of the dry run; `note` says what the numbers rest on."""

    stage: str
    seconds: float
    disk_bytes: int
    flops: float
    note: str


def estimate(config: Config) -> list[StageCost]:
    """Cost of each stage, from the number of pairs and a second of each model on this machine.

    The index of the shards is built (and kept) to count the pairs. Decoding is not in the seconds of
    training, since images are decoded once.
    """
    shards = expand(config.shards.paths)
    exclude = read_exclude(config.shards.exclude)
    pairs = len(build_index(shards, cache=config.workdir / "cache" / "index", exclude=exclude))
    device = resolve_device(config.device)
    check_config(config, pairs)
    costs = []
    if config.filter is not None:
        cache = config.workdir / "cache" / "index"
        curated = len(build_index(expand(config.filter.shards), cache=cache, exclude=exclude))
        recipe = make_recipe(config.filter, config.filter.samples_seen)
        costs.append(_training("filter", recipe, config.filter.samples_seen, device, pixels=curated))
    costs.append(_scoring(config, pairs, device))
    costs.append(
        StageCost(stage="cut", seconds=pairs * 1e-6, disk_bytes=pairs * ROW_BYTES, flops=0, note="rows only")
    )
    costs.append(_probing(config, pairs, device))
    costs.append(StageCost(stage="fit, plan", seconds=10, disk_bytes=10**6, flops=0, note="a few seconds"))
    if config.probe.verify:
        seen = 2 * len(config.probe.seeds) * max(config.plan.budgets)
        recipe = make_recipe(config.probe, min(config.plan.budgets))
        costs.append(_training("verify", recipe, seen, device, jobs=jobs_of(config.probe, device)))
    size = pairs * 16 if config.subset.format == "npy" else pairs * 50
    note = f"at most, as {config.subset.format}"
    if config.subset.format == "shards":
        note = "plus the bytes of the pairs"
    costs.append(StageCost(stage="subset", seconds=pairs * 1e-6, disk_bytes=size, flops=0, note=note))
    if config.train is not None:
        seen = config.train.samples_seen or config.subset.budget or max(config.plan.budgets)
        recipe = make_recipe(config.train, seen)
        limit = config.train.cache_limit
        costs.append(_training("train", recipe, seen, device, pixels=pairs, limit=limit))
    return costs


def _training(
    stage: str,
    recipe: Recipe,
    samples_seen: int,
    device: str,
    *,
    jobs: int = 1,
    pixels: int = 0,
    limit: int = 4 << 30,
) -> StageCost:
    """Cost of training; `pixels` counts the images that are decoded and kept, within `limit` bytes."""
    towers = load_towers(recipe.model, device=device, sigmoid=recipe.loss == "siglip")
    batch_size = min(recipe.batch_size, 64)
    loss = recipe.loss if recipe.loss in LOSSES else "clip"  # rho, whose products are those of clip
    rate = _samples_per_second(_training_step(towers, loss, batch_size), batch_size) * speedup(jobs, device)
    context = context_length(towers)
    uniform_steps = 1.0
    if recipe.selects or recipe.flexi:
        uniform_steps = step_ratio(recipe, measure_costs(towers, context, recipe))
    weights = sum(parameter.numel() for parameter in towers.model.parameters())
    seen = whole_steps(samples_seen, recipe.batch_size) * recipe.batch_size
    return StageCost(
        stage=stage,
        seconds=samples_seen * uniform_steps / rate,
        disk_bytes=weights * 16 + kept_bytes(pixels, towers.spec.size, limit),
        flops=training_flops(towers, context) * samples_seen * uniform_steps,
        note=f"{seen} samples at {rate / uniform_steps:.0f}/s with {recipe.model}"
        + (f", {jobs} at a time" if jobs > 1 else ""),
    )


def kept_bytes(num_images: int, size: int, limit: int) -> int:
    """Disk for decoded images of `size` pixels a side; 0 above the limit, where none are kept."""
    needed = num_images * size**2 * 3
    return needed if needed <= limit else 0


def speedup(jobs: int, device: str) -> float:
    """How much faster jobs at the same time are than one.

    Each GPU has a job of its own. Jobs on a CPU share its cores: together they are seldom slower than one
    that uses all of them.
    """
    if device.startswith("cuda"):
        return min(jobs, max(1, torch.cuda.device_count()))
    return 1 if jobs == 1 else min(jobs, 1.5)


def _scoring(config: Config, pairs: int, device: str) -> StageCost:
    disk = pairs * ROW_BYTES
    seconds, flops, notes = pairs * 2e-5, 0.0, []
    for text in config.score.scorers:
        spec = parse_scorer(text, {"model": config.filter.model} if config.filter is not None else None)
        options = dict(spec.options)
        if spec.name in ("clip", "dfn"):
            own = options.get("model", "ViT-B-32")
            network = options.get("network", "").removeprefix("local-dir:")
            towers = load_towers(f"local-dir:{network}" if network else own, device=device)
            rate = _samples_per_second(_forward(towers, 32), 32)
            seconds += pairs / rate
            flops += forward_flops(towers, context_length(towers)) * pairs
            notes.append(f"{towers.name} at {rate:,.0f} pairs/s")
    return StageCost(
        stage="score",
        seconds=seconds,
        disk_bytes=disk,
        flops=flops,
        note="; ".join([f"{pairs} pairs", *notes]),
    )


def _probing(config: Config, pairs: int, device: str) -> StageCost:
    sizes = expected_sizes(config, pairs)
    trials = plan_trials(list(sizes), config.probe, config.plan.budgets, sizes)
    seen = round(sum(_samples(trial, config.probe.cooldown) for trial in trials))
    recipe = recipe_of(trials, config.probe)
    jobs, limit = jobs_of(config.probe, device), config.probe.cache_limit
    pooled = sum(sizes.values())
    return _training("probe", recipe, seen, device, jobs=jobs, pixels=pooled, limit=limit)


def _samples(trial: Trial, cooldown: float) -> float:
    """Samples trained on: the trunk once, and the cool-down of every point."""
    return trial.points[-1] * (1 - cooldown) + cooldown * sum(trial.points)


def _samples_per_second(step: Callable[[], object], batch_size: int) -> float:
    step()
    count, started = 0, time.monotonic()
    while (elapsed := time.monotonic() - started) < MEASURE_SECONDS:
        step()
        count += 1
    return max(1, count) * batch_size / max(elapsed, 1e-9)


def _training_step(towers: Towers, loss_name: str, batch_size: int) -> Callable[[], object]:
    images, tokens = _batch(towers, batch_size)
    loss = make_loss(loss_name, SINGLE)
    optimizer = torch.optim.AdamW(towers.model.parameters(), fused=True)
    pixels = to_input(towers, images)

    def step() -> None:
        with autocast(towers.device, "auto"):
            value = forward_loss(towers.model, loss, pixels, tokens)
        torch.autograd.backward(value)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _forward(towers: Towers, batch_size: int) -> Callable[[], object]:
    images, tokens = _batch(towers, batch_size)
    captions: Sequence[str] = ["a caption of some words"] * len(tokens)
    return lambda: (embed_images(towers, images), embed_texts(towers, captions))


def _batch(
    towers: Towers, batch_size: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], torch.Tensor]:
    images = np.zeros((batch_size, towers.spec.size, towers.spec.size, 3), dtype=np.uint8)
    return images, towers.tokenize(["a caption of some words"] * batch_size).to(towers.device)


def expected_sizes(config: Config, num_pairs: int) -> dict[str, int]:
    """Pairs in each pool that the edges of a config cut, best first; pools of thresholds count as equal."""
    if config.cut.thresholds:
        names = names_of((), config.cut.thresholds)
        return dict.fromkeys(names, max(1, num_pairs // len(names)))
    ends = [0, *ends_of_edges(config.cut.edges, num_pairs)]
    names = names_of(config.cut.edges, ())
    return {name: max(1, ends[place + 1] - ends[place]) for place, name in enumerate(names)}


def check_config(config: Config, num_pairs: int) -> None:
    """Refuse, before the pairs are scored, what would fail after the probes; raises as `check_probes`."""
    check_probes(config, expected_sizes(config, num_pairs))


def check_probes(config: Config, sizes: Mapping[str, int]) -> None:
    """Refuse what would fail only after the probes are trained; `sizes` are pairs by pool, best first.

    Raises:
        InputError: a check mix of a pool that is not cut, or pools without a pair.
    """
    filled_pools(list(sizes), sizes)
    plan_trials(list(sizes), config.probe, config.plan.budgets, sizes)
