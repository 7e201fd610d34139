"""Whole training runs: on the chosen subset, and of a data filtering network; and evaluating a checkpoint."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from thresher.config.sections import Config, Evaluate, Filter
from thresher.data.exclude import read_exclude
from thresher.data.quarantine import write_quarantine
from thresher.data.shards import expand
from thresher.data.writer import write_json
from thresher.errors import InputError
from thresher.evalsets import load_tasks, prepare_tasks, tasks_digest
from thresher.evaluate import error_of, evaluate
from thresher.executor.lock import folder_lock
from thresher.models.flops import training_flops
from thresher.models.saved import save_model
from thresher.models.towers import Towers, load_towers
from thresher.probe import eval_settings
from thresher.recipes import filter_recipe, resolve_device, train_recipe
from thresher.subset.npy import read_npy_subset
from thresher.train.dataset import describe_dataset, open_dataset
from thresher.train.distributed import (
    barrier,
    device_of,
    is_first_rank,
    main_first,
    ranks_from_environment,
)
from thresher.train.loop import clear, train
from thresher.train.pairs import Pairs
from thresher.train.recipe import Recipe

RESULT_FILE = "result.json"
SMALL_STEP_FLOPS = 2e10  # below this a training step on a CPU takes one thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run from shards to a checkpoint folder.

    Attributes:
        shards: names from `expand`.
        uids: which pairs; None takes all.
        repeats: how often each stands in one pass; None is once.
        tasks: evaluation sets from `prepare_tasks`, or None.
    """

    shards: tuple[str, ...]
    uids: tuple[str, ...] | None
    repeats: npt.NDArray[np.int64] | None
    recipe: Recipe
    samples_seen: int
    seed: int
    tasks: Path | None
    device: str
    cache: Path
    exclude: frozenset[str] = frozenset()
    cache_limit: int = 4 << 30
    workers: int = 2
    checkpoint_seconds: float = 300.0


def run_job(job: Job, folder: Path) -> Path:
    """Train and leave a folder that `local-dir:FOLDER` loads in stock open_clip; its path.

    A finished folder of the same job is left as it is, but measured again where the evaluation set changed.
    Pairs that cannot be used are listed in `quarantine.parquet`.

    Raises:
        InputError: the folder holds another job's result, or another process is training into it.
    """
    with folder_lock(folder) if is_first_rank() else nullcontext():
        made_of = _digest(job)
        done = folder / RESULT_FILE
        if not done.exists():
            _claim(folder, made_of)
            _train(job, folder, made_of)
        elif json.loads(done.read_text())["made_of"] != made_of:
            raise InputError(
                f"{folder} holds another training run; move it away, or train into another folder"
            )
        elif is_first_rank():
            _measure_again(job, folder)
    return folder


def _train(job: Job, folder: Path, made_of: str) -> None:
    tasks = load_tasks(job.tasks) if job.tasks is not None else []
    towers = load_towers(job.recipe.model, sigmoid=job.recipe.loss == "siglip")
    with ranks_from_environment(job.device) as ranks:
        device = device_of(job.device, ranks.local if ranks.world > 1 else None)
        with main_first(ranks):
            dataset = describe_dataset(
                job.shards,
                towers,
                cache=job.cache,
                uids=job.uids,
                exclude=job.exclude,
                limit_bytes=job.cache_limit,
                workers=job.workers,
            )
        with open_dataset(dataset) as opened, _threads(towers, job.recipe, opened.tokens_nT.shape[1]):
            if ranks.is_main:
                write_quarantine(folder / "quarantine.parquet", opened.quarantine)
            places = np.arange(len(opened.uids)) if job.uids is None else opened.find(job.uids)
            repeats = np.ones(len(places), dtype=np.int64) if job.repeats is None else job.repeats
            places, repeats = places[places >= 0], repeats[places >= 0]
            towers, measured = train(
                job.recipe,
                Pairs(images=opened.images, tokens=opened.tokens_nT, rows=places, repeats=repeats),
                [job.samples_seen],
                folder,
                seed=job.seed,
                evaluate=lambda trained: evaluate(trained, tasks, precision=job.recipe.precision),
                ranks=ranks,
                device=device,
                checkpoint_seconds=job.checkpoint_seconds,
            )
        if ranks.is_main:
            save_model(towers, folder, sigmoid=job.recipe.loss == "siglip", samples_seen=job.samples_seen)
            content = {
                "schema": "thresher.training",
                "version": 1,
                "made_of": made_of,
                "recipe": job.recipe.label,
                "tasks": _tasks_digest(job),
            }
            write_json(folder / RESULT_FILE, content | {"measured": [asdict(point) for point in measured]})
            clear(folder)
        barrier(ranks)  # what comes back is finished, whichever process asks


@contextmanager
def _threads(towers: Towers, recipe: Recipe, num_tokens: int) -> Iterator[None]:
    """One thread for a model so small that threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    if training_flops(towers, num_tokens) * recipe.batch_size < SMALL_STEP_FLOPS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure_again(job: Job, folder: Path) -> None:
    """Measure a finished model on the tasks of `job`, unless its result is of these."""
    content = json.loads((folder / RESULT_FILE).read_text())
    if job.tasks is None or content.get("tasks") == _tasks_digest(job):
        return
    towers = load_towers(f"local-dir:{folder}", device=device_of(job.device, None))
    metrics = evaluate(towers, load_tasks(job.tasks), precision=job.recipe.precision)
    content["measured"][-1]["metrics"] = metrics
    write_json(folder / RESULT_FILE, content | {"tasks": _tasks_digest(job)})


def _tasks_digest(job: Job) -> str | None:
    return None if job.tasks is None else tasks_digest(job.tasks)


def _digest(job: Job) -> str:
    digest = hashlib.blake2b(digest_size=16)
    repeats = None if job.repeats is None else job.repeats.tolist()
    settings = [
        job.shards,
        job.uids,
        repeats,
        asdict(job.recipe),
        job.samples_seen,
        job.seed,
        sorted(job.exclude),
    ]
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()


def _claim(folder: Path, made_of: str) -> None:
    """Name the job in the folder, so that a checkpoint of another job is not gone on with."""
    mark = folder / "job.json"
    if mark.exists() and json.loads(mark.read_text())["made_of"] != made_of:
        raise InputError(
            f"{folder} holds an unfinished run of other settings; move it away, or undo the change"
        )
    write_json(mark, {"schema": "thresher.job", "version": 1, "made_of": made_of})


def train_filter(config: Config, section: Filter, *, device: str) -> Path:
    """Train the data filtering network of a config on its curated pairs; the checkpoint folder."""
    job = Job(
        shards=tuple(expand(section.shards)),
        uids=None,
        repeats=None,
        recipe=filter_recipe(section),
        samples_seen=section.samples_seen,
        seed=section.seed,
        tasks=None,
        device=device,
        cache=config.workdir / "cache",
        exclude=read_exclude(config.shards.exclude),
    )
    return run_job(job, config.workdir / "filter")


def train_from_config(config: Config, *, progress: Callable[[str], None]) -> Path:
    """Train on the subset in the workdir, or on all pairs where there is none; the checkpoint folder.

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
    job = Job(
        shards=tuple(expand(config.shards.paths)),
        uids=uids,
        repeats=repeats,
        recipe=train_recipe(section, samples_seen),
        samples_seen=samples_seen,
        seed=section.seed,
        tasks=prepare_tasks(eval_settings(config.evaluate), towers, config.workdir / "cache"),
        device=device,
        cache=config.workdir / "cache",
        exclude=exclude,
        cache_limit=section.cache_limit,
        workers=section.workers,
        checkpoint_seconds=section.checkpoint_seconds,
    )
    folder = run_job(job, config.workdir / "train")
    metrics = json.loads((folder / RESULT_FILE).read_text())["measured"][-1]["metrics"]
    error = error_of(config.evaluate.metric, metrics)
    progress(f"trained {section.model} on {samples_seen} samples: {config.evaluate.metric} {error:.3f}")
    return folder


def read_subset(folder: Path) -> tuple[tuple[str, ...], npt.NDArray[np.int64], int | None]:
    """uids, repeats and budget of a subset in any format.

    Raises:
        InputError: the folder holds no subset that can be read.
    """
    meta = json.loads((folder / "meta.json").read_text())
    for name in ("subset.npy", "sample_ids.npy"):
        if (folder / name).exists():
            table = read_npy_subset(folder / name)
            break
    else:
        path = folder / "subset.parquet"
        if not path.exists():
            raise InputError(f"{folder} holds no subset; run `thresher subset` again")
        table = pq.read_table(path, columns=["uid", "repeats"])
    repeats: npt.NDArray[np.int64] = table.column("repeats").to_numpy().astype(np.int64)
    return tuple(table.column("uid").to_pylist()), repeats, meta.get("samples_seen")


def evaluate_checkpoint(
    checkpoint: Path, *, evaluate: Evaluate, device: str, work: Path, model: str | None = None
) -> dict[str, float]:
    """Metrics of a checkpoint: a folder that holds `open_clip_config.json`, or a file with `model` named.

    Raises:
        InputError: the checkpoint is absent or not of that model.
    """
    if checkpoint.is_dir():
        towers = load_towers(f"local-dir:{checkpoint}", device=resolve_device(device))
    elif model is None:
        raise InputError(f"{checkpoint} is a file; say which open_clip model it is, with --model")
    else:
        towers = load_towers(model, pretrained=str(checkpoint), device=resolve_device(device))
    return _measure(towers, [prepare_tasks(eval_settings(evaluate), towers, work / "cache")])


def _measure(towers: Towers, tasks: Sequence[Path]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for path in tasks:
        metrics |= evaluate(towers, load_tasks(path))
    return metrics
