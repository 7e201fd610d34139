"""Embeds shards: every pair goes once through both towers of a model, and its vectors are stored.

Shapes: B pairs, D embedding dimensions, T tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.files.lock import folder_lock
from thresher.errors import InputError
from thresher.executor.run import check_executor
from thresher.models.open import open_model
from thresher.scores.embeddings.stored import DTYPES, EMBED, check_dtype, embeddings_json, pack, write_vectors
from thresher.sharded.job import Part
from thresher.sharded.scorer import Images, Pending, Row, Scorer
from thresher.sharded.shard import OpenScorers, ShardWork
from thresher.sharded.stage import Progress, run_stage
from thresher.sharded.summary import FolderSummary

if TYPE_CHECKING:
    import torch

    from thresher.models.towers import Towers


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
) -> FolderSummary:
    """Image and text vectors of every pair that decodes, in a folder for `open_embeddings`.

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

    def describe(
        summary: FolderSummary, about: Mapping[str, Any], made_by: Mapping[str, str]
    ) -> dict[str, Any]:
        facts = {"model": model, "pretrained": pretrained, "fingerprint": made_by["model"]}
        form = {"precision": made_by["precision"], "dtype": made_by["dtype"]}
        return embeddings_json(summary, {**facts, **form, **about})

    work = ShardWork(
        stage=EMBED,
        open=open_embedding,
        options=options,
        exclude=exclude,
        workers=workers,
        gpu=device != "cpu",
    )
    with folder_lock(folder):
        return run_stage(
            *(folder, shards, work, describe),
            executor=executor,
            ray_address=ray_address,
            progress=progress,
        )


def open_embedding(options: Mapping[str, Any]) -> OpenScorers:
    """The model of `embed_shards`'s options, ready to make parts: [B, 2, D] a batch, in the form stored.

    Raises:
        InputError: the model, its weights, the device or the precision cannot be had.
        MissingExtra: torch or open_clip is not installed.
    """
    of_model = {name: value for name, value in options.items() if name != "dtype"}
    towers, precision = open_model(**of_model, needed_for="embedding pairs")

    from thresher.models.flops import forward_flops
    from thresher.models.towers import context_length, embed_images

    dtype = options["dtype"]
    blank = np.zeros((1, towers.spec.size, towers.spec.size, 3), dtype=np.uint8)
    dim = embed_images(towers, blank, precision=precision).shape[1]
    weights = towers.model.state_dict()
    scorer = Scorer(
        fingerprint=towers.fingerprint,
        spec=towers.spec,
        batch_size=options["batch_size"],
        prepare=lambda captions: towers.tokenize(list(captions)),
        score=_embedding(towers, precision, dtype),
        result=np.dtype((DTYPES[dtype], (2, dim))),
    )
    return OpenScorers(
        scorers=[scorer],
        made_by={"model": towers.fingerprint, "precision": precision, "dtype": dtype},
        table=_table,
        about={
            "dim": dim,
            "scale": float(weights["logit_scale"].exp()),
            "bias": float(weights["logit_bias"]) if "logit_bias" in weights else 0.0,
            "flops_per_pair": forward_flops(towers, context_length(towers)),
        },
    )


def _table(part: Part, rows: Sequence[Row], results: Sequence[npt.NDArray[Any]]) -> pa.Table:
    """Uids, and the keys and captions by which scores of the embeddings show their pairs."""
    write_vectors(part.path, results[0])
    columns = {name: [getattr(row, name) for row in rows] for name in ("uid", "key", "caption")}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _embedding(towers: "Towers", precision: str, dtype: str) -> Callable[[Images | None, Any], Pending]:
    import torch

    from thresher.models.towers import autocast, to_input

    @torch.inference_mode()
    def embed(images_BHWC: Images | None, tokens_BT: "torch.Tensor") -> Pending:
        assert images_BHWC is not None
        with autocast(towers.device, precision):
            image_BD = towers.model.encode_image(to_input(towers, images_BHWC))  # type: ignore[operator]
            text_BD = towers.model.encode_text(tokens_BT.to(towers.device))  # type: ignore[operator]
        unit_B2D = torch.nn.functional.normalize(torch.stack([image_BD, text_BD], dim=1).float(), dim=-1)

        def finished() -> npt.NDArray[Any]:
            return pack(unit_B2D.cpu().numpy(), dtype)

        return finished

    return embed
