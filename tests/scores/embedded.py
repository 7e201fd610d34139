"""Embeddings folders written by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.small_pool import caption, uid
from thresher.scores.embeddings.stored import EMBED, write_vectors
from thresher.sharded.parts import Stamp, write_stamped


def vectors(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    """Unit vectors [count, 2, dim]; image and text of a pair have something in common."""
    draw = np.random.default_rng(seed)
    common = draw.standard_normal((count, 1, dim))
    pairs = common + draw.standard_normal((count, 2, dim))
    return pairs / np.linalg.norm(pairs, axis=2, keepdims=True)


def write_embeddings(
    folder: Path,
    pairs: np.ndarray,
    *,
    numbers: Sequence[int] | None = None,
    parts: int = 1,
    fingerprint: str = "f",
    named: bool = True,
) -> Path:
    """A folder as `thresher embed` leaves it: pair n of `pairs` has uid(numbers[n])."""
    numbers = range(len(pairs)) if numbers is None else numbers
    (folder / "parts").mkdir(parents=True)
    for place, rows in enumerate(np.array_split(np.arange(len(pairs)), parts)):
        chosen = [numbers[row] for row in rows]
        names = {"key": [f"{n:09d}" for n in chosen], "caption": [caption(n) for n in chosen]}
        part = folder / "parts" / f"{place:05d}-s.parquet"
        stamp = Stamp(shard=f"{place}.tar", state="1-1", scorers={"model": "m"}, exclude="")
        write_vectors(part, pairs[rows].astype(np.float16))
        table = pa.table({"uid": [uid(n) for n in chosen], **(names if named else {})})
        write_stamped(part, table, stamp, EMBED)
    content = {
        "schema": "thresher.embeddings",
        "version": 1,
        "model": "by hand",
        "fingerprint": fingerprint,
        "precision": "fp32",
        "dtype": "fp16",
        "dim": pairs.shape[2],
        "scale": 20.0,
        "bias": 0.0,
        "flops_per_pair": 1.0,
        "counts": {"pairs": len(pairs)},
    }
    (folder / "embeddings.json").write_text(json.dumps(content))
    return folder
