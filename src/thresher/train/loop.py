"""The training loop: one trunk at a constant rate, a cool-down branch for every measuring point.

Shapes: B pairs a batch (this rank's share), H x W pixels, T tokens.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.data.writer import append_jsonl
from thresher.errors import InputError
from thresher.models.flops import training_flops
from thresher.models.towers import Towers, autocast, load_towers
from thresher.train import checkpoint, trace
from thresher.train.augment import augment
from thresher.train.distributed import Ranks, barrier, mean, share, wrap
from thresher.train.losses import clamp_scale, forward_loss, make_loss, start_bias
from thresher.train.pairs import Pairs
from thresher.train.recipe import Recipe
from thresher.train.schedule import Branch, branches, learning_rate
from thresher.train.stream import Stream

STATE_FILE = "state.pt"
LOG_FILE = "train.log.jsonl"
Evaluate = Callable[[Towers], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A finished model: what it had seen, what it cost, how good it is."""

    samples_seen: int
    flops: float
    metrics: dict[str, float]


@dataclass(slots=True, kw_only=True)
class State:
    """All that changes while training; what a checkpoint holds."""

    towers: Towers
    optimizer: torch.optim.Optimizer
    stream: Stream  # ahead of `step` by the batches that are being fetched
    stream_state: dict[str, Any]  # of the stream after `step` steps
    step: int = 0

    def snapshot(self) -> dict[str, Any]:
        """A copy that later training does not change."""
        return {
            "model": {k: v.clone() for k, v in self.towers.model.state_dict().items()},
            "optimizer": _clone(self.optimizer.state_dict()),
            "stream": self.stream_state,
            "step": self.step,
            "random": torch.get_rng_state(),
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Back to where `content` was taken; nothing of it is kept, so it can serve again."""
        self.towers.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(_clone(content["optimizer"]))
        self.stream_state = content["stream"]
        self.step = int(content["step"])
        if "random" in content:  # absent from checkpoints that know no dropout
            torch.set_rng_state(content["random"].cpu())


def train(
    recipe: Recipe,
    pairs: Pairs,
    points: Sequence[int],
    folder: Path,
    *,
    seed: int,
    evaluate: Evaluate,
    ranks: Ranks,
    device: str = "cpu",
    checkpoint_seconds: float = 60.0,
) -> tuple[Towers, list[Measurement]]:
    """Train on `pairs` and measure at each of `points`.

    A killed run goes on from its last checkpoint in `folder`, in the trunk or in a branch; on a CPU with the
    same losses to the last bit (same machine, same number of threads). The checkpoint stays until `clear`.

    Args:
        recipe: model and optimiser settings.
        pairs: images, captions, and how often each pair stands in an epoch.
        points: samples seen (repeats counted) at which a cooled-down model is measured, ascending.
        folder: holds the checkpoint, the loss trace and the log.
        seed: of weights, order and augmentation.
        evaluate: called with the towers in eval mode at every point.
        ranks: this process among those of torchrun.
        device: `cpu` or `cuda[:n]`.
        checkpoint_seconds: time between checkpoints; a tenth of it before a branch or a measurement.

    Returns:
        The towers as they are after the last point, and a measurement a point.

    Raises:
        InputError: the loss became NaN, or the batch does not divide by the ranks.
    """
    if recipe.batch_size % ranks.world:
        raise InputError(f"batch_size {recipe.batch_size} does not divide by {ranks.world} processes")
    sigmoid = recipe.loss == "siglip"
    towers = load_towers(
        recipe.model, pretrained=recipe.pretrained, device=device, seed=seed, sigmoid=sigmoid
    )
    start_bias(towers.model, recipe)
    stream = Stream(pairs.rows, pairs.repeats, recipe.batch_size, seed)
    state = State(
        towers=towers,
        optimizer=make_optimizer(towers.model, recipe),
        stream=stream,
        stream_state=stream.state(),
    )
    flops = training_flops(towers, pairs.tokens.shape[1])
    run = Run(recipe, pairs, folder, seed, ranks, state, checkpoint_seconds)
    run.resume(device)
    plan = branches(points, recipe.batch_size, recipe.cooldown)
    for branch in plan[len(run.measured) :]:
        if run.trunk is None:  # else the checkpoint was taken in this branch
            run.advance(to=branch.start, branch=None)
            run.save(after_seconds=checkpoint_seconds / 10)
            run.trunk = state.snapshot() if branch is not plan[-1] else None
        run.advance(to=branch.end, branch=branch)
        run.save(after_seconds=checkpoint_seconds / 10)
        towers.model.eval()
        seen = branch.end * recipe.batch_size
        run.measured.append(Measurement(samples_seen=seen, flops=flops * seen, metrics=evaluate(towers)))
        if run.trunk is not None:
            state.restore(run.trunk)
            run.trunk = None
            run.save(after_seconds=0)
    barrier(ranks)
    return towers, run.measured


def clear(folder: Path) -> None:
    """Remove the checkpoint of a run whose result is on disk."""
    (folder / STATE_FILE).unlink(missing_ok=True)


@dataclass(slots=True)
class Run:
    """One run between its checkpoints; `trunk` is where it goes on after the branch that it is in."""

    recipe: Recipe
    pairs: Pairs
    folder: Path
    seed: int
    ranks: Ranks
    state: State
    checkpoint_seconds: float
    measured: list[Measurement] = field(default_factory=list)
    trunk: dict[str, Any] | None = None
    saved: float = field(default_factory=time.monotonic)

    def advance(self, *, to: int, branch: Branch | None) -> None:
        """Train until step `to`, in the trunk or in `branch`; write a checkpoint from time to time."""
        recipe, state, towers = self.recipe, self.state, self.state.towers
        if state.step >= to:
            return
        model, loss = wrap(towers.model, self.ranks), make_loss(recipe.loss, self.ranks)
        warmup = recipe.warmup_samples // recipe.batch_size
        losses, started, first = [], time.monotonic(), state.step
        model.train()
        state.stream.restore(state.stream_state)
        feed = self.pairs.feed(state.stream, lambda rows: share(rows, self.ranks))
        for rows, images_BHWC, tokens_BT, stream_state in feed:
            rate = learning_rate(state.step, recipe.lr, warmup, branch)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            images = augment(
                towers, images_BHWC, recipe, np.random.default_rng([self.seed, state.step, rows[0]])
            )
            with autocast(towers.device, recipe.precision):
                value = forward_loss(model, loss, images, tokens_BT.to(towers.device))
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
            state.optimizer.step()
            clamp_scale(towers.model)
            state.optimizer.zero_grad()
            state.step, state.stream_state = state.step + 1, stream_state
            losses.append(mean(value.detach(), self.ranks))
            if state.step >= to or len(losses) >= trace.EVERY:
                self._write_trace(losses, branch)
                losses = []
                self.save(after_seconds=self.checkpoint_seconds)
            if state.step >= to:
                break
        feed.close()
        if self.ranks.is_main:
            seen = (state.step - first) * recipe.batch_size
            rate = seen / (time.monotonic() - started)
            append_jsonl(self.folder / LOG_FILE, {"step": state.step, "samples_per_second": round(rate, 1)})

    def _write_trace(self, losses: list[torch.Tensor], branch: Branch | None) -> None:
        values = torch.stack(losses).float().tolist()
        if not np.isfinite(values).all():
            raise InputError(
                f"the loss became {values[-1]} at step {self.state.step}; lower lr (now {self.recipe.lr:g}) "
                "or set precision to fp32"
            )
        if self.ranks.is_main:
            trace.append(self.folder, self.state.step, values, cooldown=branch.end if branch else None)

    def save(self, *, after_seconds: float) -> None:
        """Write a checkpoint, unless the last is younger; clocks differ, so no rank waits for another."""
        if not self.ranks.is_main or time.monotonic() - self.saved < after_seconds:
            return
        done = [asdict(measurement) for measurement in self.measured]
        place = {"measured": done, "trace": trace.length(self.folder), "trunk": self.trunk}
        checkpoint.save(self.folder / STATE_FILE, self.state.snapshot() | place)
        self.saved = time.monotonic()

    def resume(self, device: str) -> None:
        """Go to the last checkpoint of the folder, or leave the run at its start where there is none."""
        path = self.folder / STATE_FILE
        if not path.exists():
            trace.truncate(self.folder, 0)
            return
        content = checkpoint.load(path, torch.device(device))
        self.state.restore(content)
        self.measured, self.trunk = [Measurement(**m) for m in content["measured"]], content.get("trunk")
        trace.truncate(self.folder, int(content["trace"]))


def make_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices and kernels only, as open_clip does."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), eps=1e-8, fused=True)


def _clone(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {k: _clone(v) for k, v in value.items()}
    return [_clone(v) for v in value] if isinstance(value, list) else value
