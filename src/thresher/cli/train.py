"""`thresher train`: trains a model on the subset, or on all pairs."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import ConfigFile, Device, Exclude, Json, from_key, option, override, with_options
from thresher.cli.progress import is_first_rank, sentences
from thresher.cli.text import answer
from thresher.train.settings import Train


def train(
    config: ConfigFile,
    device: Device = None,
    exclude: Exclude = None,
    out: Annotated[
        Path | None, option("DIR", "Folder for the checkpoint.  [default: train in the workdir]")
    ] = None,
    select: Annotated[str | None, from_key(Train, "select", "METHOD")] = None,
    criterion: Annotated[str | None, from_key(Train, "criterion", "NAME")] = None,
    filter_ratio: Annotated[float | None, from_key(Train, "filter_ratio", "SHARE")] = None,
    chunks: Annotated[int | None, from_key(Train, "chunks", "N")] = None,
    gain: Annotated[float | None, from_key(Train, "gain", "FACTOR")] = None,
    reference: Annotated[str | None, from_key(Train, "reference", "EMBEDDINGS|MODEL")] = None,
    flexi: Annotated[int | None, from_key(Train, "flexi", "PIXELS")] = None,
    low_share: Annotated[float | None, from_key(Train, "low_share", "SHARE")] = None,
    loss: Annotated[str | None, from_key(Train, "loss", "NAME")] = None,
    as_json: Json = False,
) -> None:
    """Train a model on the subset in a config's workdir.

    Without a subset, all pairs of the shards are used. The loss is contrastive (sigmoid, softmax, or
    softmax steered by a reference); pairs come straight from the original shards, and no uid stands twice in
    a batch. A run that was stopped continues from its last checkpoint with the same batches. Under
    torchrun, the batch is divided among the processes.

    With --select joint, every step scores a super-batch by the current model and by a reference model, and
    trains on the pairs that together have most to teach. The cost of a step is printed before the run. The
    options replace keys of [train]; the others, such as a schedule, are only in the config.

    Reads the sections [train], [shards] and [evaluate] of the config and WORKDIR/subset. Writes
    WORKDIR/train: the weights as an open_clip checkpoint with its configuration, losses, FLOPs by kind
    (ledger.jsonl), which pairs each step chose, a log, and what the model reaches on the evaluation shards.

    Examples:
        thresher train config.toml
        thresher train config.toml --select joint --reference reference --filter-ratio 0.9 --out joint
        torchrun --nproc-per-node 8 -m thresher.cli train config.toml
    """
    from thresher.pipeline.config import load_training_config

    settings = with_options(load_training_config(config), config, device=device, exclude=exclude)
    if settings.train is not None:
        section = override(
            Train,
            settings.train,
            select=select,
            criterion=criterion,
            filter_ratio=filter_ratio,
            chunks=chunks,
            gain=gain,
            reference=reference,
            flexi=flexi,
            low_share=low_share,
            loss=loss,
        )
        settings = settings.model_copy(update={"train": section})

    from thresher.train.stage import train_from_config

    with sentences("train") as progress:
        folder = train_from_config(settings, progress=progress, out=out)
    if is_first_rank():
        text = f"checkpoint: {folder}\nin open_clip: create_model('local-dir:{folder}')"
        answer({"checkpoint": str(folder)}, text, as_json)
