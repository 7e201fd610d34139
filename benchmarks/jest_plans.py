"""What `jest.py` runs: the worlds, methods, lengths and learning rates of its parts."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jest_runs import RESULT_FILE, Cell
from jest_worlds import World
from thresher.train.recipe import Recipe

RESNET, VIT = "thresher-tiny-32", "thresher-tiny-vit-32"
LOW_PATCH = 8
GAIN = 4.0
"""Logits are sums over what was chosen: a batch of 64 sums 500 times fewer terms than one of 32,768."""
WARMUP_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A table of `jest.py`.

    Attributes:
        name: as in `--parts`.
        world: the pool.
        metric: what counts, larger is better.
        also: further metrics that are shown.
        cells: every method with the first seed; one with several learning rates goes on with the best.
        ratios: method -> how many times fewer steps than uniform it should take.
    """

    name: str
    world: World
    metric: str
    also: tuple[str, ...]
    cells: tuple[Cell, ...]
    ratios: dict[str, float]


def first_cells(part: Part) -> list[Cell]:
    """Every method and learning rate with the first seed."""
    return list(part.cells)


def more_cells(part: Part, seeds: int) -> list[Cell]:
    """The other seeds of every method, at the learning rate that is best by the first."""
    kept = [cell for cell in part.cells if cell == best_cell(part, cell.method)]
    return [replace(cell, seed=seed) for seed in range(1, seeds) for cell in kept]


def all_cells(part: Part, seeds: int) -> list[Cell]:
    """As many runs as there will be, whichever learning rates turn out best."""
    methods = {cell.method: cell for cell in part.cells}
    return [*part.cells, *(replace(c, seed=seed) for seed in range(1, seeds) for c in methods.values())]


def best_cell(part: Part, method: str) -> Cell | None:
    """The first-seed cell of a method whose best length is best; None where one is not finished."""
    cells = [cell for cell in part.cells if cell.method == method]
    found = [read_values(part, cell) for cell in cells]
    if len(cells) > 1 and not all(found):
        return None
    return max(zip(cells, found, strict=True), key=lambda pair: max(pair[1], default=0.0))[0]


def read_values(part: Part, cell: Cell) -> list[float]:
    """The metric of a finished cell at each length; empty where it is not finished."""
    path = part.world.folder / "runs" / cell.name / RESULT_FILE
    if not path.exists():
        return []
    return [float(point["metrics"][part.metric]) for point in json.loads(path.read_text())["points"]]


def cifar_world(data: Path, out: Path, *, wrong: float = 0.75, name: str = "cifar") -> World:
    """CIFAR-10: 2,000 curated pairs with coarse captions, 8,000 in the pool."""
    return World(
        name=name,
        data=data,
        out=out,
        dataset="cifar10",
        wrong=wrong,
        num_curated=2_000,
        coarse=True,
        reference=recipe(RESNET, lr=2e-3),
        reference_steps=1_500,
        keep=0.25,
    )


def recipe(model: str, *, lr: float, batch_size: int = 64, **settings: Any) -> Recipe:
    """The recipe that all runs share, with `settings` changed."""
    return Recipe(
        model=model,
        lr=lr,
        batch_size=batch_size,
        warmup_samples=WARMUP_STEPS * batch_size,
        flip=True,
        crop=3,
        **settings,
    )


def selecting(select: str, ratio: float, **settings: Any) -> dict[str, Any]:
    """Settings of a method that selects."""
    return {"select": select, "filter_ratio": ratio, "gain": GAIN, **settings}


def cifar(data: Path, out: Path) -> Part:
    """75% wrong captions: every method and the baselines."""
    long, short = (400, 800, 1_600), (40, 80, 160, 240, 400)
    both, rate = (*short, 800, 1_600), 2e-3
    joint = {ratio: recipe(RESNET, lr=rate, **selecting("joint", ratio)) for ratio in (0.8, 0.9)}
    easy = selecting("joint", 0.8, criterion="easy-reference")
    cells = [
        *(_cell("uniform", recipe(RESNET, lr=lr), long) for lr in (1e-3, 5e-4, 2e-3)),
        _cell("joint .9", joint[0.9], short),
        _cell("joint .8", joint[0.8], short),
        _cell("independent .8", recipe(RESNET, lr=rate, **selecting("independent", 0.8)), short),
        _cell("independent .9", recipe(RESNET, lr=rate, **selecting("independent", 0.9)), short),
        _cell("offline filter", recipe(RESNET, lr=rate), both, "filtered"),
        _cell("curated only", recipe(RESNET, lr=rate), both, "curated"),
        _cell("curated + pool", recipe(RESNET, lr=1e-3), long, "both"),
        _cell("easy-reference .8", recipe(RESNET, lr=rate, **easy), short),
        *(_cell("reference-steered loss", recipe(RESNET, lr=lr, loss="rho"), both) for lr in (rate, 1e-3)),
    ]
    return Part(
        name="cifar",
        world=cifar_world(data, out),
        metric="zeroshot_acc1",
        also=(),
        cells=tuple(cells),
        ratios={"joint .8": 6.0, "joint .9": 10.0},
    )


def flexi(data: Path, out: Path) -> Part:
    """The same pool with a vision transformer that scores at low resolution."""
    long, short = (200, 400, 800), (25, 50, 100, 150, 200)
    rate = 2e-3

    def low(ratio: float, share: float) -> Recipe:
        settings = selecting("joint", ratio, flexi=LOW_PATCH, low_share=share)
        return recipe(VIT, lr=rate, **settings)

    cells = [
        *(_cell("uniform", recipe(VIT, lr=lr), long) for lr in (1e-3, 5e-4)),
        _cell("flexi .8", low(0.8, 0.5), short),
        _cell("flexi .9", low(0.9, 0.5), short),
        _cell("flexi .8 25% low", low(0.8, 0.25), short),
        _cell("flexi .8 0% low", low(0.8, 0.0), short),
        _cell("joint .8", recipe(VIT, lr=rate, **selecting("joint", 0.8)), short),
    ]
    return Part(
        name="flexi",
        world=cifar_world(data, out),
        metric="zeroshot_acc1",
        also=(),
        cells=tuple(cells),
        ratios={},
    )


def flickr(data: Path, out: Path) -> Part:
    """Distinct captions: Flickr8k with 60% wrong ones, five pairs an image."""
    points = (100, 200, 400)
    world = World(
        name="flickr",
        data=data,
        out=out,
        dataset="flickr8k",
        wrong=0.6,
        num_curated=2_000,
        coarse=False,
        reference=recipe(RESNET, lr=2e-3),
        reference_steps=1_500,
        keep=0.4,
    )
    rate = 2e-3

    def of(size: int, select: str) -> Recipe:
        return recipe(RESNET, lr=rate, batch_size=size, **selecting(select, 0.9))

    cells = [
        _cell("joint .9", recipe(RESNET, lr=rate, **selecting("joint", 0.9)), points),
        _cell("independent .9", recipe(RESNET, lr=rate, **selecting("independent", 0.9)), points),
        *(_cell("uniform", recipe(RESNET, lr=lr), points) for lr in (2e-3, 1e-3, 5e-4)),
        _cell("offline filter", recipe(RESNET, lr=rate), points, "filtered"),
        _cell("joint .9 of 256", of(256, "joint"), (50, 100, 200)),
        _cell("independent .9 of 256", of(256, "independent"), (50, 100, 200)),
        _cell("joint .9 of 512", of(512, "joint"), (50, 100)),
        _cell("independent .9 of 512", of(512, "independent"), (50, 100)),
    ]
    return Part(
        name="flickr",
        world=world,
        metric="retrieval_mrr",
        also=("retrieval_loss",),
        cells=tuple(cells),
        ratios={},
    )


def clean(data: Path, out: Path) -> Part:
    """No wrong captions: does selection hurt?"""
    points, rate = (80, 160, 400), 2e-3
    until = {"select_to": 160 * 64}
    cells = [
        _cell("uniform", recipe(RESNET, lr=rate), points),
        _cell("joint .8", recipe(RESNET, lr=rate, **selecting("joint", 0.8)), points),
        _cell("joint .9", recipe(RESNET, lr=rate, **selecting("joint", 0.9)), points),
        _cell("joint .8 gain 1", recipe(RESNET, lr=rate, **selecting("joint", 0.8, gain=1.0)), points),
        _cell("joint .8 until 160", recipe(RESNET, lr=rate, **until, **selecting("joint", 0.8)), points),
    ]
    return Part(
        name="clean",
        world=cifar_world(data, out, wrong=0.0, name="clean"),
        metric="zeroshot_acc1",
        also=(),
        cells=tuple(cells),
        ratios={},
    )


def _cell(method: str, made_by: Recipe, points: Sequence[int], source: str = "pool") -> Cell:
    return Cell(method=method, source=source, recipe=made_by, points=tuple(points), seed=0)


PARTS: dict[str, Callable[[Path, Path], Part]] = {
    "cifar": cifar,
    "flexi": flexi,
    "flickr": flickr,
    "clean": clean,
}
