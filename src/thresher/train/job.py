"""One training run from shards to a checkpoint folder."""

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thresher.data.digests import digest
from thresher.data.files.atomic import write_json
from thresher.data.files.lock import folder_lock
from thresher.data.files.provenance import claim
from thresher.data.files.quarantine import write_quarantine
from thresher.data.files.record_file import own_file
from thresher.data.shard_index import Marks, check_unchanged, digest_of_marks, marks_of
from thresher.models.evaluation.evaluate import evaluate
from thresher.models.evaluation.sets import load_tasks, tasks_digest
from thresher.models.flops import training_flops
from thresher.models.saved import save_model
from thresher.models.towers import Towers, load_towers
from thresher.scores.embeddings.stored import StoredEmbeddings, open_embeddings
from thresher.selection.threads import torch_threads
from thresher.train.dataset import OpenDataset, describe_dataset, open_dataset
from thresher.train.distributed import barrier, device_of, is_first_rank, main_first, ranks_from_environment
from thresher.train.loggers import open_loggers
from thresher.train.loop import clear, measurements, train
from thresher.train.pairs import Pairs
from thresher.train.recipe import Recipe
from thresher.train.reference import reference_mark

RESULT_FILE = "result.json"
JOB_FILE = "job.json"
SMALL_STEP_FLOPS = 2e10  # below this a training step on a CPU takes one thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run from shards to a checkpoint folder.

    Attributes:
        shards: names from `expand`.
        uids: which pairs; None takes all.
        repeats: how often each stands in one pass; None is once.
        tasks: evaluation sets from `prepare_tasks`, or None.
        reference: folder of the reference's embeddings, where the recipe needs them.
        log: where values are shown as well, keys of `OUTLETS`.
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
    reference: Path | None = None
    log: tuple[str, ...] = ()


def run_job(job: Job, folder: Path) -> Path:
    """Train and leave a folder that `local-dir:FOLDER` loads in stock open_clip; its path.

    A finished folder of the same job is left as it is, but measured again where the evaluation set changed.
    Pairs that cannot be used are listed in `quarantine.parquet`.

    Raises:
        InputError: the folder holds another job's result, or another process is training into it.
    """
    with folder_lock(folder) if is_first_rank() else nullcontext():
        marks = marks_of(job.shards)
        made_of = _made_of(job, marks)
        done = claim(folder, made_of, record=RESULT_FILE, noun="training run")
        if done is None:
            # A checkpoint of another job is not gone on with.
            claim(folder, made_of, record=JOB_FILE, noun="unfinished training run")
            write_json(folder / JOB_FILE, {"schema": "thresher.job", "version": 2, **made_of})
            _train(job, folder, made_of, marks)
        elif is_first_rank():
            _measure_again(job, folder, done)
    return folder


def _train(job: Job, folder: Path, made_of: dict[str, Any], marks: Marks) -> None:
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
                marks=marks,
            )
        with open_dataset(dataset) as opened, torch_threads(_num_threads(towers, job.recipe, opened)):
            if ranks.is_main:
                write_quarantine(folder / "quarantine.parquet", opened.quarantine)
            reference, paid = _open_reference(job, opened)
            places = np.arange(len(opened.uids)) if job.uids is None else opened.find(job.uids)
            repeats = np.ones(len(places), dtype=np.int64) if job.repeats is None else job.repeats
            places, repeats = places[places >= 0], repeats[places >= 0]
            pairs = Pairs(
                images=opened.images,
                tokens=opened.tokens_nT,
                rows=places,
                repeats=repeats,
                uids=opened.uids,
            )
            towers, measured = train(
                job.recipe,
                pairs,
                [job.samples_seen],
                folder,
                seed=job.seed,
                evaluate=lambda trained: evaluate(trained, tasks, precision=job.recipe.precision),
                ranks=ranks,
                device=device,
                checkpoint_seconds=job.checkpoint_seconds,
                reference=reference,
                reference_flops=paid,
                outlets=open_loggers(job.log, folder) if ranks.is_main else (),
            )
        check_unchanged(job.shards, marks)
        if ranks.is_main:
            save_model(
                towers, folder, sigmoid=job.recipe.loss == "siglip", samples_seen=measured[-1].samples_seen
            )
            content = {
                "schema": "thresher.training",
                "version": 1,
                "recipe": job.recipe.label,
                **made_of,
                "tasks": _tasks_digest(job),
            }
            write_json(folder / RESULT_FILE, content | {"measured": [asdict(point) for point in measured]})
            clear(folder)
        barrier(ranks)  # what comes back is finished, whichever process asks


def _open_reference(job: Job, opened: OpenDataset) -> tuple[StoredEmbeddings | None, float]:
    """The reference's embeddings, and what those of the pairs cost; None where none are needed."""
    if job.reference is None or not job.recipe.needs_reference:
        return None, 0.0
    stored = open_embeddings(job.reference)
    return stored, stored.flops_per_pair * len(opened.uids)


def _num_threads(towers: Towers, recipe: Recipe, opened: OpenDataset) -> int:
    """One for a model so small that threads wait for each other longer than they work."""
    step_flops = training_flops(towers, opened.tokens_nT.shape[1]) * recipe.batch_size
    return 1 if step_flops < SMALL_STEP_FLOPS else torch.get_num_threads()


def _measure_again(job: Job, folder: Path, content: dict[str, Any]) -> None:
    """Measure a finished model on the tasks of `job`, unless its result (`content`) is of these."""
    if job.tasks is None or content.get("tasks") == _tasks_digest(job):
        return
    towers = load_towers(f"local-dir:{folder}", device=device_of(job.device, None))
    metrics = evaluate(towers, load_tasks(job.tasks), precision=job.recipe.precision)
    *earlier, last = measurements(folder / RESULT_FILE, content)
    measured = [asdict(point) for point in (*earlier, replace(last, metrics=metrics))]
    write_json(folder / RESULT_FILE, content | {"tasks": _tasks_digest(job), "measured": measured})


def trained_precision(folder: Path) -> str:
    """In which precision the model in a folder was trained; `auto` where nothing says so."""
    result = folder / RESULT_FILE
    if not result.exists():
        return "auto"
    with own_file(result, "train again"):
        return str(json.loads(result.read_bytes())["settings"]["precision"])


def _tasks_digest(job: Job) -> str | None:
    return None if job.tasks is None else tasks_digest(job.tasks)


def _made_of(job: Job, marks: Marks) -> dict[str, Any]:
    """What the job's model follows from."""
    repeats = None if job.repeats is None else job.repeats.tolist()
    return {
        "settings": job.recipe.settings(),
        "seed": job.seed,
        "samples_seen": job.samples_seen,
        "shards": digest_of_marks(marks),
        "pairs": digest(job.uids, repeats),
        "exclude": digest(sorted(job.exclude)),
        "reference": reference_mark(job.reference) if job.reference and job.recipe.needs_reference else None,
    }
