"""Joint example selection on real images with planted wrong captions: what it saves, and what it costs.

    python benchmarks/jest.py --data DIR [--out OUT] [--parts cifar,flexi,flickr,clean] [--seeds 3] [--jobs 2]

DIR holds cifar10/train, cifar10/test and flickr8k as WebDataset tars. Finished runs stay in OUT and are not
run again, and a run that was killed goes on from its checkpoint; `--report` only prints what is finished. The
script prints the time that it expects: less than two hours for all parts on two idle cores.

cifar   75% wrong captions in the pool, 2,000 curated pairs whose captions are coarser than the pool's
        ("a cat or dog"), so that a learner can end above its reference. Steps until a method reaches the best
        accuracy of uniform training, which gets four times the steps and the best of three learning rates,
        the others one (the reference-steered loss two). Baselines: the curated pairs alone, curated pairs and
        pool together, and a filter of the pool by the same reference before training, told the true share of
        right captions.
flexi   the same pool with a vision transformer: scoring at low resolution, and what share of low-resolution
        training it needs.
flickr  Flickr8k with 60% wrong captions, five pairs an image: joint against independent selection on batches
        of distinct captions.
clean   CIFAR-10 without wrong captions: selection must not hurt.

FLOPs by kind are those of the trainer's ledger.

Every accuracy is that of a finished, cooled-down run of the length stated; no run is read off half-way.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from jest_plans import PARTS, Part, all_cells, first_cells, more_cells
from jest_report import report_part
from jest_runs import RESULT_FILE, Cell, make_reference, run_cell
from jest_worlds import World, plant
from thresher.models.towers import load_towers
from thresher.train.journal import LOG_FILE
from thresher.train.ledger import measure_costs
from thresher.train.schedule import num_candidates


def main() -> None:
    """Run the parts asked for and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10/ and flickr8k/")
    parser.add_argument("--out", type=Path, default=Path("runs/jest"), help="runs, ledgers and results")
    parser.add_argument("--parts", default=",".join(PARTS), help="which parts, in this order")
    parser.add_argument("--methods", help="only these methods, as the tables name them, with commas")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of every method")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one a core")
    parser.add_argument("--report", action="store_true", help="run nothing, print what is finished")
    arguments = parser.parse_args()
    names = arguments.parts.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"part {unknown[0]!r} is unknown; take some of {', '.join(PARTS)}")
    for name in names:
        part = PARTS[name](images_in(arguments.data), arguments.out.resolve())
        if not arguments.report:
            run_part(only(part, arguments.methods), seeds=arguments.seeds, jobs=arguments.jobs)
        print(report_part(part, arguments.seeds), flush=True)


def images_in(data: Path) -> Path:
    """The folder that holds `cifar10/`: `data`, or `images/` in it."""
    inner = data / "images"
    return (inner if inner.is_dir() else data).resolve()


def only(part: Part, methods: str | None) -> Part:
    """The part with the methods named; all of them for None."""
    if methods is None:
        return part
    cells = tuple(cell for cell in part.cells if cell.method in methods.split(","))
    return replace(part, cells=cells)


def run_part(part: Part, *, seeds: int, jobs: int) -> None:
    """Make the world of a part and run what is not finished, the first seed of all before the rest."""
    started = time.monotonic()
    plant(part.world)
    print(f"== {part.name}: reference", flush=True)
    make_reference(part.world, progress=lambda text: print(text, flush=True))
    announce(part, seeds, jobs)
    run_cells(part.world, first_cells(part), jobs, started)
    run_cells(part.world, more_cells(part, seeds), jobs, started)
    print(f"{part.name}: {(time.monotonic() - started) / 60:.1f} minutes in this call", flush=True)


def announce(part: Part, seeds: int, jobs: int) -> None:
    """Print the expected time of what is not finished, from its FLOPs and the speed of a finished run."""
    rate = flops_a_second(part.world)
    cells = [cell for cell in all_cells(part, seeds) if not is_finished(part.world, cell)]
    seconds = sum(cell_flops(cell) for cell in cells) / rate / jobs
    print(f"{part.name}: {len(cells)} runs, expected {seconds / 60:.0f} minutes on {jobs} cores", flush=True)


def flops_a_second(world: World) -> float:
    """FLOPs a second of the run that trained the reference, on this machine."""
    folder = next((world.folder / "runs").glob("reference-*"))
    points = json.loads((folder / RESULT_FILE).read_text())["points"]
    lines = (folder / LOG_FILE).read_text().splitlines()
    return float(points[-1]["flops"]["train"]) / sum(float(json.loads(line)["seconds"]) for line in lines)


def cell_flops(cell: Cell) -> float:
    """FLOPs of the trunk and all cool-downs of a cell."""
    recipe, towers = cell.recipe, load_towers(cell.recipe.model)
    costs = measure_costs(towers, int(towers.tokenize(["a"]).shape[1]), recipe)
    candidates = num_candidates(recipe, 0, 1 << 62)
    scored = costs.of_scoring(recipe, candidates) if recipe.selects else 0.0
    steps = cell.points[-1] + recipe.cooldown * sum(cell.points[:-1])
    return steps * (costs.of_batch(recipe, candidates) + scored)


def is_finished(world: World, cell: Cell) -> bool:
    """Whether a cell left its result."""
    return (world.folder / "runs" / cell.name / RESULT_FILE).exists()


def run_cells(world: World, cells: Sequence[Cell], jobs: int, started: float) -> None:
    """Run what is not finished, one process a core, in this order."""
    waiting = [cell for cell in cells if not is_finished(world, cell)]
    if not waiting:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(run_cell, world, cell): cell for cell in waiting}
        for future in as_completed(futures):
            say = _sentence(futures[future], future.result())
            print(f"[{time.monotonic() - started:6.0f} s] {say}", flush=True)


def _sentence(cell: Cell, result: dict[str, Any]) -> str:
    shown = []
    for point in result["points"]:
        metrics = point["metrics"]
        value = metrics.get("zeroshot_acc1", metrics.get("retrieval_mrr", float("nan")))
        shown.append(f"{point['steps']}: {value:.4f}")
    clean = result["points"][-1]["clean"]
    return f"{cell.method} lr {cell.recipe.lr:g} seed {cell.seed}: {', '.join(shown)}; clean {clean:.3f}"


if __name__ == "__main__":
    main()
