"""`meta.json` of a subset folder, and whether a stopped run may continue there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from thresher.curate.pools.rows import state_of
from thresher.curate.subset.training_commands import training_commands
from thresher.data.digests import digest, hasher
from thresher.data.files.atomic import write_json
from thresher.data.files.location import join, names_in
from thresher.data.files.provenance import claim
from thresher.data.uids import uid_words
from thresher.errors import InputError

META_FILE = "meta.json"


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
