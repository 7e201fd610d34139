"""`thresher evaluate`: zero-shot accuracy and retrieval recall of a checkpoint."""

import tempfile
from pathlib import Path
from typing import Annotated

from thresher.cli.options import Device, Json, LabelKey, Template, argument, as_tuple, evaluation, option
from thresher.cli.text import answer
from thresher.errors import InputError
from thresher.tables import columns, error_text


def evaluate(
    checkpoint: Annotated[
        Path, argument("CHECKPOINT", "Folder with open_clip_config.json, or a file of weights with --model.")
    ],
    data: Annotated[
        list[str] | None, option("SHARDS", "Shards to measure on; repeat it for several.")
    ] = None,
    task: Annotated[
        list[str] | None,
        option(
            "TASK",
            "What the shards are for: zeroshot (labelled images) or retrieval (images with captions); "
            "repeat it for both.  [default: zeroshot]",
        ),
    ] = None,
    label_key: LabelKey = None,
    template: Template = None,
    config: Annotated[
        Path | None, option("CONFIG.toml", "Measure by its section [evaluate]; options override it.")
    ] = None,
    model: Annotated[
        str | None, option("NAME", "open_clip model of a CHECKPOINT that is a file of weights.")
    ] = None,
    work: Annotated[
        Path | None, option("DIR", "Folder that keeps the decoded images for the next time.")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint: zero-shot and retrieval.

    zeroshot_acc1 and zeroshot_acc5 are the shares of images whose class is the nearest, or among the five
    nearest, caption. image_to_text_R@k and text_to_image_R@k are the shares of queries with a true match
    among the k nearest; retrieval_mrr is the mean reciprocal rank, retrieval_loss the softmax loss in nats.

    Reads the checkpoint and the evaluation shards, which have to be complete: a pair that cannot be used ends
    the command, and none can be left out (to leave pairs out, write shards without them). Writes only what
    --work keeps.

    Examples:
        thresher evaluate work/train --config config.toml
        thresher evaluate weights.pt --model ViT-B-32 --data 'eval/{00000..00001}.tar' --json
        thresher evaluate work/train --data flickr.tar --task retrieval
    """
    from thresher.pipeline.config import load_config

    settings = load_config(config) if config is not None else None
    tasks = as_tuple(task) or ("zeroshot",)
    unknown = [name for name in tasks if name not in ("zeroshot", "retrieval")]
    if unknown:
        raise InputError(f"there is no task {unknown[0]!r}; take zeroshot or retrieval")
    if not data and settings is None:
        raise InputError("name the shards to measure on with --data, or a config with --config")
    if not checkpoint.exists():
        raise InputError(f"there is no checkpoint {checkpoint}; check the path")
    measure = evaluation(
        settings,
        data if "zeroshot" in tasks else None,
        data if "retrieval" in tasks else None,
        label_key,
        template,
        None,
    )

    from thresher.train.stage import evaluate_checkpoint

    with tempfile.TemporaryDirectory() as scratch:
        metrics = evaluate_checkpoint(
            checkpoint,
            evaluate=measure,
            device=device or (settings.device if settings is not None else "auto"),
            work=work or Path(scratch),
            model=model,
        )
    shares = {name for name in metrics if "_acc" in name or "_R@" in name}
    rows = [(name, error_text(value, loss=name not in shares)) for name, value in metrics.items()]
    answer(metrics, columns(("metric", "value"), rows), as_json)
