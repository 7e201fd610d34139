"""What storing a reference's embeddings as fp16 or int8 changes in what is chosen, and what storing costs.

    python benchmarks/embedding_dtype.py --data DIR [--batches 40] [--repeats 3]

Trains a small reference on 2,000 pairs of CIFAR-10 (DIR/cifar10/train) and a learner for half as long on all,
then chooses b = 128 pairs jointly from super-batches of the others, with the reference's embeddings in fp32
and as `thresher embed` stores them. Printed is the share of equal picks with fp32, beside that of a reference
that computes in bf16, and that of other noise (two draws from the same scores). At last `thresher embed` is
timed against the bare forward pass of the same model, each run between two bare ones.

Expect about 5 minutes on two cores.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scoring_speed import BATCH, bare_rate
from thresher.data.images.decode import decode
from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.models.towers import Towers, embed_images, embed_texts, load_towers, resolve_precision
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.embeddings.stored import DTYPES, open_embeddings, pack, unpack
from thresher.selection.embeddings import Embeddings
from thresher.selection.keys import uid_keys
from thresher.selection.sub_batch import select
from thresher.train.job import Job, run_job
from thresher.train.recipe import Recipe

MODEL = "thresher-tiny-32"
CURATED = 2000
REFERENCE_SAMPLES, LEARNER_SAMPLES = 32_768, 16_384
CHOSEN = 128
RATIOS = (0.8, 0.9)


@dataclass(frozen=True, slots=True)
class World:
    """Pairs with the pixels of the model, and the two models."""

    shards: list[str]
    uids: list[str]
    captions: list[str]
    pixels: np.ndarray
    reference: Path
    learner: Path


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10/")
    parser.add_argument("--batches", type=int, default=40, help="super-batches of each size")
    parser.add_argument("--repeats", type=int, default=3, help="of the measurement of speed")
    arguments = parser.parse_args()
    shards = sorted(str(path) for path in (arguments.data / "cifar10" / "train").glob("*.tar"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {MODEL}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(shards, Path(folder))
        overlaps(world, Path(folder), arguments.batches)
        speed(world, Path(folder), arguments.repeats)


def make_world(shards: list[str], folder: Path) -> World:
    """Train reference and learner."""
    spec = load_towers(MODEL).spec
    pairs = [pair for shard in shards for pair in read_pairs(shard) if isinstance(pair, Pair)]
    uids = [pair.uid for pair in pairs]
    pixels = np.stack([decode(pair.image_bytes or b"", spec) for pair in pairs])
    started = time.perf_counter()
    recipe = Recipe(model=MODEL, batch_size=64, lr=2e-3, flip=True, crop=3)
    trained = {
        "reference": (uids[:CURATED], REFERENCE_SAMPLES),
        "learner": (uids, LEARNER_SAMPLES),
    }
    for seed, (name, (chosen, samples)) in enumerate(trained.items()):
        job = Job(
            shards=tuple(shards),
            uids=tuple(chosen),
            repeats=None,
            recipe=recipe,
            samples_seen=samples,
            seed=seed,
            tasks=None,
            device="cpu",
            cache=folder / "cache",
        )
        run_job(job, folder / name)
    print(f"trained both models in {time.perf_counter() - started:.0f} s", flush=True)
    captions = [pair.caption for pair in pairs]
    return World(shards, uids, captions, pixels, folder / "reference", folder / "learner")


def overlaps(world: World, folder: Path, batches: int) -> None:
    """Print the share of equal picks for every form of the reference's embeddings."""
    learner = embedded(world, world.learner, "fp32")
    exact = embedded(world, world.reference, "fp32")
    forms = {"fp32 in bf16 precision": embedded(world, world.reference, "bf16")}
    for dtype in DTYPES:
        out = embed_shards(
            *(world.shards, f"local-dir:{world.reference}", folder / dtype),
            dtype=dtype,
            device="cpu",
            precision="fp32",
        ).whole()
        forms[dtype] = stored_embeddings(world, out)
        # The same numbers, without the files: the difference is the storage, and nothing else.
        packed = torch.from_numpy(unpack(pack(exact.image_BD.numpy(), dtype)))
        assert torch.allclose(packed, forms[dtype].image_BD, atol=1e-2)
    for ratio in RATIOS:
        size = round(CHOSEN / (1 - ratio))
        shares = {name: [] for name in (*forms, "fp16 against int8", "other noise")}
        for step in range(batches):
            rows = (
                np.random.default_rng([1, step]).choice(len(world.uids) - CURATED, size, replace=False)
                + CURATED
            )
            picks = {
                name: chosen(world, learner, form, rows, step=step)
                for name, form in {"fp32": exact, **forms}.items()
            }
            picks["other noise"] = chosen(world, learner, exact, rows, step=step + batches)
            for name in (*forms, "other noise"):
                shares[name].append(len(picks["fp32"] & picks[name]) / CHOSEN)
            shares["fp16 against int8"].append(len(picks["fp16"] & picks["int8"]) / CHOSEN)
        print(
            f"f = {ratio}, B = {size}, b = {CHOSEN}, joint learnability, {batches} super-batches; "
            "equal picks with fp32:"
        )
        for name, found in shares.items():
            print(
                f"  {name:24} {np.mean(found):.4f} (least {min(found):.4f}, all equal in "
                f"{np.mean(np.array(found) == 1):.2f})",
                flush=True,
            )


def embedded(world: World, folder: Path, precision: str) -> Embeddings:
    """What a model says of all pairs, in fp32 numbers."""
    towers = load_towers(f"local-dir:{folder}")
    parts = [slice(start, start + 500) for start in range(0, len(world.uids), 500)]
    image = [embed_images(towers, world.pixels[part], precision=precision) for part in parts]
    text = [embed_texts(towers, world.captions[part], precision=precision) for part in parts]
    state = towers.model.state_dict()
    return Embeddings(
        image_BD=torch.from_numpy(np.concatenate(image)),
        text_BD=torch.from_numpy(np.concatenate(text)),
        scale=float(state["logit_scale"].exp()),
        bias=float(state["logit_bias"]),
    )


def stored_embeddings(world: World, folder: Path) -> Embeddings:
    """What a folder says of all pairs."""
    stored = open_embeddings(folder)
    places = stored.find(world.uids)
    return Embeddings(
        image_BD=torch.from_numpy(stored.image(places)),
        text_BD=torch.from_numpy(stored.text(places)),
        scale=stored.scale,
        bias=stored.bias,
    )


def chosen(
    world: World, learner: Embeddings, reference: Embeddings, rows: Sequence[int], *, step: int
) -> set[int]:
    """Rows that joint selection takes of a super-batch."""
    both = [
        Embeddings(image_BD=m.image_BD[rows], text_BD=m.text_BD[rows], scale=m.scale, bias=m.bias)
        for m in (learner, reference)
    ]
    keys = uid_keys([world.uids[row] for row in rows])
    return set(select(*both, keys, size=CHOSEN, step=step, seed=0).places_b.tolist())


def speed(world: World, folder: Path, repeats: int) -> None:
    """Print pairs a second of `thresher embed` beside the bare forward pass."""
    towers: Towers = load_towers(f"local-dir:{world.reference}")
    precision = resolve_precision(towers.device, "auto")
    for dtype in DTYPES:
        bare_rate(towers, towers.model, precision, BATCH)
        bare, made, ratios = [bare_rate(towers, towers.model, precision, 4096)], [], []
        for number in range(repeats):
            out = folder / f"{dtype}-{number}"
            summary = embed_shards(
                world.shards, f"local-dir:{world.reference}", out, dtype=dtype, device="cpu", batch_size=BATCH
            )
            made.append(summary.new_pairs / summary.seconds)
            bare.append(bare_rate(towers, towers.model, precision, 4096))
            ratios.append(made[-1] / statistics.harmonic_mean(bare[-2:]))
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / len(world.uids)
        print(
            f"{dtype} {precision}: thresher embed {statistics.median(made):.0f} pairs/s, bare forward pass "
            f"{statistics.median(bare):.0f} pairs/s, ratio {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}); {size:.0f} bytes a pair on disk",
            flush=True,
        )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
