"""`meta.json` of a subset folder: what it holds, and the command lines that train on it with open_clip.

It also tells whether a stopped run may continue in the folder.
"""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from thresher.curate.pools.rows import state_of
from thresher.data.digests import digest, hasher
from thresher.data.files.atomic import write_json
from thresher.data.files.location import join, names_in
from thresher.data.files.provenance import claim
from thresher.data.uids import uid_words
from thresher.errors import InputError

META_FILE = "meta.json"
MAIN = "python -m open_clip_train.main"


class Draws(Protocol):
    """A manifest (columns `uid`, `pool`, `repeats`), as a table or read from the pools piece by piece."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""

    def to_batches(self) -> Iterable[pa.RecordBatch]:
        """Its rows, whenever they are asked for."""


def describe(
    draws: Draws,
    format: str,
    shards: Sequence[str],
    weights: Mapping[str, float] | None,
    samples_seen: int | None,
    plan: Mapping[str, Any] | None,
    pairs_per_shard: int,
) -> dict[str, Any]:
    """Content of `meta.json`: it follows from the arguments alone, so it can be written first.

    Raises:
        InputError: there are no pairs, or a shard cannot be looked at.
    """
    unique: Counter[str] = Counter()
    drawn: Counter[str] = Counter()
    pairs = hasher()
    for batch in draws.to_batches():
        pools = batch.column("pool").dictionary_encode()
        repeats = batch.column("repeats").to_numpy().astype(np.int64)
        names = pools.dictionary.to_pylist()
        codes = pools.indices.to_numpy()
        unique.update(dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True)))
        sums = np.bincount(codes, weights=repeats, minlength=len(names)).astype(np.int64)
        drawn.update(dict(zip(names, sums.tolist(), strict=True)))
        known = np.array([list(unique).index(name) for name in names], dtype=np.uint64)
        words = uid_words(batch.column("uid"))
        pairs.update(np.column_stack([words, known[codes], repeats.view(np.uint64)]).astype("<u8").data)
    if not unique:
        raise InputError("the subset holds no pairs; choose other pools")
    names, num_rows = list(unique), sum(drawn.values())
    if weights is None:
        weights = {name: drawn[name] / num_rows for name in names}
    num_shards = -(-num_rows // pairs_per_shard) if format == "shards" else 0
    return {
        "schema": "thresher.subset",
        "version": 1,
        "format": format,
        "pairs": digest(pairs.hexdigest(), names),
        "shards": digest(*state_of(shards)) if format == "shards" else None,
        "num_unique": sum(unique.values()),
        "num_rows": num_rows,
        "num_shards": num_shards,
        "pairs_per_shard": pairs_per_shard,
        "samples_seen": samples_seen,
        "plan": dict(plan) if plan is not None else None,
        "pools": [
            {
                "name": name,
                "weight": weights[name],
                "num_unique": unique[name],
                "num_rows": drawn[name],
                "mean_repeats": drawn[name] / unique[name],
            }
            for name in names
        ],
        "how_to_train": training_commands(
            format,
            num_rows=num_rows,
            num_shards=num_shards,
            pairs_per_shard=pairs_per_shard,
            samples_seen=samples_seen,
            weights={name: weights[name] for name in names},
            counts=unique,
        ),
    }


def claim_subset(folder: str, meta: Mapping[str, Any]) -> None:
    """Make sure that the folder is empty or holds this very subset, and say in it what it holds.

    Raises:
        InputError: it holds something else.
    """
    made_of = {name: meta[name] for name in ("format", "pairs_per_shard", "pairs", "shards")}
    if claim(folder, made_of, record=META_FILE, noun="subset") is None:
        strays = [name for name in names_in(folder) if name.endswith((".tar", ".npy", ".parquet"))]
        if strays:
            raise InputError(
                f"{folder} holds {strays[0]} and no {META_FILE}, so it is not known what it belongs to; "
                "name an empty folder"
            )
    write_json(join(folder, META_FILE), meta)


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
    if kind != "shards":
        lines += [
            f"# subset.{kind} is a list of uids; `thresher subset --format shards` copies their pairs into "
            "new shards, each as often as its uid stands there"
        ]
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
