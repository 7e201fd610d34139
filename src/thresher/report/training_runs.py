"""Training runs as they were left on disk: what each measured, what it cost and what its selection did."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError
from thresher.models.evaluation.metrics import ERRORS
from thresher.train import picks

RESULT_FILE = "result.json"
SELECTION_FILE = "selection.jsonl"
MATRIX_FILE = "matrix.npy"  # named so by the trainer, whose module needs PyTorch, as is the one above
SCHEMA = "thresher.training"


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
    results = [(path.parent, _read_json(path)) for path in sorted(found)]
    results = [(folder, result) for folder, result in results if result.get("schema") == SCHEMA]
    metric = metric if metric in ERRORS else _first_metric(result for _, result in results)
    runs = (_run(folder, result, metric) for folder, result in results) if metric is not None else ()
    return tuple(run for run in runs if run.measured)


def method_of(settings: Mapping[str, Any]) -> str:
    """How a run chooses its batches, in words.

    >>> method_of({"select": "joint", "filter_ratio": 0.9, "flexi": 8})
    'joint, f = 0.9, flexi'
    >>> method_of({"loss": "rho"})
    'uniform, steered by the reference'
    """
    parts = [str(settings.get("select", "uniform"))]
    if parts[0] != "uniform":
        ratio, end = settings.get("filter_ratio", 0.8), settings.get("filter_ratio_end")
        parts.append(f"f = {ratio:g}" if end is None else f"f = {ratio:g} to {end:g}")
        if settings.get("criterion", "learnability") != "learnability":
            parts.append(str(settings["criterion"]))
        if settings.get("flexi"):
            parts.append("flexi")
    if settings.get("loss") == "rho":
        parts.append("steered by the reference")
    return ", ".join(parts)


def _run(folder: Path, result: Mapping[str, Any], metric: str) -> TrainingRun:
    measured = [_measured(point, metric) for point in result.get("measured", ())]
    selected = (folder / picks.UIDS_FILE).is_file() and (folder / picks.FILE).is_file()
    return TrainingRun(
        folder=folder,
        method=result.get("method") or method_of(result.get("settings", {})),
        metric=metric,
        measured=tuple(sorted((m for m in measured if m), key=lambda m: m.samples_seen)),
        lines=tuple(_read_lines(folder / SELECTION_FILE)),
        times_n=picks.counts(folder, len(picks.read_uids(folder))) if selected else None,
        matrix_bb=_read_matrix(folder / MATRIX_FILE),
    )


def _measured(point: Mapping[str, Any], metric: str) -> Measured | None:
    try:
        error = ERRORS[metric](point["metrics"])
    except KeyError:
        return None
    flops = point.get("flops_by_kind") or {"train": point["flops"]}
    return Measured(samples_seen=int(point["samples_seen"]), flops=dict(flops), error=error)


def _first_metric(results: Iterable[Mapping[str, Any]]) -> str | None:
    """The first error that some model was measured by."""
    points = [point for result in results for point in result.get("measured", ())]
    for metric in ERRORS:
        if any(_measured(point, metric) for point in points):
            return metric
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); train again, or delete it") from error
    return content if isinstance(content, dict) else {}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines, without a torn last one."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise InputError(f"{path} is not JSON lines ({error}); delete it, or train again") from error


def _read_matrix(path: Path) -> npt.NDArray[np.float32] | None:
    if not path.is_file():
        return None
    matrix: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
    return matrix if matrix.ndim == 2 and matrix.size else None
