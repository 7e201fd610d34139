"""The files of a workdir, read into one record."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from thresher.curate.pools.record import POOLS_FILE, TABLE_FILE, Pools, load_pools
from thresher.data.files.npy import load_array
from thresher.data.files.record_file import from_record, own_file
from thresher.errors import InputError
from thresher.models.evaluation.settings import ERRORS
from thresher.planning.laws.laws_file import load_laws
from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan, load_plan
from thresher.planning.runs.ledger import read_runs
from thresher.planning.runs.nested import disjoint
from thresher.planning.runs.record import Run
from thresher.sharded.parts import list_quarantines
from thresher.tables import decimal
from thresher.train import picks

RESULT_FILE = "result.json"
SELECTION_FILE = "selection.jsonl"
MATRIX_FILE = "matrix.npy"  # named so by the trainer, whose module needs PyTorch, as is the one above
SCHEMA = "thresher.training"
REMEDY = "train again, or delete it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A finished model: samples seen, FLOPs by kind, error."""

    samples_seen: int
    flops: Mapping[str, float]
    error: float

    @property
    def total_flops(self) -> float:
        """FLOPs of all kinds."""
        return sum(self.flops.values())


@dataclasses.dataclass(frozen=True, slots=True)
class _Point:
    """What a result says of a finished model."""

    samples_seen: int
    metrics: dict[str, float]
    flops: float = 0.0
    flops_by_kind: Mapping[str, float] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Settings:
    """What a result says of how batches were chosen; what it leaves out was no setting yet."""

    select: str = "uniform"
    filter_ratio: float = 0.8
    filter_ratio_end: float | None = None
    criterion: str = "learnability"
    flexi: int = 0
    loss: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Learnability:
    """Mean scores of a batch that was chosen in three ways."""

    chosen: float
    independent: float
    uniform: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Selection:
    """What a line says of the batches since the last one."""

    step: int
    learnability: _Learnability | None = None
    rank_correlation: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingRun:
    """One training run.

    Attributes:
        folder: where it lies.
        method: how its batches were chosen, in words; runs that differ in nothing but the seed share it.
        metric: of the errors.
        measured: finished models, by samples seen.
        lines: what selection did, a record every few steps; empty where nothing was selected.
        times_n: how often each pair was trained on, None where nothing was selected.
        matrix_bb: scores of the pairs of one batch with each other, in the order in which they were chosen.
    """

    folder: Path
    method: str
    metric: str
    measured: tuple[Measured, ...]
    lines: tuple[Mapping[str, Any], ...]
    times_n: npt.NDArray[np.int64] | None
    matrix_bb: npt.NDArray[np.float32] | None


def read_training_runs(root: Path, metric: str | None = None) -> tuple[TrainingRun, ...]:
    """The finished training runs in `root`, its folders and their folders, sorted by folder.

    Args:
        root: a workdir, or a folder of training runs.
        metric: error to show; None takes the first that was measured.

    Raises:
        InputError: the result of a run is no JSON.
    """
    found = (path for depth in ("", "*/", "*/*/") for path in root.glob(f"{depth}{RESULT_FILE}"))
    read = ((path.parent, _read_json(path, REMEDY)) for path in sorted(found))
    results = []
    for folder, result in read:
        if isinstance(result, dict) and result.get("schema") == SCHEMA:
            with own_file(folder / RESULT_FILE, REMEDY):
                points = from_record(tuple[_Point, ...], result["measured"], place="measured")
                results.append((folder, _method(result), points))
    metric = metric if metric in ERRORS else _first_metric(one for *_, points in results for one in points)
    runs = (_run(*result, metric) for result in results) if metric is not None else ()
    return tuple(run for run in runs if run.measured)


def _method(result: Mapping[str, Any]) -> str:
    told = from_record(str | None, result.get("method"), place="method")
    return told or method_of(result["settings"])


def method_of(settings: Mapping[str, Any]) -> str:
    """How a run chooses its batches, in words.

    >>> method_of({"select": "joint", "filter_ratio": 0.9, "flexi": 8})
    'joint, f = 0.9, flexi'
    >>> method_of({"loss": "rho"})
    'uniform, steered by the reference'
    """
    told: _Settings = from_record(_Settings, settings, place="settings")
    parts = [told.select]
    if told.select != "uniform":
        ratio, end = told.filter_ratio, told.filter_ratio_end
        parts.append(f"f = {decimal(ratio)}" if end is None else f"f = {decimal(ratio)} to {decimal(end)}")
        if told.criterion != "learnability":
            parts.append(told.criterion)
        if told.flexi:
            parts.append("flexi")
    if told.loss == "rho":
        parts.append("steered by the reference")
    return ", ".join(parts)


def _run(folder: Path, method: str, points: Sequence[_Point], metric: str) -> TrainingRun:
    measured = (_measured(point, metric) for point in points)
    selected = (folder / picks.UIDS_FILE).is_file() and (folder / picks.FILE).is_file()
    return TrainingRun(
        folder=folder,
        method=method,
        metric=metric,
        measured=tuple(sorted((m for m in measured if m), key=lambda m: m.samples_seen)),
        lines=tuple(_read_lines(folder / SELECTION_FILE)),
        times_n=picks.counts(folder, len(picks.read_uids(folder))) if selected else None,
        matrix_bb=_read_matrix(folder / MATRIX_FILE),
    )


def _measured(point: _Point, metric: str) -> Measured | None:
    try:
        error = ERRORS[metric](point.metrics)
    except KeyError:
        return None
    flops = point.flops_by_kind or {"train": point.flops}
    return Measured(samples_seen=point.samples_seen, flops=flops, error=error)


def _first_metric(points: Iterable[_Point]) -> str | None:
    """The first error that some model was measured by."""
    known = list(points)
    return next((metric for metric in ERRORS if any(_measured(point, metric) for point in known)), None)


def _read_json(path: Path, remedy: str) -> Any:
    with own_file(path, remedy):
        return json.loads(path.read_bytes())


def _read_lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The records of a file of JSON lines, without a torn last one."""
    if not path.is_file():
        return ()
    with own_file(path, "delete it, or train again"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        from_record(tuple[_Selection, ...], lines, place="lines")
    return tuple(lines)


def _read_matrix(path: Path) -> npt.NDArray[np.float32] | None:
    if not path.is_file():
        return None
    with own_file(path, "delete it, or train again"):
        matrix = load_array(path).astype(np.float32)
    return matrix if matrix.ndim == 2 and matrix.size else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workdir:
    """The parsed files of one workdir; None or empty where a file is absent.

    `runs` are those that `laws` can be compared with, or those that it holds where there is no ledger.
    `quarantine` is the joined table of a whole run, or else the tables that its stages left.
    """

    root: Path
    score_parts: tuple[Path, ...]
    pools: Pools | None
    pools_table: Path | None
    runs: tuple[Run, ...]
    laws: Laws | None
    plan: Plan | None
    subset: Path | None
    quarantine: tuple[Path, ...]
    planted: dict[str, str]
    training: tuple[TrainingRun, ...] = ()


def read_workdir(root: Path) -> Workdir:
    """Everything in `root` that the report can show.

    Raises:
        InputError: `root` is no folder, holds nothing to report on, or a file in it cannot be used.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; give the workdir of a run")
    parts = sorted(p for p in (root / "scores" / "parts").glob("*.parquet") if ".quarantine." not in p.name)
    laws = load_laws(root / "laws.json") if (root / "laws.json").is_file() else None
    ledger = root / "runs.jsonl"
    runs = comparable(read_runs(ledger), laws) if ledger.is_file() else [] if laws is None else laws.runs
    workdir = Workdir(
        root=root,
        score_parts=tuple(parts),
        pools=load_pools(root / "pools") if (root / "pools" / POOLS_FILE).is_file() else None,
        pools_table=_existing(root / "pools" / TABLE_FILE),
        runs=tuple(runs),
        laws=laws,
        plan=load_plan(root / "plan.json") if (root / "plan.json").is_file() else None,
        subset=_existing(root / "subset" / "meta.json"),
        quarantine=_quarantine(root),
        planted=read_planted(root / "planted.json"),
        training=read_training_runs(root, None if laws is None else laws.metric),
    )
    some = (workdir.score_parts, workdir.pools, workdir.runs, workdir.quarantine, workdir.training)
    if not any(some) and all(part is None for part in (workdir.laws, workdir.plan, workdir.subset)):
        raise InputError(
            f"{root} holds nothing to report on: no scores/, pools/, runs.jsonl, laws.json, plan.json, "
            "subset/, train/ or quarantine.parquet; run a stage first, or give the workdir of a run"
        )
    return workdir


def comparable(runs: Iterable[Run], laws: Laws | None) -> list[Run]:
    """The runs of the laws' metric, recipe and model; one that does not name them is taken for it."""
    if laws is None:
        return list(runs)
    named = {name: getattr(laws, name) for name in ("metric", "recipe", "model")}
    wanted = [(name, (None, own)) for name, own in named.items() if own is not None]
    alike = [run for run in runs if all(getattr(run, name) in known for name, known in wanted)]
    return disjoint(alike, laws.within)


def open_table(path: Path) -> Any:
    """The Parquet file at `path`, opened but not read.

    Raises:
        InputError: it is no Parquet file.
    """
    with own_file(path, "make it again"):
        return pq.ParquetFile(path)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _quarantine(root: Path) -> tuple[Path, ...]:
    joined = root / "quarantine.parquet"
    if joined.is_file():
        return (joined,)
    return (*list_quarantines(root / "scores"), *(root / "pools").glob("quarantine.parquet"))


def read_planted(path: Path) -> dict[str, str]:
    """Uid -> label; empty where there is no such file."""
    if not path.is_file():
        return {}
    with own_file(path, "make it again or delete it"):
        planted: dict[str, str] = from_record(dict[str, str], json.loads(path.read_bytes()))
    return planted
