"""Selection and training on several processes: the same picks, and what it costs.

    python benchmarks/ranks.py --data DIR [--steps 200] [--worlds 1 2 4]

First, one super-batch of random embeddings (B = 16,384, b = 3,277, d = 256) that lies on 1, 2 or 4 gloo
processes of one thread each: are the picks those of `select`, and how long does a selection take? Then
training on CIFAR-10 (DIR/cifar10/train) with joint selection at f = .8 by a reference that is trained here on
2,000 pairs: on several processes weights drift by rounding, so the share of equal picks with one process is
printed for each quarter of the run.

Expect about 8 minutes on two cores; four processes share them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.scores.embeddings.embed import embed_shards
from thresher.selection.across_ranks import select_across
from thresher.selection.choices import MODES
from thresher.selection.embeddings import Embeddings, take
from thresher.selection.sub_batch import select
from thresher.train import picks
from thresher.train.distributed import ranks_from_environment
from thresher.train.job import Job, run_job
from thresher.train.recipe import Recipe

CANDIDATES, SIZE, DIM = 16_384, 3_277, 256
REPEATS = 3
MODEL = "thresher-tiny-vit-32"
BATCH, CURATED = 64, 2_000


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10/")
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2, 4], help="numbers of processes")
    parser.add_argument("--worker", choices=["select", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shards = sorted(str(path) for path in (arguments.data / "cifar10" / "train").glob("*.tar"))
    if arguments.worker == "select":
        select_here(arguments.out)
    elif arguments.worker == "train":
        run_job(job(shards, arguments.out, arguments.steps), arguments.out / "model")
    else:
        print(f"torch {torch.__version__}, {os.cpu_count()} cores", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            compare_selections(arguments, Path(folder))
            compare_runs(arguments, shards, Path(folder))


def start(world: int, worker: str, out: Path, arguments: argparse.Namespace) -> float:
    """Run this script on `world` processes; the seconds that it takes."""
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(world), "--standalone"]
    command = [__file__, "--data", str(arguments.data), "--steps", str(arguments.steps)]
    subprocess.run(
        [*launch, *command, "--worker", worker, "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    return time.perf_counter() - started


def compare_selections(arguments: argparse.Namespace, folder: Path) -> None:
    """Print whether picks are those of `select`, and the seconds of a selection."""
    torch.set_num_threads(1)
    models, keys = super_batch()
    started = time.perf_counter()
    one = select(*models, keys, size=SIZE, step=0, seed=0).places_b.tolist()
    seconds = time.perf_counter() - started
    print(f"B = {CANDIDATES}, b = {SIZE}, d = {DIM}: select in one process {seconds:.2f} s", flush=True)
    for world in arguments.worlds:
        start(world, "select", folder / f"select-{world}", arguments)
        for mode in MODES:
            told = json.loads((folder / f"select-{world}" / f"{mode}.json").read_text())
            share = len(set(told["picks"]) & set(one)) / SIZE
            same = "the same picks in the same order" if told["picks"] == one else f"{share:.3f} equal picks"
            print(
                f"  {world} processes, {mode}: {told['seconds']:.2f} s, {same}; {told['moved']} rows move to "
                "balance",
                flush=True,
            )


def super_batch() -> tuple[list[Embeddings], torch.Tensor]:
    """Learner and reference that partly agree, and keys."""
    random = torch.Generator().manual_seed(0)
    models = []
    for scale, bias in ((10.0, -6.0), (14.0, -7.0)):
        image, text = torch.randn(2, CANDIDATES, DIM, generator=random)
        unit = [torch.nn.functional.normalize(x, dim=1) for x in (image, image + text)]
        models.append(Embeddings(image_BD=unit[0], text_BD=unit[1], scale=scale, bias=bias))
    return models, torch.randint(-(2**63), 2**63 - 1, (CANDIDATES,), generator=random)


def select_here(out: Path) -> None:
    """One process of a selection: its slice of the super-batch, and what came out."""
    models, keys = super_batch()
    with ranks_from_environment("cpu") as ranks:
        rows = torch.arange(CANDIDATES).tensor_split(ranks.world)[ranks.rank]
        starts = np.cumsum([0, *(len(p) for p in torch.arange(CANDIDATES).tensor_split(ranks.world))])
        own = [take(model, rows) for model in models]
        for mode in MODES:
            size = SIZE if mode == "global" else SIZE // ranks.world * ranks.world
            seconds = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                chosen = select_across(*own, keys[rows], size=size, step=0, seed=0, mode=mode)
                seconds.append(time.perf_counter() - started)
            found = starts[chosen.ranks_b.numpy()] + chosen.places_b.numpy()
            held = torch.bincount(chosen.ranks_b, minlength=ranks.world)
            if ranks.is_main:
                told = {
                    "picks": found.tolist(),
                    "seconds": min(seconds),
                    "moved": int((held - size // ranks.world).clamp(min=0).sum()) if ranks.world > 1 else 0,
                }
                (out / f"{mode}.json").write_text(json.dumps(told))


def job(shards: list[str], out: Path, steps: int) -> Job:
    """A run with joint selection, whose reference lies beside its folder."""
    recipe = Recipe(
        model=MODEL, batch_size=BATCH, lr=1e-3, precision="fp32", select="joint", filter_ratio=0.8
    )
    return Job(
        shards=tuple(shards),
        uids=None,
        repeats=None,
        recipe=recipe,
        samples_seen=steps * BATCH,
        seed=0,
        tasks=None,
        device="cpu",
        cache=out.parent / "cache",
        reference=out.parent / "reference",
    )


def compare_runs(arguments: argparse.Namespace, shards: list[str], folder: Path) -> None:
    """Print the share of picks that are those of one process."""
    uids = [pair.uid for pair in read_pairs(shards[0]) if isinstance(pair, Pair)][:CURATED]
    recipe = Recipe(model=MODEL, batch_size=BATCH, lr=1e-3)
    curated = Job(
        shards=tuple(shards),
        uids=tuple(uids),
        repeats=None,
        recipe=recipe,
        samples_seen=200 * BATCH,
        seed=1,
        tasks=None,
        device="cpu",
        cache=folder / "cache",
    )
    model = run_job(curated, folder / "curated")
    embed_shards(shards, f"local-dir:{model}", folder / "reference", device="cpu", precision="fp32")
    rows = {}
    for world in sorted({1, *arguments.worlds}):
        seconds = start(world, "train", folder / f"train-{world}", arguments)
        found = picks.read(folder / f"train-{world}" / "model")
        rows[world] = [set(pick.rows.tolist()) for pick in found]
        shares = [len(a & b) / len(b) for a, b in zip(rows[world], rows[1], strict=True)]
        quarters = ", ".join(f"{np.mean(part):.3f}" for part in np.array_split(shares, 4))
        print(
            f"training, {world} processes, {len(shares)} steps in {seconds:.0f} s: equal picks with one "
            f"process {np.mean(shares):.3f} (first step {shares[0]:.3f}; by quarter {quarters})",
            flush=True,
        )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
