"""What a run left behind: the files of a workdir, read into one record."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from thresher.errors import InputError
from thresher.laws.result import Fit
from thresher.laws.store import load_laws
from thresher.plan import Plan
from thresher.plan_store import load_plan
from thresher.pools.record import POOLS_FILE, TABLE_FILE, Pools, load_pools
from thresher.runs import Run, read_runs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workdir:
    """The parsed files of one workdir; None or empty where a file is absent.

    `runs` are those that `laws` can be compared with.
    """

    root: Path
    score_parts: tuple[Path, ...]
    pools: Pools | None
    pools_table: Path | None
    runs: tuple[Run, ...]
    laws: Fit | None
    plan: Plan | None
    subset: Path | None
    quarantine: Path | None
    planted: dict[str, str]


def read_workdir(root: Path) -> Workdir:
    """Everything in `root` that the report can show.

    Raises:
        InputError: `root` is no folder, holds nothing to report on, or a file in it cannot be used.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; give the workdir of a run")
    parts = sorted(p for p in (root / "scores" / "parts").glob("*.parquet") if ".quarantine." not in p.name)
    laws = load_laws(root / "laws.json") if (root / "laws.json").is_file() else None
    runs = read_runs(root / "runs.jsonl") if (root / "runs.jsonl").is_file() else []
    workdir = Workdir(
        root=root,
        score_parts=tuple(parts),
        pools=load_pools(root / "pools") if (root / "pools" / POOLS_FILE).is_file() else None,
        pools_table=_existing(root / "pools" / TABLE_FILE),
        runs=tuple(comparable(runs, laws)),
        laws=laws,
        plan=load_plan(root / "plan.json") if (root / "plan.json").is_file() else None,
        subset=_existing(root / "subset" / "meta.json"),
        quarantine=_existing(root / "quarantine.parquet"),
        planted=_read_planted(root / "planted.json"),
    )
    later = (workdir.laws, workdir.plan, workdir.subset, workdir.quarantine)
    if not (workdir.score_parts or workdir.pools or workdir.runs) and all(part is None for part in later):
        raise InputError(
            f"{root} holds nothing to report on: no scores/, pools/, runs.jsonl, laws.json, plan.json, "
            "subset/ or quarantine.parquet; run a stage first, or give the workdir of a run"
        )
    return workdir


def comparable(runs: Iterable[Run], fit: Fit | None) -> list[Run]:
    """The runs of a fit's metric, recipe and model; a run that does not name one of them is taken for it."""
    return [run for run in runs if fit is None or _is_comparable(run, fit)]


def _is_comparable(run: Run, fit: Fit) -> bool:
    pairs = ((run.metric, fit.metric), (run.recipe, fit.recipe), (run.model, fit.model))
    return all(of_run == of_fit or None in (of_run, of_fit) for of_run, of_fit in pairs)


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
