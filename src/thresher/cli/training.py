"""`thresher probe`, `train` and `evaluate`: the commands that load a model."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli.options import ConfigFile, Device, Exclude, Json, given
from thresher.cli.output import columns, percent, show, show_json
from thresher.cli.progress import is_first_rank, sentences
from thresher.errors import InputError

if TYPE_CHECKING:
    from thresher.config import Config, Evaluate

Shards = Annotated[list[str] | None, typer.Option(metavar="SHARDS", help="Where the pairs are.")]
Zeroshot = Annotated[
    list[str] | None,
    typer.Option(metavar="SHARDS", help="Labelled images for zero-shot accuracy."),
]
Retrieval = Annotated[
    list[str] | None, typer.Option(metavar="SHARDS", help="Images with captions for retrieval recall.")
]
LabelKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Key of the label in each pair's json.  [default: class]"),
]
Template = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Caption of a class, {} is its name; repeat it for several.  [default: a photo of a {}.]",
    ),
]


def probe(
    pools: Annotated[Path, typer.Argument(metavar="POOLS", help="Folder that `thresher cut` wrote.")],
    out: Annotated[Path, typer.Option(metavar="RUNS.jsonl", help="Ledger to which finished runs are added.")],
    shards: Shards = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG.toml",
            help="Take what no option says from its sections [probe] and [evaluate], the targets from "
            "[plan], shards and exclude list from [shards].",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SAMPLES",
            help="Budget of a real run whose repetition the probes copy; repeat it for several.",
        ),
    ] = None,
    fraction: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Share of every pool and of every target that probes use; a second one lets `fit` tell how "
            "half-lives grow with a pool.  [default: 0.0625]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model: an open_clip name or local-dir:PATH.  [default: ViT-S-32]"),
    ] = None,
    zeroshot: Zeroshot = None,
    retrieval: Retrieval = None,
    label_key: LabelKey = None,
    template: Template = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Error to record: zeroshot_error, retrieval_error, recall_error, mrr_error, retrieval_loss "
            "or average_error.  [default: zeroshot_error, or retrieval_error without --zeroshot]",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Probes at the same time.  [default: one a core, or one a GPU]"
        ),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0, metavar="N", help="Seed; repeat it to learn how much runs differ by chance.  [default: 0]"
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for trials/ (checkpoints, results) and cache/ (decoded images).  [default: that of "
            "RUNS.jsonl]",
        ),
    ] = None,
    device: Device = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Train small models on each pool, to learn what it is worth.

    Every pool is trained on alone, and a few mixes besides; these are for checking the laws and take no part
    in their fit. A probe at a sixteenth of a target's samples draws from a sixteenth of the pool, so that
    every pair comes back as often as it will in the real run. The learning rate warms up, stays, and comes
    down in a short branch before each measurement, so one run gives several finished points.

    Reads POOLS and the shards; adds a line to RUNS.jsonl for every measurement. Lines that are there are
    not made again, and a run that was stopped goes on from its last checkpoint.

    Batch size, learning rate and the other settings of training are keys of [probe] in a config; without
    one they have the defaults that `thresher init` shows.

    Examples:
        thresher probe pools --config config.toml --out runs.jsonl
        thresher probe pools --shards 'shards/*.tar' --target 128M --zeroshot eval.tar --out runs.jsonl
        thresher probe pools --config config.toml --seed 0 --seed 1 --seed 2 --jobs 1 --out runs.jsonl
    """
    from thresher.budget import parse_count
    from thresher.cli.override import override
    from thresher.config import Probe, load_config
    from thresher.data.exclude import read_exclude
    from thresher.data.shards import expand

    settings = load_config(config) if config is not None else None
    sources = given(shards) or (settings.shards.paths if settings is not None else ())
    if not sources:
        raise InputError("name the shards of the pairs with --shards, or a config with --config")
    section = override(
        Probe,
        settings.probe if settings is not None else None,
        model=model,
        targets=tuple(parse_count(text) for text in given(target)),
        fractions=given(fraction),
        jobs=jobs,
        seeds=given(seed),
    )
    targets = section.targets or (settings.plan.budgets if settings is not None else ())
    if not targets and section.samples is None:
        raise InputError("say which budgets the probes stand for, such as --target 32M --target 128M")
    measure = _evaluation(settings, zeroshot, retrieval, label_key, template, metric)
    left_out = exclude or (settings.shards.exclude if settings is not None else None)

    from thresher.probe import run_probes
    from thresher.runs import run_to_record

    with sentences("probe") as progress:
        runs = run_probes(
            pools,
            expand(sources),
            out,
            probe=section,
            evaluate=measure,
            targets=targets,
            work=work or out.parent,
            device=device or (settings.device if settings is not None else "auto"),
            exclude=read_exclude(left_out),
            progress=progress,
        )
    if not is_first_rank():
        return
    if as_json:
        show_json([run_to_record(run) for run in runs])
    else:
        best = min(runs, key=lambda run: run.error)
        show(f"{len(runs)} measurements in {out}; the lowest {best.metric} is {best.error:.4g} ({best.run})")


def train(
    config: ConfigFile,
    device: Device = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Train a model on the subset in a config's workdir.

    Where there is no subset, all pairs of the shards are used. The loss is contrastive (sigmoid or softmax);
    pairs come straight from the original shards, and no uid stands twice in a batch. A run that was stopped
    goes on from its last checkpoint with the same batches. Under torchrun, the batch is shared out over the
    processes.

    Reads the sections [train], [shards] and [evaluate] of the config and WORKDIR/subset. Writes
    WORKDIR/train: the weights as an open_clip checkpoint with its configuration, a log, and what the model
    reaches on the evaluation shards.

    Examples:
        thresher train config.toml
        torchrun --nproc-per-node 8 -m thresher.cli train config.toml
    """
    from thresher.cli.whole import read_config
    from thresher.training import train_from_config

    settings = read_config(config, device=device, exclude=exclude)
    with sentences("train") as progress:
        folder = train_from_config(settings, progress=progress)
    if not is_first_rank():
        return
    if as_json:
        show_json({"checkpoint": str(folder)})
    else:
        show(f"checkpoint: {folder}\nin open_clip: create_model('local-dir:{folder}')")


def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="Folder with open_clip_config.json, or a file of weights with --model."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARDS", help="Shards to measure on; repeat it for several."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help="What the shards are for: zeroshot (labelled images) or retrieval (images with captions); "
            "repeat it for both.  [default: zeroshot]",
        ),
    ] = None,
    label_key: LabelKey = None,
    template: Template = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG.toml", help="Measure as its section [evaluate] says; options go first."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="open_clip model of a CHECKPOINT that is a file of weights."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps the decoded images for the next time."),
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint: zero-shot accuracy, retrieval recall.

    zeroshot_acc1 and zeroshot_acc5 are the shares of images whose class is the nearest, or among the five
    nearest, caption. image_to_text_R@k and text_to_image_R@k are the shares of queries with a true match
    among the k nearest; retrieval_mrr is the mean reciprocal rank, retrieval_loss the softmax loss in nats.

    Reads the checkpoint and the evaluation shards, which have to be whole: a pair that cannot be used ends
    the command. Writes nothing but what --work keeps.

    Examples:
        thresher evaluate work/train --config config.toml
        thresher evaluate weights.pt --model ViT-B-32 --data 'eval/{00000..00001}.tar' --json
        thresher evaluate work/train --data flickr.tar --task retrieval
    """
    from thresher.config import load_config

    settings = load_config(config) if config is not None else None
    tasks = given(task) or ("zeroshot",)
    unknown = [name for name in tasks if name not in ("zeroshot", "retrieval")]
    if unknown:
        raise InputError(f"there is no task {unknown[0]!r}; take zeroshot or retrieval")
    if not data and settings is None:
        raise InputError("name the shards to measure on with --data, or a config with --config")
    if not checkpoint.exists():
        raise InputError(f"there is no checkpoint {checkpoint}; check the path")
    measure = _evaluation(
        settings,
        data if "zeroshot" in tasks else None,
        data if "retrieval" in tasks else None,
        label_key,
        template,
        None,
    )

    from thresher.training import evaluate_checkpoint

    with tempfile.TemporaryDirectory() as scratch:
        metrics = evaluate_checkpoint(
            checkpoint,
            evaluate=measure,
            device=device or (settings.device if settings is not None else "auto"),
            work=work or Path(scratch),
            model=model,
        )
    if as_json:
        show_json(metrics)
    else:
        rows = [(name, percent(value, loss=not _is_share(name))) for name, value in metrics.items()]
        show(columns(("metric", "value"), rows))


def _is_share(metric: str) -> bool:
    return "_acc" in metric or "_R@" in metric


def _evaluation(
    settings: "Config | None",
    zeroshot: list[str] | None,
    retrieval: list[str] | None,
    label_key: str | None,
    templates: list[str] | None,
    metric: str | None,
) -> "Evaluate":
    """What to measure on: the config's section [evaluate] with the options in place of its keys."""
    from thresher.cli.override import override
    from thresher.config import Evaluate

    if settings is None and not zeroshot and not retrieval:
        raise InputError("name the shards to measure on with --zeroshot or --retrieval, or a --config")
    if settings is None and metric is None and not zeroshot:
        metric = "retrieval_error"
    return override(
        Evaluate,
        settings.evaluate if settings is not None else None,
        zeroshot=given(zeroshot),
        retrieval=given(retrieval),
        label_key=label_key,
        templates=given(templates),
        metric=metric,
    )
