"""Planted clusters with a long tail, as points and as an embeddings folder."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from thresher.curate.balance.points import Points, points_in
from thresher.data.uids import uid_bytes
from thresher.scores.embeddings.stored import EMBED, write_vectors
from thresher.sharded.parts import Stamp, write_stamped

LONG_TAIL = (2000, 1200, 700, 400, 240, 140, 80, 50, 30, 20)
"""Sizes of classes, 100 to 1."""


def planted_vectors(
    sizes: tuple[int, ...] = LONG_TAIL, dim: int = 16, spread: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around a random centre a class, in random order, and the class of each."""
    draw = np.random.default_rng(7)
    classes = draw.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = draw.standard_normal((len(sizes), dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = centres[classes] + spread * draw.standard_normal((len(classes), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), classes


def planted_uids(count: int) -> list[str]:
    """Uids whose order is not that of their numbers."""
    return [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}" for number in range(count)]


def planted_points(
    sizes: tuple[int, ...] = LONG_TAIL, dim: int = 16, spread: float = 0.15
) -> tuple[Points, np.ndarray]:
    vectors, classes = planted_vectors(sizes, dim, spread)
    return points_in(vectors, uid_bytes(planted_uids(len(vectors)))), classes


def write_embeddings(folder: Path, image: np.ndarray, uids: list[str], parts: int = 1) -> Path:
    """A folder as `thresher embed` leaves it; texts are the images backwards."""
    (folder / "parts").mkdir(parents=True)
    pairs = np.stack([image, image[:, ::-1]], axis=1).astype(np.float16)
    for number, rows in enumerate(np.array_split(np.arange(len(uids)), parts)):
        stamp = Stamp(shard=f"{number}.tar", state="1", scorers={"model": "m"}, exclude="")
        chosen = [uids[row] for row in rows]
        part = folder / "parts" / f"{number:05d}-s.parquet"
        write_vectors(part, pairs[rows])
        write_stamped(part, pa.table({"uid": pa.array(chosen, pa.string())}), stamp, EMBED)
    content = {
        "schema": "thresher.embeddings",
        "version": 1,
        "model": "planted",
        "fingerprint": "f",
        "precision": "fp32",
        "dtype": "fp16",
        "dim": image.shape[1],
        "scale": 10.0,
        "bias": 0.0,
        "flops_per_pair": 1.0,
        "counts": {"pairs": len(uids)},
    }
    (folder / "embeddings.json").write_text(json.dumps(content))
    return folder


def repeats_by_uid(table: pa.Table) -> dict[str, int]:
    return dict(zip(table.column("uid").to_pylist(), table.column("repeats").to_pylist(), strict=True))
