"""Training by a config: on the chosen subset, and of a filter network; and evaluating a checkpoint."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from thresher.curate.subset.npy import read_npy_subset
from thresher.data.exclude import read_exclude
from thresher.data.files.record_file import from_record, own_file
from thresher.data.patterns import expand
from thresher.errors import InputError
from thresher.models.evaluation.evaluate import evaluate as measure
from thresher.models.evaluation.sets import load_tasks, prepare_tasks
from thresher.models.evaluation.settings import Evaluate, error_of
from thresher.models.towers import load_towers, resolve_device
from thresher.planning.runs.record import is_loss
from thresher.tables import error_text
from thresher.train.job import RESULT_FILE, Job, run_job, trained_precision
from thresher.train.ledger import cost_sentence
from thresher.train.loop import measurements
from thresher.train.reference import prepare_reference
from thresher.train.settings import Filter, TrainingSettings, make_recipe


def train_filter(
    config: TrainingSettings, section: Filter, *, device: str, progress: Callable[[str], None]
) -> Path:
    """Train the data filtering network of a config on its curated pairs; the checkpoint folder."""
    return train_network(
        section,
        config.workdir / "filter",
        device=device,
        cache=config.workdir / "cache",
        exclude=read_exclude(config.shards.exclude),
        progress=progress,
    )


def train_network(
    section: Filter,
    out: Path,
    *,
    device: str,
    cache: Path,
    exclude: frozenset[str] = frozenset(),
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train a data filtering network on curated pairs; its folder, which the scorer `dfn` takes.

    Args:
        section: the curated pairs, the model and how it is trained.
        out: folder for the network; a finished one of the same settings is left as it is.
        device: from `resolve_device`.
        cache: folder for decoded images.
        exclude: uids that are left out.
        progress: is told what was trained, or that it had been.

    Raises:
        InputError: the model or the pairs cannot be had, or the folder holds another training run.
    """
    job = Job(
        shards=tuple(expand(section.shards)),
        uids=None,
        repeats=None,
        recipe=make_recipe(section, section.samples_seen),
        samples_seen=section.samples_seen,
        seed=section.seed,
        tasks=None,
        device=device,
        cache=cache,
        exclude=exclude,
    )
    progress(_trained(job, out)[0])
    return out


def _trained(job: Job, folder: Path) -> tuple[str, Mapping[str, float]]:
    """Run the job; a sentence about what the model has seen, and its metrics."""
    found = (folder / RESULT_FILE).exists()
    run_job(job, folder)
    result = folder / RESULT_FILE
    last = measurements(result, json.loads(result.read_bytes()))[-1]
    name, seen = job.recipe.model, last.samples_seen
    asked = "" if seen == job.samples_seen else f" ({job.samples_seen:,} in steps of {job.recipe.batch_size})"
    said = f"{name} was already trained on" if found else f"trained {name} on"
    return f"{said} {seen:,} samples{asked}", last.metrics


def train_from_config(
    config: TrainingSettings, *, progress: Callable[[str], None], out: Path | None = None
) -> Path:
    """Train on the subset in the workdir, or on all pairs where there is none; the checkpoint folder.

    Args:
        config: its sections [shards], [evaluate] and [train]; without [evaluate] nothing is measured.
        progress: is told what a step costs, and what came out.
        out: folder for the checkpoint, `train` in the workdir where none is named.

    Raises:
        InputError: the config has no section [train], or its length is not given.
    """
    section = config.train
    if section is None:
        raise InputError("the config has no section [train]; add one (`thresher init` shows its keys)")
    subset = config.workdir / "subset"
    exclude = read_exclude(config.shards.exclude)
    uids, repeats, budget = read_subset(subset) if (subset / "meta.json").exists() else (None, None, None)
    if uids is not None and repeats is not None:
        # The list may be younger than the subset.
        repeats = repeats[[uid not in exclude for uid in uids]]
        uids = tuple(uid for uid in uids if uid not in exclude)
    samples_seen = section.samples_seen or budget
    if samples_seen is None:
        raise InputError("there is no subset to take the length from; set [train] samples_seen")
    device = resolve_device(config.device)
    towers = load_towers(section.model, sigmoid=section.loss == "siglip")
    shards, recipe = tuple(expand(config.shards.paths)), make_recipe(section, samples_seen)
    reference = None
    if recipe.needs_reference and section.reference is not None:
        reference = prepare_reference(
            section.reference,
            shards,
            config.workdir / "embeddings",
            device=device,
            exclude=exclude,
            progress=progress,
        )
    if recipe.selects or recipe.flexi:
        progress(cost_sentence(recipe, towers))
    tasks = None
    if config.evaluate is not None:
        tasks = prepare_tasks(config.evaluate, towers, config.workdir / "cache")
    job = Job(
        shards=shards,
        uids=uids,
        repeats=repeats,
        recipe=recipe,
        samples_seen=samples_seen,
        seed=section.seed,
        tasks=tasks,
        device=device,
        cache=config.workdir / "cache",
        exclude=exclude,
        cache_limit=section.cache_limit,
        workers=section.workers,
        checkpoint_seconds=section.checkpoint_seconds,
        reference=reference,
        log=section.log,
    )
    folder = out or config.workdir / "train"
    said, metrics = _trained(job, folder)
    if config.evaluate is not None:
        metric = config.evaluate.metric
        said += f": {metric} {error_text(error_of(metric, metrics), is_loss(metric))}"
    progress(said)
    return folder


def read_subset(folder: Path) -> tuple[tuple[str, ...], npt.NDArray[np.int64], int | None]:
    """uids, repeats and budget of a subset in any format.

    Raises:
        InputError: the folder holds no subset that can be read.
    """
    path = folder / "meta.json"
    if not path.exists():
        raise InputError(f"{folder} holds no subset; run `thresher subset` again")
    with own_file(path, "run `thresher subset` again"):
        meta = json.loads(path.read_bytes())
        samples_seen = from_record(int | None, meta.get("samples_seen"), place="samples_seen")
    for name in ("subset.npy", "sample_ids.npy"):
        if (folder / name).exists():
            table = read_npy_subset(folder / name)
            break
    else:
        path = folder / "subset.parquet"
        if not path.exists():
            raise InputError(f"{folder} holds no subset; run `thresher subset` again")
        with own_file(path, "run `thresher subset` again"):
            table = pq.read_table(path, columns=["uid", "repeats"])
    repeats: npt.NDArray[np.int64] = table.column("repeats").to_numpy().astype(np.int64)
    return tuple(table.column("uid").to_pylist()), repeats, samples_seen


def evaluate_checkpoint(
    checkpoint: Path, *, evaluate: Evaluate, device: str, work: Path, model: str | None = None
) -> dict[str, float]:
    """Metrics of a checkpoint: a folder that holds `open_clip_config.json`, or a file with `model` named.

    A model that was trained here is measured in the precision of its training, as it was at its end.

    Raises:
        InputError: the checkpoint is absent or not of that model.
    """
    precision = "auto"
    if checkpoint.is_dir():
        towers = load_towers(f"local-dir:{checkpoint}", device=resolve_device(device))
        precision = trained_precision(checkpoint)
    elif model is None:
        raise InputError(f"{checkpoint} is a file; say which open_clip model it is, with --model")
    else:
        towers = load_towers(model, pretrained=str(checkpoint), device=resolve_device(device))
    return measure(towers, load_tasks(prepare_tasks(evaluate, towers, work / "cache")), precision=precision)
