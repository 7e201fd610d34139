"""How much of the bare training step's speed the trainer keeps with uniform batches.

    python benchmarks/training_overhead.py
    python benchmarks/training_overhead.py --model thresher-tiny-vit-32 --batch 256 --steps 20

The bare step is forward, loss, backward, clipping, optimiser and clearing of the gradients on tensors that
are made beforehand: no data, no log, nothing is written. The trainer draws the order, reads and converts the
pixels, keeps losses, ledger and log, and looks at the clock for checkpoints. Both train the same model on
the same number of pairs a step, in turn, in one process; the ratio is that of the medians over all rounds.
On a machine that others use as well, the ratio of the CPU time says more.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from thresher.models.towers import Towers, autocast, load_towers, resolve_precision, to_input
from thresher.train.distributed import SINGLE
from thresher.train.images import MappedImages
from thresher.train.loop import TrainingRun, make_optimizer, train
from thresher.train.losses import clamp_scale, forward_loss, make_loss, start_bias
from thresher.train.pairs import Pairs, tokenize
from thresher.train.recipe import Recipe
from thresher.train.schedule import Branch


def make_pairs(towers: Towers, count: int) -> Pairs:
    """Random pixels and numbered captions."""
    size = towers.spec.size
    images = np.random.default_rng(0).integers(0, 256, size=(count, size, size, 3), dtype=np.uint8)
    captions = [f"a picture of thing number {number}" for number in range(count)]
    return Pairs(
        images=MappedImages(images),
        tokens=tokenize(towers, captions),
        rows=np.arange(count),
        repeats=np.ones(count, dtype=np.int64),
    )


class Bare:
    """The training step on tensors that are there."""

    def __init__(self, recipe: Recipe, pairs: Pairs, device: str) -> None:
        self.recipe = recipe
        self.towers = load_towers(recipe.model, device=device, seed=0, sigmoid=recipe.loss == "siglip")
        start_bias(self.towers.model, recipe)
        self.loss = make_loss(recipe.loss, SINGLE)
        self.optimizer = make_optimizer(self.towers.model, recipe)
        rows = pairs.rows[: recipe.batch_size]
        self.images = to_input(self.towers, pairs.images.submit(rows)())
        self.tokens = pairs.tokens[torch.from_numpy(rows)].long().to(self.towers.device)

    def run(self, steps: int) -> None:
        """Train `steps` steps."""
        model, device = self.towers.model.train(), self.towers.device
        for _ in range(steps):
            with autocast(device, self.recipe.precision):
                value = forward_loss(model, self.loss, self.images, self.tokens)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.recipe.grad_clip)
            self.optimizer.step()
            clamp_scale(model)
            self.optimizer.zero_grad()
        value.item()


@dataclass
class Clocks:
    """Seconds on the wall and of all cores, summed over calls."""

    wall: float = 0.0
    cpu: float = 0.0

    def call(self, function: Callable[[], None]) -> None:
        """Call and time it."""
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def measure(bare: Bare, pairs: Pairs, steps: int, rounds: int, device: str) -> list[tuple[Clocks, Clocks]]:
    """Bare steps and the trainer's, in turn, within one run of the trainer; a first round is left out."""
    advance, found = TrainingRun.advance, []

    def in_turn(run: TrainingRun, *, to: int, branch: Branch | None) -> None:
        for stop in range(steps, to + 1, steps):
            alone, whole = Clocks(), Clocks()
            alone.call(lambda: bare.run(steps))
            whole.call(lambda stop=stop: advance(run, to=stop, branch=branch))
            found.append((alone, whole))

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(TrainingRun, "advance", in_turn):
        train(
            replace(bare.recipe, cooldown=1.0),
            pairs,
            [(rounds + 1) * steps * bare.recipe.batch_size],
            Path(folder),
            seed=0,
            evaluate=lambda _: {},
            ranks=SINGLE,
            device=device,
            checkpoint_seconds=1e9,
        )
    return found[1:]


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5, help="steps of each a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--augment", action="store_true", help="mirror and shift the trainer's images")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe(
        model=given.model,
        batch_size=given.batch,
        precision=given.precision,
        flip=given.augment,
        crop=4 * given.augment,
    )
    pairs = make_pairs(load_towers(given.model), 4 * given.batch)
    bare = Bare(recipe, pairs, given.device)
    rounds = measure(bare, pairs, given.steps, given.rounds, given.device)
    samples = given.steps * given.batch
    cpu = [sum(clocks.cpu for clocks in side) for side in zip(*rounds, strict=True)]
    rates = [[samples / clocks.wall for clocks in side] for side in zip(*rounds, strict=True)]
    result = {
        "model": given.model,
        "batch": given.batch,
        "precision": resolve_precision(torch.device(given.device), given.precision),
        "threads": given.threads,
        "pairs_per_second": {
            name: round(statistics.median(rate), 1)
            for name, rate in zip(("bare", "trainer"), rates, strict=True)
        },
        "ratio": round(statistics.median(rates[1]) / statistics.median(rates[0]), 3),
        "ratio_of_rounds": [round(alone.wall / whole.wall, 3) for alone, whole in rounds],
        "ratio_of_cpu_time": round(cpu[0] / cpu[1], 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
