"""Does the tool say so where its runs hold nothing to decide on, and name the winner where they do?

    python benchmarks/no_signal.py [--tables 500] [--first 0] [--worlds DIR]

Tables: three pools, four lengths, two seeds, a noise of .002. Without a gap all errors are .995 and noise;
with one, a pool lies 3 or 6 standard errors lower (of the difference of two means at the longest length,
over seeds), at errors that stay at .995 or fall from .9 to .6. Counted: tables whose pools the runs tell
apart, those for which the plan at ten times the longest run says "is best", and those for which the plan at
the longest run itself names the right pool.

With `--worlds DIR`, five worlds in which small models are trained: probes of four steps on 200 classes,
captions that were shuffled, pools that are alike, one pool, and pools that differ by a tenth of the noise of
a measurement. Every plan should say "nothing to decide" or "cannot tell". Training takes about five minutes;
what stands in DIR is kept.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.pipeline.synthetic import Drawn, draw_pairs, write_shards
from thresher.planning.laws.fit import fit
from thresher.planning.laws.signal import nothing_in
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.runs.record import Run

LENGTHS = (100_000, 400_000, 1_600_000, 6_400_000)
NOISE, SEEDS = 0.002, 2
GAPS = ((3, 0.995, 0.0), (6, 0.995, 0.0), (3, 0.9, 0.3), (6, 0.9, 0.3))
"""Standard errors by which a pool is better, the first error, and how far errors fall."""
WITH_GAP = 20


def table(seed: int, gap: float = 0.0, level: float = 0.995, fall: float = 0.0) -> list[Run]:
    """Runs of three pools; `p1` is better by `gap` standard errors at the longest length."""
    random = np.random.default_rng([seed, 11])
    step = gap * NOISE * np.sqrt(2 / SEEDS)
    runs = []
    for pool in range(3):
        for number, length in enumerate(LENGTHS):
            share = number / (len(LENGTHS) - 1)
            better = step * (1 + 3 * share) / 4 if pool == 1 else 0.0
            for run in range(SEEDS):
                error = level - fall * share - better + NOISE * random.standard_normal()
                runs.append(
                    Run(
                        pool=f"p{pool}",
                        unique_samples=10_000_000,
                        samples_seen=length,
                        error=float(min(1.0, error)),
                        metric="zeroshot_error",
                        seed=run,
                        final=True,
                    )
                )
    return runs


def noise_tables(count: int, first: int) -> list[str]:
    """What is said of tables of pure noise."""
    apart, best = 0, []
    for seed in range(first, first + count):
        laws = fit(table(seed))
        if nothing_in(laws.signal) is None:
            apart += 1
            (budget,) = make_plan(laws, [10 * LENGTHS[-1]]).budgets
            best += [seed] if budget.verdict == "best" else []
    return [
        f"{count} tables of noise: pools told apart in {apart} ({apart / count:.1%}), "
        f"'is best' in {len(best)} ({len(best) / count:.1%}) {best or ''}"
    ]


def gap_tables(first: int) -> list[str]:
    """How often the better pool is named."""
    lines = []
    for gap, level, fall in GAPS:
        said: Counter[tuple[str, str]] = Counter()
        for seed in range(first, first + WITH_GAP):
            (budget,) = make_plan(fit(table(seed, gap, level, fall)), [LENGTHS[-1]]).budgets
            said[budget.verdict, budget.best] += 1
        lines.append(
            f"a gap of {gap} standard errors, errors {level} to {level - fall:.3g}: named in "
            f"{said['best', 'p1']} of {WITH_GAP}; "
            + ", ".join(f"{verdict} {best} {times}" for (verdict, best), times in said.most_common())
        )
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Pairs, how they are scored, and how they are probed.

    Attributes:
        pairs: The pairs that are trained on.
        score: Of a planted quality and a number drawn between 0 and 1.
        edges: Where the pools are cut.
        samples: Measuring points of the probes.
        labels: Classes that each thing is split into, by lot.
        test: Images that the probes are measured on.
    """

    pairs: Callable[[], list[Drawn]]
    score: Callable[[str, float], float]
    edges: str
    samples: tuple[int, ...]
    labels: int = 1
    test: int = 600


def _mixed(count: int = 4800) -> list[Drawn]:
    return list(draw_pairs(count, 0, {"clean": 0.4, "vague": 0.3, "wrong": 0.3}))


def _shuffled() -> list[Drawn]:
    pairs = _mixed()
    order = np.random.default_rng(1).permutation(len(pairs))
    return [replace(pair, caption=pairs[other].caption) for pair, other in zip(pairs, order, strict=True)]


def _clean() -> list[Drawn]:
    return list(draw_pairs(4800, 0, {"clean": 1.0}))


def _by_quality(quality: str, lot: float) -> float:
    return {"clean": 2.0, "vague": 1.0}.get(quality, 0.0) + lot


def _by_lot(_: str, lot: float) -> float:
    return lot


def _hardly(quality: str, lot: float) -> float:
    return lot + (0.03 if quality == "clean" else 0.0)


THREE = "0.333,0.667,1"
WORLDS = {
    "200 classes, probes of 4 steps": World(
        pairs=_mixed, score=_by_quality, edges=THREE, samples=(128, 256), labels=9
    ),
    "shuffled captions": World(pairs=_shuffled, score=_by_quality, edges=THREE, samples=(2048, 4096, 8192)),
    "equal pools": World(pairs=_clean, score=_by_lot, edges=THREE, samples=(2048, 4096, 8192)),
    "one pool": World(pairs=_mixed, score=_by_quality, edges="1", samples=(2048, 4096, 8192)),
    "differences a tenth of the noise": World(
        pairs=_mixed, score=_hardly, edges=THREE, samples=(2048, 4096, 8192), test=60
    ),
}
CONFIG = """
workdir = "."
device = "cpu"
[shards]
paths = ["pool"]
[probe]
model = "thresher-tiny-32"
samples = {samples}
batch_size = 64
lr = 2e-3
[score]
scorers = ["caption"]
[cut]
by = "caption_score"
edges = [1.0]
[evaluate]
metric = "zeroshot_error"
zeroshot = ["test"]
[plan]
budgets = {budgets}
"""


def probed(world: World, folder: Path) -> list[str]:
    """The sentences of the plan of a world at its longest probe and at four times that."""
    plan, config = folder / "plan.json", folder / "config.toml"
    if not plan.exists():
        _write(world, folder)
        budgets = [world.samples[-1], 4 * world.samples[-1]]
        config.write_text(CONFIG.format(samples=list(world.samples), budgets=budgets))
        for words in (
            ["import-scores", folder / "table", "--out", folder / "scores"],
            ["cut", folder / "scores", "--by", "quality", "--edges", world.edges, "--out", folder / "pools"],
            ["probe", folder / "pools", "--config", config, "--out", folder / "runs.jsonl"],
            ["fit", folder / "runs.jsonl", "--pools", folder / "pools", "--out", folder / "laws.json"],
            ["plan", folder / "laws.json", "--pools", folder / "pools", "--out", plan]
            + [word for budget in budgets for word in ("--budget", budget)],
        ):
            command = [sys.executable, "-P", "-c", "from thresher.cli import main; main()", *map(str, words)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    budgets = json.loads(plan.read_text())["budgets"]
    return [f"{budget['samples_seen']}: {budget['verdict']}: {budget['decision']}" for budget in budgets]


def _write(world: World, folder: Path) -> None:
    random = np.random.default_rng(2)
    quality_of = write_shards(folder / "pool", iter(world.pairs()), prefix="pool")
    test = draw_pairs(world.test, 9, {"clean": 1.0})
    split = (replace(one, label=f"{one.label} {random.integers(world.labels)}") for one in test)
    write_shards(folder / "test", split if world.labels > 1 else test, prefix="test")
    scores = [
        world.score(quality, lot)
        for quality, lot in zip(quality_of.values(), random.random(len(quality_of)), strict=True)
    ]
    (folder / "table").mkdir(parents=True)
    pq.write_table(
        pa.table({"uid": list(quality_of), "quality": scores}), folder / "table" / "scores.parquet"
    )


def main() -> None:
    """Count and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument(
        "--tables",
        type=int,
        default=500,
        metavar="N",
        help="tables of noise; 0 for none, and none with a gap",
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="seed of the first table")
    parser.add_argument("--worlds", type=Path, metavar="DIR", help="folder of the worlds that are trained")
    arguments = parser.parse_args()
    if arguments.tables:
        lines = [*noise_tables(arguments.tables, arguments.first), *gap_tables(arguments.first)]
        print("\n".join(lines), flush=True)
    for number, (name, world) in enumerate(WORLDS.items() if arguments.worlds else ()):
        lines = probed(world, arguments.worlds / str(number))
        print("\n".join([name, *(f"   {line}" for line in lines)]), flush=True)


if __name__ == "__main__":
    main()
