"""The files of a workdir, read into one record."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from thresher.curate.pools.record import POOLS_FILE, TABLE_FILE, Pools, load_pools
from thresher.errors import InputError
from thresher.planning.laws.laws_file import load_laws
from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.plan_file import load_plan
from thresher.planning.runs.ledger import read_runs
from thresher.planning.runs.record import Run
from thresher.report.training_runs import TrainingRun, read_training_runs
from thresher.sharded.parts import list_quarantines


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
    runs = comparable(read_runs(ledger), laws) if ledger.is_file() else runs_of(laws)
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
        planted=_read_planted(root / "planted.json"),
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
    return [run for run in runs if laws is None or _is_comparable(run, laws)]


def _is_comparable(run: Run, laws: Laws) -> bool:
    pairs = ((run.metric, laws.metric), (run.recipe, laws.recipe), (run.model, laws.model))
    return all(of_run == of_laws or None in (of_run, of_laws) for of_run, of_laws in pairs)


def runs_of(laws: Laws | None) -> list[Run]:
    """The runs that the laws were fitted to and checked with."""
    return [] if laws is None else [point.run for point in (*laws.points, *laws.check.points)]


def open_table(path: Path) -> Any:
    """The Parquet file at `path`, opened but not read.

    Raises:
        InputError: it is no Parquet file.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable Parquet file ({error}); make it again") from error


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _quarantine(root: Path) -> tuple[Path, ...]:
    joined = root / "quarantine.parquet"
    if joined.is_file():
        return (joined,)
    return (*list_quarantines(root / "scores"), *(root / "pools").glob("quarantine.parquet"))


def _read_planted(path: Path) -> dict[str, str]:
    """Uid -> label; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        planted = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); make it again or delete it") from error
    if not isinstance(planted, dict):
        raise InputError(
            f"{path} holds a {type(planted).__name__}, not uid -> label; make it again or delete it"
        )
    return {uid: str(label) for uid, label in planted.items()}
