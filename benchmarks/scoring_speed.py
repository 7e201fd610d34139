"""Does scoring keep the model busy? `thresher score` against the bare forward pass of the same model.

    python benchmarks/scoring_speed.py --data DIR [--pairs 256] [--repeats 5]

Scores shards of Flickr8k (DIR/flickr8k) with ViT-B-32 (random weights) and with a tiny model, and runs the
same number of forward passes of the same model, precision and batch size on tensors that are ready. Every
scoring run is compared with the bare passes right before and right after it, as the speed of a machine that
others use as well drifts; the median of these ratios is printed.
"""

import argparse
import os
import statistics
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from thresher.models.towers import Towers, autocast, load_towers, resolve_precision, to_input
from thresher.scores import parse_scorer
from thresher.scores.score import score_shards

BATCH = 64


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with flickr8k/")
    parser.add_argument("--pairs", type=int, default=256, help="pairs a run with ViT-B-32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="decoding processes")
    arguments = parser.parse_args()
    shards = sorted((arguments.data / "flickr8k").glob("0000[0-5].tar"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {arguments.repeats} runs")
    with tempfile.TemporaryDirectory() as folder:
        few = first_pairs(shards[0], Path(folder) / "few.tar", arguments.pairs)
        compare("ViT-B-32", [few], arguments.pairs, arguments.repeats, arguments.workers)
        compare("thresher-tiny-32", shards, 1000 * len(shards), arguments.repeats, arguments.workers)


def compare(model: str, shards: list[Path], pairs: int, repeats: int, workers: int) -> None:
    """Measure scoring and the bare forward pass in turn and print both rates and their ratio."""
    towers = load_towers(model, seed=0)
    precision = resolve_precision(towers.device, "auto")
    num_bare = min(pairs, 2048)
    bare_rate(towers, precision, BATCH)
    bare = [bare_rate(towers, precision, num_bare)]
    scored, waited, ratios = [], [], []
    for _ in range(repeats):
        rate, share = score_rate(model, shards, pairs, workers)
        bare.append(bare_rate(towers, precision, num_bare))
        scored.append(rate)
        waited.append(share)
        ratios.append(rate / statistics.harmonic_mean(bare[-2:]))
    print(
        f"{model} {precision}: thresher score {statistics.median(scored):.1f} pairs/s, bare forward pass "
        f"{statistics.median(bare):.1f} pairs/s, ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); the model waited for pixels "
        f"{100 * statistics.median(waited):.1f}% of the time",
        flush=True,
    )


def score_rate(model: str, shards: list[Path], pairs: int, workers: int) -> tuple[float, float]:
    """Pairs a second of a whole scoring run, reading and decoding included, loading the model not.

    The second figure is the share of that time for which the model had no pixels to work on.
    """
    spec = parse_scorer(f"clip:model={model},batch_size={BATCH}")
    with tempfile.TemporaryDirectory() as out:
        summary = score_shards([str(shard) for shard in shards], out, [spec], workers=workers)
    assert summary.num_pairs == pairs, f"{summary.num_pairs} of {pairs} pairs scored"
    return summary.new_pairs / summary.seconds, summary.waited_seconds / summary.seconds


@torch.inference_mode()
def bare_rate(towers: Towers, precision: str, pairs: int) -> float:
    """Pairs a second of image and text tower on tensors that are ready."""
    size = towers.spec.size
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    images = to_input(towers, pixels)
    tokens = towers.tokenize(["a dog runs over the grass with a red ball in its mouth"] * BATCH)
    started = time.perf_counter()
    with autocast(towers.device, precision):
        for _ in range(pairs // BATCH):
            towers.model.encode_image(images)
            towers.model.encode_text(tokens)
    return (pairs // BATCH) * BATCH / (time.perf_counter() - started)


def first_pairs(shard: Path, target: Path, pairs: int) -> Path:
    """A tar with the first `pairs` pairs of a shard."""
    with tarfile.open(shard) as source, tarfile.open(target, "w") as out:
        keys: set[str] = set()
        for member in source:
            key = member.name.partition(".")[0]
            if key not in keys and len(keys) == pairs:
                break
            keys.add(key)
            out.addfile(member, source.extractfile(member))
    return target


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
