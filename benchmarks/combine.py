"""Does a learned combination find wrong captions better than the better one of its scores?

Takes Flickr8k's labelled rows (16,321 human captions of 3,012 images, each a match or another image's) and
holds all their images out. Trains two small models on the rest of the real pairs: `clip` on a noisy pool
(40% wrong captions), `dfn`, a filter network, on a small curated set, five passes each. Scores the labelled
rows by both, and from their embeddings by s-clip-loss and normsim; learns a combination on one half of the
images and measures it on the other, for several splits. Standard errors take all rows of an image for one
draw.

    python benchmarks/combine.py --data DIR [--out OUT] [--splits 10] [--passes 5] [--quick]

DIR holds flickr8k, cifar10, noto_emoji, imagenet_sample and coco_mini. Expect about 3 minutes of processor
time, nearly all of it training; --quick trains half a pass and only shows that everything runs.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from combine_data import World, count_pairs, make_world
from thresher.scores.combine.combine import mean_of_ranks
from thresher.scores.combine.joined import Joined, join
from thresher.scores.combine.labels import Labels, read_labels
from thresher.scores.combine.learned import learn
from thresher.scores.combine.rank_shares import Auc, auc, gain
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.of_embeddings import parse_vector_scorer, score_embeddings
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.train.settings import Filter
from thresher.train.stage import train_network

MODEL = "thresher-tiny-32"
PASSES = 5
QUICK_PASSES = 0.5
NETWORKS = {"clip": "noisy", "dfn": "curated"}
"""Score -> the set that its model is trained on."""

COMBINATIONS = {
    "clip, dfn": ("clip", "dfn"),
    "with caption and image": ("clip", "dfn", "caption_score", "quality"),
    "s-clip-loss of both": ("clip_s", "dfn_s"),
    "with s-clip-loss": ("clip", "dfn", "clip_s", "dfn_s"),
    "with normsim": ("clip", "dfn", "clip_near", "dfn_near"),
    "everything": ("clip", "dfn", "clip_s", "dfn_s", "clip_near", "dfn_near", "caption_score", "quality"),
}
COLUMNS = COMBINATIONS["everything"]


@dataclass(frozen=True, slots=True)
class Result:
    """A combination over several splits: mean AUC and gain, their errors, splits with a gain above 0."""

    name: str
    value: float
    error: float
    gain: float
    gain_error: float
    won: int


def main() -> None:
    """Train, score, combine and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with flickr8k/, cifar10/, ...")
    parser.add_argument("--out", type=Path, default=Path("runs/combine"), help="shards, models and scores")
    parser.add_argument("--splits", type=int, default=10, help="halvings of the images")
    parser.add_argument("--seed", type=int, default=0, help="of the curated set and the wrong captions")
    parser.add_argument("--passes", type=float, default=PASSES, help="over the sets that are trained on")
    parser.add_argument("--quick", action="store_true", help="half a pass; shows only that it runs")
    arguments = parser.parse_args()
    passes = QUICK_PASSES if arguments.quick else arguments.passes
    started = time.process_time()
    out = arguments.out / f"seed{arguments.seed}-passes{passes:g}"
    world = make_world(arguments.data, arguments.out / f"world{arguments.seed}", arguments.seed)
    folders = [score_by(name, world, out, passes=passes) for name in NETWORKS]
    folders.append(score_plainly(world, out))
    joined, labels = join(folders, COLUMNS), read_labels(world.labels)
    report = measure(joined, labels, arguments.splits)
    (out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"{(time.process_time() - started) / 60:.1f} minutes of processor time in this process")


def score_by(name: str, world: World, out: Path, *, passes: float) -> Path:
    """Train the model of a score, embed the labelled rows and score them; what is there stays."""
    kind = NETWORKS[name]
    section = Filter(
        shards=tuple(getattr(world, kind)),
        model=MODEL,
        samples_seen=round(passes * count_pairs(getattr(world, kind))),
        batch_size=128,
        lr=2e-3,
        flip=True,
        crop=3,
    )
    started = time.process_time()
    network = train_network(section, out / name, device="cpu", cache=out / "cache")
    options = {"device": "cpu", "batch_size": 128}
    rows = embed_shards(world.labelled, f"local-dir:{network}", out / f"{name}-rows", **options).whole()
    target = embed_shards(world.curated, f"local-dir:{network}", out / f"{name}-target", **options).whole()
    specs = [
        parse_vector_scorer(text)
        for text in (f"clip:as={name}", f"s-clip-loss:as={name}_s", f"normsim:as={name}_near,target={target}")
    ]
    score_embeddings(rows, out / f"{name}-scores", specs)
    print(f"{name}: {section.samples_seen} samples of {kind}, {time.process_time() - started:.0f} s")
    return out / f"{name}-scores"


def score_plainly(world: World, out: Path) -> Path:
    """Scores that need no model."""
    specs = [parse_scorer("caption"), parse_scorer("image:as=quality")]
    score_shards(world.labelled, out / "plain", specs)
    return out / "plain"


def measure(joined: Joined, labels: Labels, splits: int) -> dict[str, object]:
    """Print the AUC of every score and of every combination; the same as a record."""
    order = np.argsort(joined.uids)
    rows = order[np.searchsorted(joined.uids[order], labels.uids)]
    values = joined.values_nC[rows]
    alone = {name: auc(values[:, n], labels.good, labels.groups) for n, name in enumerate(COLUMNS)}
    best = max(("clip", "dfn"), key=lambda name: alone[name].value)
    good, images = int(labels.good.sum()), len(np.unique(labels.groups))
    print(f"{len(rows)} labelled rows ({good} matches) of {images} images")
    for name, one in alone.items():
        print(f"  {name:30s} AUC {one.value:.4f} ({one.standard_error:.4f})")
    results = [
        combined(name, columns, values, labels, alone[best], splits) for name, columns in COMBINATIONS.items()
    ]
    pair = [COLUMNS.index(name) for name in COMBINATIONS["clip, dfn"]]
    ranked = auc(mean_of_ranks(values[:, pair]), labels.good, labels.groups)
    difference, error = gain(ranked, alone[best])
    print(
        f"combinations, and their gain over {best}; learned on one half of the images, measured on the other"
    )
    print(
        f"  {'mean of ranks of clip, dfn':30s} AUC {ranked.value:.4f} ({ranked.standard_error:.4f})  "
        f"gain {difference:+.4f} ({error:.4f})"
    )
    for one in results:
        print(
            f"  {one.name:30s} AUC {one.value:.4f} ({one.error:.4f})  gain {one.gain:+.4f} "
            f"({one.gain_error:.4f}), above 0 in {one.won} of {splits} splits"
        )
    first = results[0]
    holds = first.gain > 2 * first.gain_error
    print(f"the learned combination beats {best}: {'holds' if holds else 'does not hold'}")
    return {
        "alone": {name: [one.value, one.standard_error] for name, one in alone.items()},
        "combined": {one.name: [one.value, one.error, one.gain, one.gain_error] for one in results},
    }


def combined(
    name: str, columns: Sequence[str], values: np.ndarray, labels: Labels, best: Auc, splits: int
) -> Result:
    """One combination over the splits: each half is scored by the model of the other."""
    places = [COLUMNS.index(column) for column in columns]
    values = np.ascontiguousarray(values[:, places])
    found, gains = [], []
    for split in range(splits):
        side = np.random.default_rng(split).permutation(labels.groups.max() + 1) % 2
        scores = np.empty(len(values))
        for half in (0, 1):
            learned_from = side[labels.groups] != half
            model = learn(
                values,
                np.flatnonzero(learned_from),
                labels.taking(learned_from),
                dict.fromkeys(columns, ""),
            )
            scores[~learned_from] = model.scores(values[~learned_from])
        found.append(auc(scores, labels.good, labels.groups))
        gains.append(gain(found[-1], best))
    return Result(
        name,
        float(np.mean([one.value for one in found])),
        float(np.mean([one.standard_error for one in found])),
        float(np.mean([value for value, _ in gains])),
        float(np.mean([error for _, error in gains])),
        sum(value > 0 for value, _ in gains),
    )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
