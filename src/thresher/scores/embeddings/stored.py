"""Stored embeddings: the files of a folder of them, and how they are found by uid and read. Never torch.

Each shard has `NNNNN-STEM.npy`, image and text vector of every pair, and `NNNNN-STEM.parquet`, their uids and
what they were made of. The table is written last, so a part that has one is finished.

Shapes: n pairs, 2 vectors each (image, then text), D embedding dimensions.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.atomic import atomic_path
from thresher.data.files.npy import load_array
from thresher.data.files.record_file import from_record, own_file, read_record
from thresher.data.uids import UidRows, uid_bytes
from thresher.errors import InputError
from thresher.sharded.parts import Stage, list_parts, read_part
from thresher.sharded.summary import FolderSummary

SCHEMA = "thresher.embeddings"
VERSION = 1

DTYPES: dict[str, np.dtype[np.float16] | np.dtype[np.int8]] = {
    "fp16": np.dtype(np.float16),
    "int8": np.dtype(np.int8),
}
"""Name of a form -> the numpy type of its files."""

INT8_MOST = 127.0

MAPPED_PARTS = 256
"""Most files that are mapped at once; a process may only open so many."""

Places = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


def _other_model(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    remedy = "name another folder, or delete this one to embed again"
    if found["model"] != now["model"]:
        return (
            f"was embedded by another model: its fingerprint is {found['model'][:12]}, this run's is "
            f"{now['model'][:12]} (weights or preprocessing differ); give the same model, {remedy}"
        )
    for name in ("precision", "dtype"):
        if found[name] != now[name]:
            return (
                f"was embedded with {name} {found[name]}, this run has {now[name]}; "
                f"give --{name} {found[name]}, {remedy}"
            )
    return None


EMBED = Stage(
    name="embed",
    done="embedded",
    noun="embeddings",
    differs=_other_model,
    exclude_remedy="give the same list, or name another folder",
)


def vectors_path(part: Path) -> Path:
    """Path of the vectors that belong to the table of a part."""
    return part.with_suffix(".npy")


def write_vectors(part: Path, vectors_n2D: npt.NDArray[Any]) -> None:
    """Write vectors [n, 2, D] (image, then text) beside a part whose table is written next."""
    with atomic_path(vectors_path(part)) as temporary, temporary.open("wb") as file:
        np.save(file, vectors_n2D, allow_pickle=False)


def embeddings_json(summary: FolderSummary, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `embeddings.json`, given what it says of the model."""
    return {"schema": SCHEMA, "version": VERSION, **facts, **summary.content()}


def check_dtype(name: str) -> None:
    """Refuse a form that is not in `DTYPES`."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is unknown; take one of {', '.join(DTYPES)}")


def pack(vectors: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[np.float16] | npt.NDArray[np.int8]:
    """Vectors [..., D] of length 1 in the form called `dtype`, a key of `DTYPES`.

    int8 stretches every vector so that its largest number is 127. The factor is not kept: it is whatever
    gives the vector the length 1 again.
    """
    if dtype == "fp16":
        return vectors.astype(np.float16)
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return np.rint(vectors / np.where(largest > 0, largest, 1) * INT8_MOST).astype(np.int8)


def unpack(stored: npt.NDArray[np.float16] | npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Float32 vectors [..., D] of length 1 from what `pack` made; a vector of zeros stays one."""
    vectors = stored.astype(np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: npt.NDArray[np.float32] = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredEmbeddings:
    """The embeddings in a folder; a pair is addressed by its place, 0 to `count` - 1.

    Attributes:
        folder: Where they are.
        model: Model that made them, as it was named.
        fingerprint: Of its weights and preprocessing, as `Towers.fingerprint`.
        dtype: Form in which they are stored, a key of `DTYPES`.
        precision: In which the model computed them, `fp32` or `bf16`.
        dim: D.
        scale: Factor of the cosines in the model's loss.
        bias: What its loss adds to them; 0 for a model without one.
        flops_per_pair: What embedding one pair cost.
        count: Number of pairs; a uid that stands in two shards counts twice.
    """

    folder: Path
    model: str
    fingerprint: str
    dtype: str
    precision: str
    dim: int
    scale: float
    bias: float
    flops_per_pair: float
    count: int
    _starts: Places = field(repr=False)  # first place of each part, and `count`
    _rows: UidRows = field(repr=False)
    _mapped: Any = field(repr=False)

    @property
    def uids(self) -> npt.NDArray[np.bytes_]:
        """Uid of each place, 16 bytes each (`S16`)."""
        return self._rows.uids()

    def find(self, uids: Sequence[str] | pa.ChunkedArray) -> Places:
        """Place of each uid, int64 [n]; of a uid that stands in two shards the first.

        Raises:
            InputError: a uid has no embedding; the text names it.
        """
        places = self._rows.find(uid_bytes(uids))
        missing = places < 0
        if missing.any():
            # Not from the bytes, which numpy cuts at their last one that is not zero.
            first = str(uids[int(np.argmax(missing))])
            more = f" and {int(missing.sum()) - 1} more" if missing.sum() > 1 else ""
            raise InputError(
                f"uid {first}{more} of {len(places)} asked for stand not among the {self.count} embeddings "
                f"in {self.folder}; embed the shards of these pairs as well, or leave the pairs out"
            )
        return places

    def image(self, places: Places) -> Vectors:
        """Image vectors of length 1, float32 [n, D], of the pairs at `places`."""
        return self._read(places, 0)

    def text(self, places: Places) -> Vectors:
        """Text vectors of length 1, float32 [n, D], of the pairs at `places`."""
        return self._read(places, 1)

    def _read(self, places: Places, which: int) -> Vectors:
        places = np.asarray(places, dtype=np.int64)
        if len(places) and (places.min() < 0 or places.max() >= self.count):
            raise ValueError(f"places run from {places.min()} to {places.max()}, of {self.count} embeddings")
        stored = np.empty((len(places), self.dim), dtype=DTYPES[self.dtype])
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        order = np.argsort(places, kind="stable")  # part by part, each from front to back
        cuts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        for rows in np.split(order, cuts[1:]) if len(order) else ():
            number = int(numbers[rows[0]])
            stored[rows] = self._mapped(number)[places[rows] - self._starts[number], which]
        return unpack(stored)


def open_embeddings(folder: str | Path, *, fingerprint: str | None = None) -> StoredEmbeddings:
    """The embeddings that `thresher embed` left in a folder.

    Args:
        folder: Where they are.
        fingerprint: Of the model that they should be of (`Towers.fingerprint`); None takes any.

    Raises:
        InputError: there are none or they are not finished or damaged, or another model, or the same with
            another preprocessing, made them.
    """
    folder = Path(folder)
    told = read_summary(folder)
    if fingerprint is not None and told.fingerprint != fingerprint:
        raise InputError(
            f"{folder} holds embeddings of another model: {told.model} with fingerprint "
            f"{told.fingerprint[:12]}, asked for is {fingerprint[:12]} (weights or preprocessing "
            "differ); run `thresher embed` with this model into another folder"
        )
    parts = tuple(list_parts(folder))
    columns = [read_part(part, EMBED, ["uid"]).column("uid") for part in parts]
    starts = np.cumsum([0, *(len(column) for column in columns)])
    count = int(starts[-1])
    if count != told.counts.pairs:
        raise InputError(
            f"{folder} holds {count} embeddings where {EMBED.summary_file} says "
            f"{told.counts.pairs}; run `thresher embed` again"
        )
    uids = np.concatenate([np.empty(0, "S16"), *(uid_bytes(column) for column in columns)])

    def load(number: int) -> npt.NDArray[Any]:
        shape = (int(starts[number + 1] - starts[number]), 2, told.dim)
        return _map(vectors_path(parts[number]), shape, DTYPES[told.dtype])

    return StoredEmbeddings(
        folder=folder,
        **{one.name: getattr(told, one.name) for one in fields(told) if one.name != "counts"},
        count=count,
        _starts=starts,
        _rows=UidRows(uids),
        _mapped=functools.lru_cache(maxsize=MAPPED_PARTS)(load),
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What `embeddings.json` says of the model and of what it made; as in `StoredEmbeddings`."""

    model: str
    fingerprint: str
    dtype: str
    precision: str
    dim: int
    scale: float
    bias: float
    flops_per_pair: float
    counts: _Counts


def read_summary(folder: Path) -> Summary:
    """What `embeddings.json` says, without the uids.

    Raises:
        InputError: there is none, or it is damaged or of another release.
    """
    path = folder / EMBED.summary_file
    if not path.exists():
        raise InputError(
            f"{folder} holds no finished embeddings ({path.name} is absent); run `thresher embed` "
            f"with --out {folder}"
        )
    found: Summary = read_record(
        path, SCHEMA, VERSION, "thresher embed", lambda told: from_record(Summary, told)
    )
    if found.dtype not in DTYPES:
        raise InputError(f"{path} has the dtype {found.dtype!r}; known: {', '.join(DTYPES)}")
    return found


def _map(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    with own_file(path, "delete its table and embed again"):
        vectors = load_array(path, mapped=shape[0] > 0)
    if vectors.shape != shape or vectors.dtype != dtype:
        raise InputError(
            f"{path} holds {vectors.dtype} {vectors.shape} where its table wants {dtype} {shape}; delete the "
            "table and embed again"
        )
    return vectors
