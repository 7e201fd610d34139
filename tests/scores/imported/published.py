"""What other tools publish of the pairs of `tests.small_pool`: DataComp's metadata, clip-retrieval's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_pool import caption, uid

DIM = 16


def clip_score(number: int) -> float:
    """The score that the metadata gives pair `number`; no two pairs have the same."""
    return round(0.1 + 0.3 * (number * 37 % 101) / 101, 4)


def metadata(numbers: Sequence[int], **columns: object) -> pa.Table:
    """Rows of DataComp's metadata about some pairs, with columns added or replaced; None takes one away."""
    held: dict[str, Any] = {
        "uid": [uid(number) for number in numbers],
        "url": [f"http://example.org/{number}.jpg" for number in numbers],
        "text": [caption(number) for number in numbers],
        "original_width": [640 if number % 4 else 100 for number in numbers],
        "original_height": [480] * len(numbers),
        "clip_b32_similarity_score": pa.array([clip_score(number) / 2 for number in numbers], pa.float32()),
        "clip_l14_similarity_score": pa.array([clip_score(number) for number in numbers], pa.float32()),
        "face_bboxes": [[[0.1, 0.2, 0.3, 0.4]]] * len(numbers),
        "sha256": [f"{number:064x}" for number in numbers],
    }
    return pa.table({name: values for name, values in (held | columns).items() if values is not None})


def write_metadata(folder: Path, *groups: Sequence[int], **columns: object) -> Path:
    """A folder with a Parquet file of metadata for each group of pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, numbers in enumerate(groups):
        pq.write_table(metadata(numbers, **columns), folder / f"{place:02d}.parquet")
    return folder


def vector(number: int, which: str, dim: int = DIM) -> npt.NDArray[np.float16]:
    """A vector of pair `number`, of length 1 but for rounding."""
    rng = np.random.default_rng([number, *which.encode()])
    values = rng.normal(size=dim)
    return (values / np.linalg.norm(values)).astype(np.float16)


def vectors(numbers: Sequence[int], which: str, dim: int = DIM) -> npt.NDArray[np.float16]:
    return np.stack([vector(number, which, dim) for number in numbers])


def write_npz(path: Path, numbers: Sequence[int], changed: Mapping[str, Any] | None = None) -> None:
    """The vectors that DataComp publishes beside a Parquet file."""
    arrays = {
        f"{model}_{side}": vectors(numbers, f"{model}_{side}", DIM if model == "l14" else DIM // 2)
        for model in ("l14", "b32")
        for side in ("img", "txt")
    }
    np.savez(path, **(arrays | dict(changed or {})))


def write_clip_retrieval(folder: Path, *groups: Sequence[tuple[int, str]]) -> Path:
    """An output folder of clip-retrieval: for each group the pairs and their `image_path`."""
    for name in ("metadata", "img_emb", "text_emb"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for place, rows in enumerate(groups):
        numbers = [number for number, _ in rows]
        table = pa.table(
            {"image_path": [path for _, path in rows], "caption": [caption(number) for number in numbers]}
        )
        pq.write_table(table, folder / f"metadata/metadata_{place}.parquet")
        np.save(folder / f"img_emb/img_emb_{place}.npy", vectors(numbers, "img"))
        np.save(folder / f"text_emb/text_emb_{place}.npy", vectors(numbers, "txt"))
    return folder
