"""The command lines that train on a subset with open_clip, and what they mean."""

import math
import shlex
from collections.abc import Mapping, Sequence

MAIN = "python -m open_clip_train.main"


def training_commands(
    kind: str,
    *,
    num_rows: int,
    num_shards: int,
    pairs_per_shard: int,
    samples_seen: int | None,
    weights: Mapping[str, float],
    counts: Mapping[str, int],
) -> list[str]:
    """Lines of a shell script, comments included, that reproduce the subset's training in open_clip.

    Args:
        kind: Format of the subset: npy, parquet or shards.
        num_rows: Draws in one pass over the subset, repeats counted.
        num_shards: Its shards, where it has any.
        pairs_per_shard: Pairs a shard.
        samples_seen: Budget; one pass without it.
        weights: Pool -> sampling weight, adding up to 1.
        counts: Pool -> number of its pairs.
    """
    lines = []
    if kind == "npy":
        lines += [
            "# DataComp's resharder copies the pairs into new shards, each as often as its uid stands here:",
            "python resharder.py --input-dir SHARDS --output-dir SUBSET --subset-file subset.npy",
        ]
    elif kind == "parquet":
        lines += ["# subset.parquet is a list; for open_clip, write the subset again as shards"]
    shards = brace(num_shards if kind == "shards" else math.ceil(num_rows / pairs_per_shard))
    seen = samples_seen or num_rows
    epochs = max(1, round(seen / num_rows))
    lines += [
        f"# one pass is {num_rows} samples; {epochs} x {seen // epochs} come nearest to the budget of {seen} "
        "samples seen; run in the folder of the shards, with your model, batch size and schedule added:",
        f"{MAIN} --dataset-type webdataset --train-data {shlex.quote(shards)} "
        f"--train-num-samples {seen // epochs} --epochs {epochs}",
    ]
    if len(weights) > 1:
        lines += _mix_lines(weights, counts, pairs_per_shard, seen)
    return lines


def brace(num_shards: int) -> str:
    """Brace pattern of so many shards of ours.

    >>> brace(12), brace(1)
    ('{00000000..00000011}.tar', '00000000.tar')
    """
    return "00000000.tar" if num_shards < 2 else f"{{00000000..{num_shards - 1:08d}}}.tar"


def _mix_lines(
    weights: Mapping[str, float], counts: Mapping[str, int], pairs_per_shard: int, samples_seen: int
) -> Sequence[str]:
    """The same mix drawn by open_clip itself from one shard set a pool."""
    num_shards = {name: math.ceil(counts[name] / pairs_per_shard) for name in weights}
    sources = "::".join(f"POOL{number}/{brace(num_shards[name])}" for number, name in enumerate(weights))
    factors = "::".join(f"{weights[name] / num_shards[name]:.6g}" for name in weights)
    pools = ", ".join(f"POOL{number} = {name}" for number, name in enumerate(weights))
    return [
        f"# or, with each pool as a shard set of its own ({pools}): open_clip draws shards with replacement, "
        "so a pair is seen a Poisson number of times; a factor is the pool's weight / its number of shards",
        f"{MAIN} --dataset-type webdataset --dataset-resampled --train-data {shlex.quote(sources)} "
        f"--train-data-upsampling-factors {shlex.quote(factors)} "
        f"--train-num-samples {samples_seen} --epochs 1",
    ]
