"""Embedding shards: every pair goes once through both towers of a model, and its vectors are kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from thresher.embeddings.embedder import open_embedder
from thresher.embeddings.numbers import check_dtype
from thresher.embeddings.parts import EMBED, SCHEMA, VERSION, write_part
from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.executor.run import check_executor
from thresher.scores.feed import Row
from thresher.scores.fill import Filling, Progress, fill_folder
from thresher.scores.making import Making
from thresher.scores.resume import Job
from thresher.scores.summary import FolderSummary


def embed_shards(
    shards: Sequence[str],
    model: str,
    out: str | Path,
    *,
    pretrained: str | None = None,
    dtype: str = "fp16",
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "auto",
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    executor: str = "local",
    ray_address: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """A folder for `open_embeddings` with image and text vectors of every pair that decodes.

    A shard that is finished in `out` is not done again.

    Args:
        shards: Names from `expand`; on going on with a folder, new ones stand after the old ones.
        model: Name of an open_clip model, or `local-dir:FOLDER` of a checkpoint folder.
        out: Folder for `parts/`, `embeddings.json` and `embeddings.log.jsonl`.
        pretrained: Registry tag or path of a checkpoint; left out, a named model has random weights.
        dtype: Form in which the vectors are stored, `fp16` or `int8`.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, ...
        batch_size: Pairs a forward pass.
        precision: auto (bf16 where the hardware multiplies bf16, else fp32), fp32 or bf16 (autocast).
        exclude: uids that are left out; they go to the quarantine.
        workers: Processes that decode images, on Ray beside every worker; 0 decodes in the model's process.
        executor: `local`, in this process, or `ray`, by as many workers as fit on a Ray cluster. The parts
            are the same to the byte.
        ray_address: `host:port` of the cluster's head, or `auto`; None takes RAY_ADDRESS, or starts a Ray on
            this machine that ends with the run.
        progress: Called after every batch, on Ray after every shard.

    Raises:
        InputError: as `embed_folder`, and where a shard could not be read.
    """
    summary = embed_folder(
        *(shards, model, out),
        pretrained=pretrained,
        dtype=dtype,
        device=device,
        batch_size=batch_size,
        precision=precision,
        exclude=exclude,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        progress=progress,
    )
    if summary.incomplete:
        raise InputError(summary.status[0])
    return Path(out)


def embed_folder(
    shards: Sequence[str],
    model: str,
    out: str | Path,
    *,
    pretrained: str | None = None,
    dtype: str = "fp16",
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "auto",
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    executor: str = "local",
    ray_address: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FolderSummary:
    """What `embed_shards` does, with its arguments; but a shard that cannot be read is no error.

    Returns:
        Counts over the whole folder and the times of this run. A shard that cannot be read is named in
        `unreadable`, has no part, and is tried again by the next run.

    Raises:
        InputError: the model cannot be had, another run holds the folder, or the folder holds embeddings of
            other shards, of a shard that has changed, by another model, precision or dtype.
    """
    if not shards:
        raise InputError("no shards are given to embed; name tar files, tables or folders of images")
    check_dtype(dtype)
    check_executor(executor, ray_address)
    folder = Path(out)
    options = {
        "model": model,
        "pretrained": pretrained,
        "device": device,
        "batch_size": batch_size,
        "precision": precision,
        "dtype": dtype,
    }
    filling = Filling(
        stage=EMBED,
        open=open_embedding,
        options=options,
        describe=lambda summary, about, made_by: _content(summary, about, made_by, model, pretrained),
        exclude=exclude,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        gpu=device != "cpu",
        progress=progress,
    )
    with folder_lock(folder):
        return fill_folder(folder, shards, filling)


def open_embedding(options: Mapping[str, Any]) -> Making:
    """The model of `open_embedder`'s options, ready to make parts."""
    embedder = open_embedder(**options)
    return Making(
        scorers=[embedder.scorer],
        made_by={
            "model": embedder.fingerprint,
            "precision": embedder.precision,
            "dtype": options["dtype"],
        },
        write=_write,
        about={name: getattr(embedder, name) for name in ("dim", "scale", "bias", "flops_per_pair")},
    )


def _write(job: Job, rows: Sequence[Row], results: Sequence[npt.NDArray[Any]]) -> None:
    keys, captions = [row.key for row in rows], [row.caption for row in rows]
    write_part(job.part, [row.uid for row in rows], results[0], job.stamp, keys=keys, captions=captions)


def _content(
    summary: FolderSummary,
    about: Mapping[str, Any],
    made_by: Mapping[str, str],
    model: str,
    pretrained: str | None,
) -> dict[str, Any]:
    """The content of `embeddings.json`: nothing in it depends on when or how often the run was stopped."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "model": model,
        "pretrained": pretrained,
        "fingerprint": made_by["model"],
        "precision": made_by["precision"],
        "dtype": made_by["dtype"],
        **about,
        "shards": summary.num_shards,
        "counts": {"pairs": summary.num_pairs, "quarantined": summary.num_quarantined},
        "quarantine": dict(summary.quarantine),
        "unreadable": [{"shard": shard, "reason": reason} for shard, reason in summary.unreadable.items()],
    }
