"""Short training runs on pools or mixes of them, several at a time, into the ledger of finished runs.

A run on a mix draws a share of each pool, repeated by its weight.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed, wait
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.curate.subset.manifest import repeat_rates, whole_repeats
from thresher.data.digests import hasher
from thresher.data.files.atomic import write_json
from thresher.data.files.lock import folder_lock
from thresher.data.files.provenance import claim
from thresher.data.shard_index import check_unchanged
from thresher.data.uids import uid_words
from thresher.errors import InputError, naming
from thresher.executor.local import NO_LIMIT_S, TaskFailed, WorkerPool
from thresher.executor.worker import worker_number
from thresher.models.evaluation.evaluate import evaluate
from thresher.models.evaluation.sets import chance_error, load_tasks, smallest_error
from thresher.models.evaluation.settings import error_of
from thresher.models.towers import Towers
from thresher.planning.runs.ledger import append_runs
from thresher.planning.runs.record import Run, is_loss
from thresher.selection.threads import torch_threads
from thresher.tables import decimal, error_text
from thresher.train.dataset import Dataset, OpenDataset, open_dataset
from thresher.train.distributed import SINGLE, Ranks, device_of, is_first_rank, ranks_from_environment
from thresher.train.loop import Measurement, clear, measurements, train
from thresher.train.pairs import Pairs
from thresher.train.recipe import Recipe

RESULT_FILE = "result.json"

WORKER = "thresher.train.probe.trials:trial_worker"

SUBSAMPLE_SEED = 977
Members = Mapping[str, tuple[str, ...]]
"""Pool -> its uids, in the order of the pool table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training run with its measuring points.

    Attributes:
        role: `fit`, `check` or `verify`, as the ledger has it.
        weights: pool -> sampling weight; one pool for a run on a single pool.
        fraction: share of every pool that is used, the same pairs for every trial (nested).
        points: samples seen at which a cooled-down model is measured, ascending.
        seed: of weights, order and augmentation.
    """

    role: str
    weights: Mapping[str, float]
    fraction: float
    points: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        """Unique, readable name of the trial; also its folder."""
        pools = "+".join(self.weights)
        key = json.dumps([dict(self.weights), self.fraction, self.points], sort_keys=True)
        digest = hasher(key.encode(), size=3).hexdigest()
        return f"{self.role}-{pools.replace('%', '')}-f{self.fraction:.3g}-s{self.seed}-{digest}"

    def record(self) -> dict[str, Any]:
        """The trial as its result has it."""
        return asdict(self) | {"weights": dict(self.weights)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialContext:
    """What all trials share; can be sent to another process."""

    dataset: Dataset
    members: Members
    tasks: Path
    recipe: Recipe
    metric: str
    device: str
    folder: Path
    threads: int


def run_trials(
    bench: TrialContext,
    trials: Sequence[Trial],
    ledger: Path,
    *,
    jobs: int,
    progress: Callable[[str], None] | None = None,
    append: bool = True,
) -> list[Run]:
    """Train the trials that are not finished, and append their measurements in the order of `trials`.

    Without `append` nothing is added to the ledger yet.

    A finished trial leaves its result in its own folder first, so a killed run loses at most what lies
    after the last checkpoint of the trials under way. A measurement that the ledger holds is not added.

    An error of 0 is written as half a sample of the evaluation set, since a law needs positive errors.

    Returns:
        The measurements of all trials.

    Raises:
        InputError: a pool is too small, two trials are the same, or another call is training into the folder
            of the ledger.
    """
    for trial in trials:
        _check(bench, trial)
    names = [trial.name for trial in trials]
    if len(set(names)) < len(names):
        raise InputError("two probes are the same; remove one of the equal checks or seeds")
    results: dict[str, list[Run]] = {}
    waiting = list(trials)
    with folder_lock(ledger.parent / "trials") if is_first_rank() else nullcontext():
        for name, runs in _results(bench, trials, jobs):
            results[name] = runs
            if progress is not None:
                last = runs[-1]
                error = error_text(last.error, is_loss(last.metric))
                progress(f"{name}: {last.metric} {error} after {last.samples_seen} samples")
            while waiting and waiting[0].name in results:
                done = waiting.pop(0).name
                if append and is_first_rank():
                    append_runs(ledger, results[done])
    return [run for name in names for run in results[name]]


def _results(bench: TrialContext, trials: Sequence[Trial], jobs: int) -> Iterator[tuple[str, list[Run]]]:
    open_trials = []
    for trial in trials:
        done = claim(bench.folder / trial.name, {"trial": trial.record()}, record=RESULT_FILE, noun="probe")
        if done is not None:
            path = bench.folder / trial.name / RESULT_FILE
            measured = measurements(path, done)
            with naming(str(path)):
                runs = _runs(bench, trial, measured)
            yield trial.name, runs
        else:
            open_trials.append(trial)
    if not open_trials:
        return
    with ranks_from_environment(bench.device) as ranks:
        if jobs <= 1 or ranks.world > 1 or len(open_trials) == 1:
            own = replace(bench, device=device_of(bench.device, ranks.local if ranks.world > 1 else None))
            for trial in open_trials:
                yield trial.name, _runs(bench, trial, run_trial(own, trial, ranks))
            return
    # The longest first: a long trial that starts last would leave the other processes idle.
    by_length = sorted(open_trials, key=lambda trial: -trial.points[-1])
    jobs = min(jobs, len(by_length))
    with WorkerPool(WORKER, workers=jobs, settings=bench, timeout_s=NO_LIMIT_S) as pool:
        futures = {pool.submit(trial): trial for trial in by_length}
        try:
            for future in as_completed(futures):
                found = future.result()
                if isinstance(found, TaskFailed):
                    raise InputError(
                        f"a training process ended without a word (is the memory full?; {found.reason}); run "
                        "again with fewer [probe] jobs, and what is finished is not trained again"
                    )
                yield futures[future].name, _runs(bench, futures[future], found)
        except Exception:  # what is under way is finished, so that it is not trained again
            for future in futures:
                future.cancel()
            wait(futures)
            raise


def trial_worker(bench: TrialContext) -> Callable[[Trial], list[Measurement]]:
    """What a worker process does with a trial: it trains it on the device of its number."""
    own = replace(bench, device=device_of(bench.device, worker_number()))
    return lambda trial: run_trial(own, trial, SINGLE)


def run_trial(bench: TrialContext, trial: Trial, ranks: Ranks) -> list[Measurement]:
    """Train one trial and leave `result.json` in its folder."""
    folder = bench.folder / trial.name
    tasks = load_tasks(bench.tasks)

    def measure(towers: Towers) -> dict[str, float]:
        return evaluate(towers, tasks, precision=bench.recipe.precision)

    with open_dataset(bench.dataset) as opened, torch_threads(bench.threads):
        pairs = draw_pairs(bench.members, trial.weights, trial.fraction, trial.points[-1], opened)
        _, measured = train(
            bench.recipe,
            pairs,
            trial.points,
            folder,
            seed=trial.seed,
            evaluate=measure,
            ranks=ranks,
            device=bench.device,
        )
    check_unchanged(bench.dataset.shards, bench.dataset.marks)
    if ranks.is_main:
        content = {"schema": "thresher.trial", "version": 1, "trial": trial.record()}
        write_json(folder / RESULT_FILE, content | {"measured": [asdict(point) for point in measured]})
        clear(folder)
    return measured


def _check(bench: TrialContext, trial: Trial) -> None:
    if Path(trial.name).name != trial.name:
        raise InputError(
            f"pool {' + '.join(trial.weights)} cannot be part of a folder's name because of the /; cut again"
        )
    unique = sum(num_unique(bench.members, trial.weights, trial.fraction).values())
    if unique < bench.recipe.batch_size:
        raise InputError(
            f"{decimal(trial.fraction)} of pool {' + '.join(trial.weights)} are {unique} pairs, fewer than a "
            f"batch of {bench.recipe.batch_size}; lower [probe] batch_size, or raise [probe] fractions"
        )


def _runs(bench: TrialContext, trial: Trial, measured: Sequence[Measurement]) -> list[Run]:
    single = len(trial.weights) == 1
    whole = {name: len(bench.members[name]) for name in trial.weights}
    unique = num_unique(bench.members, trial.weights, trial.fraction)
    pool = next(iter(trial.weights)) if single else None
    floor = smallest_error(bench.tasks)
    chance = chance_error(bench.tasks, bench.metric)
    return [
        Run(
            run=trial.name,
            role=trial.role,
            pool=pool,
            weights=None if single else dict(trial.weights),
            unique_samples=unique[pool] if pool is not None else unique,
            pool_samples=whole[pool] if pool is not None else whole,
            samples_seen=m.samples_seen,
            error=max(error_of(bench.metric, m.metrics), floor),
            metric=bench.metric,
            metrics=m.metrics,
            seed=trial.seed,
            recipe=bench.recipe.label,
            model=bench.recipe.model,
            flops=m.flops,
            final=True,
            chance_error=chance,
        )
        for m in measured
    ]


def default_jobs(device: str) -> int:
    """Trials at a time: one a GPU (of all, or the one that is named), or one a core where there is none."""
    if device.startswith("cuda"):
        return torch.cuda.device_count() if device == "cuda" else 1
    return len(os.sched_getaffinity(0))


def subsample(uids: Sequence[str], fraction: float) -> list[str]:
    """The first `fraction` of a fixed shuffle of a pool, so that smaller subsamples lie in larger ones."""
    count = _share(len(uids), fraction)
    order = np.random.default_rng([SUBSAMPLE_SEED, len(uids)]).permutation(len(uids))[:count]
    return [uids[place] for place in order.tolist()]


def num_unique(members: Members, weights: Mapping[str, float], fraction: float) -> dict[str, int]:
    """Pairs of each pool of a mix that `subsample` keeps."""
    return {name: _share(len(members[name]), fraction) for name in weights}


def _share(count: int, fraction: float) -> int:
    return max(1, round(count * fraction))


def draw_pairs(
    members: Members, weights: Mapping[str, float], fraction: float, samples_seen: int, opened: OpenDataset
) -> Pairs:
    """The pairs of a mix, with the repeats that give its pools their weights in a run of `samples_seen`.

    Raises:
        InputError: an image that was scored cannot be decoded any more.
    """
    rates = repeat_rates(weights, num_unique(members, weights, fraction), samples_seen)
    rows, repeats = [], []
    for name in weights:
        uids = subsample(members[name], fraction)
        rows.append(opened.places(uids))
        repeats.append(whole_repeats(uid_words(uids), rates[name]).astype(np.int64))
    all_rows, all_repeats = np.concatenate(rows), np.concatenate(repeats)
    if len(all_rows) != len(all_repeats):
        raise InputError(
            f"images of the pools no longer decode ({len(opened.rejects)}); score and cut the shards again"
        )
    shown = all_repeats > 0
    return Pairs(
        images=opened.images, tokens=opened.tokens_nT, rows=all_rows[shown], repeats=all_repeats[shown]
    )
