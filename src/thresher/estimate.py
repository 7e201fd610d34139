"""What the stages of a config will take: seconds on this machine, bytes on disk, FLOPs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from thresher.config.sections import Config
from thresher.data.exclude import read_exclude
from thresher.data.index import build_index
from thresher.data.shards import expand
from thresher.models.flops import forward_flops, training_flops
from thresher.models.towers import Towers, autocast, embed_images, embed_texts, load_towers, to_input
from thresher.pools.edges import ends_of_edges, names_of
from thresher.probe import jobs_of, plan_trials
from thresher.recipes import filter_recipe, resolve_device, train_recipe
from thresher.scores import parse_scorer
from thresher.train.distributed import SINGLE
from thresher.train.losses import forward_loss, make_loss
from thresher.trials import Trial

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
    costs = []
    if config.filter is not None:
        seen = config.filter.samples_seen
        costs.append(_training("filter", filter_recipe(config.filter).model, seen, config.filter.batch_size, device, 1))
    costs.append(_scoring(config, pairs, device))
    costs.append(StageCost(stage="cut", seconds=pairs * 1e-6, disk_bytes=pairs * ROW_BYTES, flops=0, note="rows only"))
    costs.append(_probing(config, pairs, device))
    costs.append(StageCost(stage="fit, plan", seconds=10, disk_bytes=10**6, flops=0, note="a few seconds"))
    if config.probe.verify:
        seen = 2 * len(config.probe.seeds) * max(config.plan.budgets)
        jobs = jobs_of(config.probe, device)
        costs.append(_training("verify", config.probe.model, seen, config.probe.batch_size, device, jobs))
    size = pairs * 16 if config.subset.format == "npy" else pairs * 50
    note = f"at most, as {config.subset.format}" if config.subset.format != "shards" else "plus the bytes of the pairs"
    costs.append(StageCost(stage="subset", seconds=pairs * 1e-6, disk_bytes=size, flops=0, note=note))
    if config.train is not None:
        seen = config.train.samples_seen or config.subset.budget or max(config.plan.budgets)
        recipe = train_recipe(config.train, seen)
        costs.append(_training("train", recipe.model, seen, recipe.batch_size, device, 1))
    return costs


def _training(
    stage: str, model: str, samples_seen: int, batch_size: int, device: str, jobs: int, pixels: int = 0
) -> StageCost:
    towers = load_towers(model, device=device, sigmoid=True)
    rate = _samples_per_second(_training_step(towers, min(batch_size, 64)), min(batch_size, 64), jobs)
    context = int(getattr(towers.tokenize, "context_length", 77))
    weights = sum(parameter.numel() for parameter in towers.model.parameters())
    return StageCost(
        stage=stage,
        seconds=samples_seen / rate,
        disk_bytes=weights * 16 + pixels * towers.spec.size**2 * 3,
        flops=training_flops(towers, context) * samples_seen,
        note=f"{samples_seen} samples at {rate:.0f}/s with {model}" + (f", {jobs} at a time" if jobs > 1 else ""),
    )


def _scoring(config: Config, pairs: int, device: str) -> StageCost:
    disk = pairs * ROW_BYTES
    seconds, flops, notes = pairs * 2e-5, 0.0, []
    for text in config.score.scorers:
        spec = parse_scorer(text, {"model": config.filter.model} if config.filter is not None else None)
        options = dict(spec.options)
        if spec.name == "clip":
            towers = load_towers(options.get("model", "ViT-B-32"), device=device)
            rate = _samples_per_second(_forward(towers, 32), 32, 1)
            seconds += pairs / rate
            flops += forward_flops(towers, int(getattr(towers.tokenize, "context_length", 77))) * pairs
            notes.append(f"{towers.name} at {rate:.0f} pairs/s")
    return StageCost(
        stage="score", seconds=seconds, disk_bytes=disk, flops=flops, note="; ".join([f"{pairs} pairs", *notes])
    )


def _probing(config: Config, pairs: int, device: str) -> StageCost:
    names = names_of(config.cut.edges, config.cut.thresholds or ())
    ends = [0, *ends_of_edges(config.cut.edges, pairs)] if not config.cut.thresholds else [0] * (len(names) + 1)
    sizes = {name: max(1, ends[place + 1] - ends[place]) for place, name in enumerate(names)}
    trials = plan_trials(names, config.probe, config.plan.budgets, sizes)
    seen = round(sum(_samples(trial, config.probe.cooldown) for trial in trials))
    jobs = jobs_of(config.probe, device)
    return _training("probe", config.probe.model, seen, config.probe.batch_size, device, jobs, pixels=pairs)


def _samples(trial: Trial, cooldown: float) -> float:
    """Samples trained on: the trunk once, and the cool-down of every point."""
    return trial.points[-1] * (1 - cooldown) + cooldown * sum(trial.points)


def _samples_per_second(step: Callable[[], object], batch_size: int, jobs: int) -> float:
    step()
    count, started = 0, time.monotonic()
    while (elapsed := time.monotonic() - started) < MEASURE_SECONDS:
        step()
        count += 1
    # Several small jobs share the cores; together they are seldom slower than one that uses all of them.
    return max(1, count) * batch_size / max(elapsed, 1e-9) * (1 if jobs == 1 else min(jobs, 1.5))


def _training_step(towers: Towers, batch_size: int) -> Callable[[], object]:
    images, tokens = _batch(towers, batch_size)
    loss = make_loss("siglip", SINGLE)
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


def _batch(towers: Towers, batch_size: int) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], torch.Tensor]:
    images = np.zeros((batch_size, towers.spec.size, towers.spec.size, 3), dtype=np.uint8)
    return images, towers.tokenize(["a caption of some words"] * batch_size).to(towers.device)
