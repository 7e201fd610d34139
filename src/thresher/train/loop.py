"""The training loop: one trunk at a constant rate, a cool-down branch for every measuring point.

Shapes: B candidates and b pairs of a batch (this rank's share), H x W pixels, T tokens.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.data.files.atomic import remove_leftovers
from thresher.data.files.record_file import from_record, own_file
from thresher.models.flexi import FlexiForward
from thresher.models.saved import save_tensors
from thresher.models.towers import Towers, autocast, load_towers
from thresher.scores.embeddings.stored import StoredEmbeddings
from thresher.train import picks
from thresher.train import state as checkpoint
from thresher.train.chooser import Chooser
from thresher.train.distributed import Ranks, barrier, mean, share, wrap
from thresher.train.journal import Journal
from thresher.train.ledger import measure_costs, num_low, peak_of
from thresher.train.loggers import Outlet
from thresher.train.losses import clamp_scale, forward, loss_of, start_bias
from thresher.train.pairs import Pairs, augment, uids_of
from thresher.train.recipe import Recipe
from thresher.train.schedule import Branch, branches, learning_rate, num_candidates
from thresher.train.start import check_low, check_recipe, check_reuse, make_chooser, start_state
from thresher.train.state import State

STATE_FILE = "state.pt"
Evaluate = Callable[[Towers], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A finished model: what it had seen, what it cost, how good it is.

    Attributes:
        samples_seen: pairs trained on, repeats counted.
        flops: of all kinds.
        metrics: by name.
        samples_scored: candidates that were scored.
        flops_by_kind: of scoring, reference, training and selecting.
    """

    samples_seen: int
    flops: float
    metrics: dict[str, float]
    samples_scored: int = 0
    flops_by_kind: dict[str, float] = field(default_factory=dict)


def measurements(path: Path, record: Mapping[str, Any]) -> tuple[Measurement, ...]:
    """What was measured in a finished run, by its record, which was read from `path`.

    Raises:
        InputError: it is damaged.
    """
    with own_file(path, "delete it, and the run is trained again"):
        if not record["measured"]:
            raise ValueError("measured is empty")
        return _measurements(record)


def _measurements(record: Mapping[str, Any]) -> tuple[Measurement, ...]:
    found: tuple[Measurement, ...] = from_record(
        tuple[Measurement, ...], record["measured"], place="measured"
    )
    return found


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
    reference: StoredEmbeddings | None = None,
    reference_flops: float = 0.0,
    outlets: Sequence[Outlet] = (),
) -> tuple[Towers, list[Measurement]]:
    """Train on `pairs` and measure at each of `points`.

    A killed run goes on from its last checkpoint in `folder`, in the trunk or in a branch; on a CPU with the
    same losses and the same choices to the last bit (same machine, same number of threads). The checkpoint
    stays until `clear`.

    Args:
        recipe: model, optimiser and selection settings.
        pairs: images, captions, and how often each pair stands in an epoch.
        points: samples seen (repeats counted) at which a cooled-down model is measured, ascending.
        folder: holds the checkpoint, the loss trace, the ledger, the picks and the log.
        seed: of weights, order, augmentation and choice.
        evaluate: called with the towers in eval mode at every point.
        ranks: this process among those of torchrun.
        device: `cpu` or `cuda[:n]`.
        checkpoint_seconds: time between checkpoints; a tenth of it before a branch or a measurement.
        reference: embeddings by a reference model, where the recipe needs them.
        reference_flops: what these cost, for the ledger.
        outlets: get the values of every line of the trace, on the first rank.

    Returns:
        The towers as they are after the last point, and a measurement a point.

    Raises:
        InputError: the loss became NaN, the batch does not divide by the ranks, the super-batch is larger
            than the data, or a pair has no reference embedding.
    """
    check_recipe(recipe, pairs, ranks, reference)
    towers = load_towers(
        recipe.model,
        pretrained=recipe.pretrained,
        device=device,
        seed=seed,
        sigmoid=recipe.loss == "siglip",
    )
    start_bias(towers.model, recipe)
    check_low(recipe, towers)
    check_reuse(recipe, towers, ranks)
    optimizer = make_optimizer(towers.model, recipe)
    state = start_state(recipe, pairs, towers, optimizer, points[-1], seed, ranks)
    chooser = make_chooser(recipe, pairs, towers, reference, seed, ranks)
    state.ledger.flops["reference"] = reference_flops
    journal = Journal(
        folder=folder,
        state=state,
        chooser=chooser,
        costs=measure_costs(towers, pairs.tokens.shape[1], recipe, ranks.world),
        peak_flops=peak_of(towers.device, ranks.world),
        outlets=outlets,
    )
    run = TrainingRun(recipe, pairs, points[-1], ranks, state, chooser, journal, checkpoint_seconds)
    plan = branches(points, recipe.batch_size, recipe.cooldown)
    run.resume(device, plan)
    if recipe.selects and ranks.is_main:
        picks.write_uids(folder, uids_of(pairs))
    for branch in plan[len(run.measured) :]:
        if run.trunk is None:  # else the checkpoint was taken in this branch
            run.advance(to=branch.start, branch=None)
            run.save(after_seconds=checkpoint_seconds / 10)
            run.trunk = state.snapshot() if branch is not plan[-1] else None
        run.advance(to=branch.end, branch=branch)
        run.save(after_seconds=checkpoint_seconds / 10)
        towers.model.eval()
        run.measured.append(_measurement(run, branch, evaluate(towers)))
        if run.trunk is not None:
            state.restore(run.trunk)
            run.trunk = None
            run.save(after_seconds=0)
    barrier(ranks)
    return towers, run.measured


def clear(folder: Path) -> None:
    """Remove the checkpoint of a run whose result is on disk, and what a killed one left of its own."""
    (folder / STATE_FILE).unlink(missing_ok=True)
    remove_leftovers(folder)  # its worker may have outlived the start of this run by a moment


def _measurement(run: "TrainingRun", branch: Branch, metrics: dict[str, float]) -> Measurement:
    ledger = run.state.ledger
    return Measurement(
        samples_seen=branch.end * run.recipe.batch_size,
        flops=ledger.total,
        metrics=metrics,
        samples_scored=ledger.samples_scored,
        flops_by_kind=dict(ledger.flops),
    )


@dataclass(slots=True)
class TrainingRun:
    """One run between its checkpoints; `trunk` is where it goes on after the branch that it is in."""

    recipe: Recipe
    pairs: Pairs
    samples_end: int
    ranks: Ranks
    state: State
    chooser: Chooser
    journal: Journal
    checkpoint_seconds: float
    measured: list[Measurement] = field(default_factory=list)
    trunk: dict[str, Any] | None = None
    saved: float = field(default_factory=time.monotonic)

    def advance(self, *, to: int, branch: Branch | None) -> None:
        """Train until step `to`, in the trunk or in `branch`; write a checkpoint from time to time."""
        recipe, state, towers = self.recipe, self.state, self.state.towers
        if state.step >= to:
            return
        model = wrap(self.trained_model(), self.ranks)
        low = num_low(recipe, self.ranks.world) // self.ranks.world if recipe.flexi else None
        warmup = recipe.warmup_samples // recipe.batch_size
        model.train()
        self.journal.begin()
        state.stream.restore(state.stream_state)
        feed = self.pairs.feed(
            state.stream, lambda rows: share(rows, self.ranks), self.num_candidates, state.step
        )
        for candidates, stream_state in feed:
            rate = learning_rate(state.step, recipe.lr, warmup, branch)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            choice = self.chooser.choose(candidates, state.step)
            # for augmentation; each step and rank has its own
            random = np.random.default_rng([self.chooser.seed, state.step, choice.batch.rows_B[0]])
            images = augment(towers, choice.batch.images_BHWC, recipe, random)
            tokens = choice.batch.tokens_BT.to(towers.device)
            with autocast(towers.device, recipe.precision):
                output = choice.output or forward(model, images, tokens, low)
                value = loss_of(output, state.loss, self.chooser.steering(choice))
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
            state.optimizer.step()
            clamp_scale(towers.model)
            state.optimizer.zero_grad()
            state.step, state.stream_state = state.step + 1, stream_state
            self.journal.add(mean(value.detach(), self.ranks), choice)
            if state.step >= to or self.journal.is_due:
                self.journal.write(choice, branch)
                self.save(after_seconds=self.checkpoint_seconds)
            if state.step >= to:
                break
        feed.close()
        self.journal.end()

    def trained_model(self) -> torch.nn.Module:
        """The model, or what embeds a share of a batch by it at low resolution."""
        model = self.state.towers.model
        return FlexiForward(model, self.recipe.flexi) if self.recipe.flexi else model

    def num_candidates(self, step: int) -> int:
        """Pairs that step number `step` draws, over all ranks."""
        return num_candidates(self.recipe, step, self.samples_end, self.ranks.world)

    def save(self, *, after_seconds: float) -> None:
        """Write a checkpoint, unless the last is younger; clocks differ, so no rank waits for another."""
        if not self.ranks.is_main or time.monotonic() - self.saved < after_seconds:
            return
        done = [asdict(measurement) for measurement in self.measured]
        place = {"measured": done, "lengths": self.journal.lengths(), "trunk": self.trunk}
        save_tensors(self.journal.folder / STATE_FILE, self.state.snapshot() | place)
        self.saved = time.monotonic()

    def resume(self, device: str, plan: Sequence[Branch]) -> None:
        """Go to the last checkpoint of the folder, or leave the run at its start where there is none."""
        path = self.journal.folder / STATE_FILE
        if not path.exists():
            self.journal.cut_back(dict.fromkeys(self.journal.files, 0))
            return
        with own_file(path, checkpoint.ANEW):
            content = checkpoint.load(path, torch.device(device))
            self.trunk, self.measured = content["trunk"], list(_measurements(content))
            if self.trunk is not None:
                self.state.restore(self.trunk)  # so that it is told now if that cannot be
            self.state.restore(content)
            if len(self.measured) < len(plan) and not self._is_before(plan[len(self.measured)], plan[-1]):
                raise ValueError(f"step {self.state.step} is not where {len(self.measured)} are measured")
            lengths = from_record(dict[str, int], content["lengths"], place="lengths")
            self.journal.cut_back(lengths)

    def _is_before(self, branch: Branch, last: Branch) -> bool:
        """Whether the run can go on to the end of `branch`, which it is in where it keeps a trunk."""
        in_branch = self.trunk is not None or (branch is last and self.state.step > branch.start)
        low, high = (branch.start, branch.end) if in_branch else (0, branch.start)
        return low <= self.state.step <= high


def make_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices and kernels only, as open_clip does."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), eps=1e-8, fused=True)
