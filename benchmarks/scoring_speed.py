"""Does scoring keep the model busy? `thresher score` against the bare forward pass and clip-retrieval.

    python benchmarks/scoring_speed.py --data DIR [--pairs 256] [--repeats 5] [--venv VENV]

Scores and embeds shards of Flickr8k (DIR/flickr8k) with ViT-B-32 (random weights) and with a tiny model, and
runs the same number of forward passes of the same model, precision and batch size on tensors that are ready:
of the model as `thresher score` runs it, of the same with captions padded to all 77 places, and of the one
that open_clip makes. Every scoring run is compared with the bare passes right before and right after it, as
the speed of a machine that others use as well drifts; the median of these ratios is printed.

With `--venv`, a virtual environment in which `pip install clip-retrieval "setuptools<81"` was run, every
round also has `clip-retrieval inference` embed the same shards with the same weights, batch size and number
of workers. Its rate is that of its own statistics (reading, embedding, writing; not the loading of the
model), and the cosines of its embeddings are compared with our scores. Expect 5 minutes, with `--venv` 10.
"""

import argparse
import itertools
import json
import logging
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.models.attention import skip_padding
from thresher.models.towers import Towers, autocast, load_towers, resolve_precision, to_input
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards

BATCH = 64
LARGE, TINY = "ViT-B-32", "thresher-tiny-32"
MOST_COSINES_DIFFER = 0.02  # bf16 here, fp32 and vectors stored as fp16 there


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with flickr8k/")
    parser.add_argument(
        "--pairs", type=int, default=256, help="pairs a run with ViT-B-32, half in each shard"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="decoding processes")
    parser.add_argument("--venv", type=Path, help="environment with clip-retrieval")
    parser.add_argument("--only-large", action="store_true", help="leave the tiny model out")
    arguments = parser.parse_args()
    shards = sorted((arguments.data / "flickr8k").glob("0000[0-5].tar"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {arguments.repeats} runs")
    with tempfile.TemporaryDirectory() as folder:
        half = arguments.pairs // 2
        few = [first_pairs(shards[n], Path(folder) / f"{n:05d}.tar", half) for n in range(2)]
        weights = Path(folder) / "weights.pt"
        torch.save(load_towers(LARGE, seed=0).model.state_dict(), weights)
        compare(LARGE, few, 2 * half, arguments, weights)
        if not arguments.only_large:
            compare(TINY, shards, 1000 * len(shards), arguments)


def compare(
    model: str, shards: list[Path], pairs: int, arguments: argparse.Namespace, weights: Path | None = None
) -> None:
    """Measure in turn and print the rates and their ratios."""
    loaded = str(weights) if weights else None
    towers, padded = (load_towers(model, seed=0, pretrained=loaded) for _ in range(2))
    skip_padding(towers.model)
    captions = first_captions(shards[0])
    logging.disable(logging.WARNING)  # that its weights are random, which is meant
    plain = open_clip.create_model(model).eval()
    logging.disable(logging.NOTSET)
    precision = resolve_precision(towers.device, "auto")
    num_bare = min(pairs, 2048)
    rivals = [(arguments.venv / "bin" / "clip-retrieval")] if arguments.venv and weights else []

    def bare_rate_of(net: torch.nn.Module, count: int = num_bare) -> float:
        return bare_rate(towers, net, precision, count, captions)

    bare_rate_of(towers.model, BATCH)
    bare = [bare_rate_of(towers.model)]
    found: dict[str, list[float]] = {
        name: [] for name in ("score", "embed", "waited", "bare", "padded", "plain", "rival")
    }
    for _ in range(arguments.repeats):
        found["plain"].append(bare_rate_of(plain))
        found["padded"].append(bare_rate_of(padded.model))
        bare.append(bare_rate_of(towers.model))
        rate, share, scores = score_rate(model, shards, pairs, arguments.workers, weights)
        bare.append(bare_rate_of(towers.model))
        found["score"].append(rate)
        found["embed"].append(embed_rate(model, shards, pairs, arguments.workers, weights))
        found["waited"].append(share)
        found["bare"].append(statistics.harmonic_mean(bare[-2:]))
        for command in rivals:
            found["rival"].append(rival_rate(command, shards, pairs, arguments.workers, weights, scores))
    middle = {name: statistics.median(values) for name, values in found.items() if values}
    print(
        f"{model} {precision}: thresher score {middle['score']:.1f} pairs/s (waiting for pixels "
        f"{100 * middle['waited']:.1f}% of the time), thresher embed {middle['embed']:.1f} pairs/s"
    )
    others = {
        "bare": "bare forward pass of the model as it is run here",
        "padded": "the same with padded captions",
        "plain": "bare forward pass of open_clip's model",
        "rival": "clip-retrieval inference, fp32",
    }
    for name, meant in others.items():
        if found[name]:
            ratios = [ours / theirs for ours, theirs in zip(found["score"], found[name], strict=True)]
            print(
                f"  {meant}: {middle[name]:.1f} pairs/s, ratio of score {statistics.median(ratios):.3f} "
                f"({min(ratios):.3f} to {max(ratios):.3f}), of embed {middle['embed'] / middle[name]:.3f}",
                flush=True,
            )


def score_rate(
    model: str, shards: list[Path], pairs: int, workers: int, weights: Path | None
) -> tuple[float, float, dict[str, float]]:
    """Pairs a second of a whole scoring run, reading and decoding included, loading the model not.

    The second figure is the share of that time for which the model had no pixels to work on, the third are
    the scores by key.
    """
    loaded = f",pretrained={weights}" if weights else ""
    spec = parse_scorer(f"clip:model={model},batch_size={BATCH}{loaded}")
    with tempfile.TemporaryDirectory() as out:
        summary = score_shards([str(shard) for shard in shards], out, [spec], workers=workers)
        parts = sorted(path for path in Path(out, "parts").glob("*.parquet") if "quarantine" not in path.name)
        table = pa.concat_tables([pq.read_table(part, columns=["key", "clip"]) for part in parts])
    assert summary.num_pairs == pairs, f"{summary.num_pairs} of {pairs} pairs scored"
    scores = dict(zip(table["key"].to_pylist(), table["clip"].to_pylist(), strict=True))
    return summary.new_pairs / summary.seconds, summary.waited_seconds / summary.seconds, scores


def embed_rate(model: str, shards: list[Path], pairs: int, workers: int, weights: Path | None) -> float:
    """Pairs a second of `thresher embed`, in the same sense."""
    with tempfile.TemporaryDirectory() as out:
        summary = embed_shards(
            [str(shard) for shard in shards],
            model,
            out,
            pretrained=str(weights) if weights else None,
            batch_size=BATCH,
            workers=workers,
        )
    assert summary.num_pairs == pairs, f"{summary.num_pairs} of {pairs} pairs embedded"
    return summary.new_pairs / summary.seconds


def rival_rate(
    command: Path, shards: list[Path], pairs: int, workers: int, weights: Path, scores: dict[str, float]
) -> float:
    """Pairs a second of `clip-retrieval inference`, by its own statistics; checks its embeddings."""
    with tempfile.TemporaryDirectory() as out:
        options = {
            "input_dataset": str(shards[0].parent / "{00000..00001}.tar"),
            "output_folder": out,
            "input_format": "webdataset",
            "batch_size": BATCH,
            "num_prepro_workers": workers,
            "enable_metadata": False,
            "clip_model": f"open_clip:{LARGE}/{weights}",
            "use_jit": False,
            "enable_wandb": False,
            "wds_number_file_per_input_file": pairs // len(shards),
            "write_batch_size": pairs,
        }
        line = [str(command), "inference", *(f"--{name}={value}" for name, value in options.items())]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        stats = sorted(Path(out, "stats").glob("[0-9]*.json"))
        if done.returncode or not stats:
            raise SystemExit(f"clip-retrieval failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        counted = [json.loads(path.read_text()) for path in stats]
        check_cosines(Path(out), scores)
    assert sum(part["sample_count"] for part in counted) == pairs
    return pairs / sum(part["total_duration"] for part in counted)


def check_cosines(out: Path, scores: dict[str, float]) -> None:
    """Stop unless the cosines of the embeddings that clip-retrieval wrote are near our scores."""
    for images in sorted(out.glob("img_emb/*.npy")):
        number = images.stem.rpartition("_")[2]
        image, text = (
            np.load(path).astype(np.float32) for path in (images, out / "text_emb" / f"text_emb_{number}.npy")
        )
        keys = pq.read_table(out / "metadata" / f"metadata_{number}.parquet")["image_path"].to_pylist()
        ours = np.array([scores[key] for key in keys])
        differ = np.abs((image * text).sum(axis=1) - ours).max()
        assert differ < MOST_COSINES_DIFFER, f"cosines differ by {differ:.4f}"


@torch.inference_mode()
def bare_rate(
    towers: Towers, model: torch.nn.Module, precision: str, pairs: int, captions: list[str]
) -> float:
    """Pairs a second of image and text tower of `model` on tensors that are ready."""
    size = towers.spec.size
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    images = to_input(towers, pixels)
    tokens = towers.tokenize(captions)
    started = time.perf_counter()
    with autocast(towers.device, precision):
        for _ in range(pairs // BATCH):
            model.encode_image(images)
            model.encode_text(tokens)
    return (pairs // BATCH) * BATCH / (time.perf_counter() - started)


def first_captions(shard: Path) -> list[str]:
    """The captions of the first batch of a shard."""
    pairs = (item for item in read_pairs(str(shard), with_images=False) if isinstance(item, Pair))
    return [pair.caption for pair in itertools.islice(pairs, BATCH)]


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
