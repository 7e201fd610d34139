"""What a subset folder says about itself, and whether it may be gone on with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.writer import write_json
from thresher.errors import InputError
from thresher.scores.resume import shard_state
from thresher.subset.howto import how_to_train

META_FILE = "meta.json"


def describe(
    table: pa.Table,
    format: str,
    shards: Sequence[str],
    weights: Mapping[str, float] | None,
    samples_seen: int | None,
    plan: Mapping[str, Any] | None,
    pairs_per_shard: int,
) -> dict[str, Any]:
    """Content of `meta.json`: it follows from the arguments alone, so it can be written first."""
    repeats = repeats_of(table)
    names = table.column("pool").unique().to_pylist()
    pool_of_row = pc.index_in(table.column("pool"), value_set=pa.array(names)).to_numpy()
    unique = np.bincount(pool_of_row, minlength=len(names))
    rows = np.bincount(pool_of_row, weights=repeats, minlength=len(names)).astype(np.int64)
    num_rows = int(repeats.sum())
    if weights is None:
        weights = {name: int(count) / num_rows for name, count in zip(names, rows, strict=True)}
    counts = {name: int(count) for name, count in zip(names, unique, strict=True)}
    num_shards = -(-num_rows // pairs_per_shard) if format == "shards" else 0
    return {
        "schema": "thresher.subset",
        "version": 1,
        "format": format,
        "fingerprint": _fingerprint(table, format, shards, pairs_per_shard),
        "num_unique": table.num_rows,
        "num_rows": num_rows,
        "num_shards": num_shards,
        "pairs_per_shard": pairs_per_shard,
        "samples_seen": samples_seen,
        "plan": dict(plan) if plan is not None else None,
        "pools": [
            {
                "name": name,
                "weight": weights[name],
                "num_unique": counts[name],
                "num_rows": int(count),
                "mean_repeats": int(count) / counts[name],
            }
            for name, count in zip(names, rows, strict=True)
        ],
        "how_to_train": how_to_train(
            format,
            num_rows=num_rows,
            num_shards=num_shards,
            pairs_per_shard=pairs_per_shard,
            samples_seen=samples_seen,
            weights={name: weights[name] for name in names},
            counts=counts,
        ),
    }


def _fingerprint(table: pa.Table, format: str, shards: Sequence[str], pairs_per_shard: int) -> str:
    """Stands for everything that the bytes of the subset follow from."""
    digest = hashlib.blake2b(repr((format, pairs_per_shard)).encode(), digest_size=16)
    for batch in table.to_batches(max_chunksize=65_536):
        for column in batch.columns:
            digest.update("\n".join(map(str, column.to_pylist())).encode())
    if format == "shards":
        for shard in shards:
            digest.update(f"\n{shard} {_state(shard)}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _state(shard: str) -> str:
    try:
        return shard_state(shard)
    except OSError as error:
        raise InputError(f"{shard} cannot be read ({error.strerror or error}); check the path") from error


def claim(folder: Path, meta: Mapping[str, Any]) -> None:
    """Make sure that the folder is empty or holds this very subset, and say in it what it holds.

    Raises:
        InputError: it holds something else.
    """
    try:
        found = json.loads((folder / META_FILE).read_bytes())
    except FileNotFoundError:
        strays = sorted(path.name for path in folder.iterdir() if path.suffix in (".tar", ".npy", ".parquet"))
        if strays:
            raise InputError(
                f"{folder} holds {strays[0]} and no {META_FILE}, so it is not known what it belongs to; "
                "name an empty folder"
            ) from None
    except ValueError as error:
        raise InputError(f"{folder / META_FILE} is not JSON ({error}); name an empty folder") from error
    else:
        if not isinstance(found, dict) or found.get("fingerprint") != meta["fingerprint"]:
            raise InputError(
                f"{folder} holds another subset (other pairs, format or shards); name another folder, or "
                "delete this one"
            )
    write_json(folder / META_FILE, meta)


def repeats_of(table: pa.Table) -> npt.NDArray[np.int64]:
    """The column `repeats` of a manifest."""
    repeats: npt.NDArray[np.int64] = table.column("repeats").to_numpy().astype(np.int64)
    return repeats
