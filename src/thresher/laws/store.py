"""The file `laws.json`: a fitted law written and read back without loss.

Schema "thresher.laws", version 1; its fields are those of `Fit`, with A, n0, d and gamma under "shared".
Maps keep the order of the fit, so the same fit gives the same bytes.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from thresher.data.writer import write_json
from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.limits import SHARED
from thresher.laws.result import Check, Fit, Interval, Point, PoolLaw
from thresher.runs import run_from_record, run_to_record

SCHEMA = "thresher.laws"
VERSION = 1
Built = TypeVar("Built")


def save_laws(path: Path | str, fit: Fit) -> None:
    """Write `fit` to `path`, whole or not at all."""
    write_json(Path(path), laws_to_record(fit))


def load_laws(path: Path | str) -> Fit:
    """The fit that `save_laws` wrote.

    Raises:
        InputError: where the file is missing, is not a laws file of this version, or lacks a field.
    """
    return read_record(Path(path), SCHEMA, VERSION, "thresher fit", _from_record)


def laws_to_record(fit: Fit) -> dict[str, object]:
    """The fit as a JSON object."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "law": fit.law,
        "metric": fit.metric,
        "recipe": fit.recipe,
        "model": fit.model,
        "shared": {name: getattr(fit, name) for name in SHARED},
        "pools": [
            {
                "name": pool.name,
                "b": pool.b,
                "tau": pool.tau,
                "num_unique": pool.num_unique,
                "pool_samples": pool.pool_samples,
                "intervals": _intervals_to_record(pool.intervals),
                "status": list(pool.status),
            }
            for pool in fit.pools
        ],
        "intervals": _intervals_to_record(fit.intervals),
        "noise": fit.noise,
        "status": list(fit.status),
        "warnings": list(fit.warnings),
        "draw_names": list(fit.draw_names),
        "draws": fit.draws_SX.tolist(),
        "points": [_point_to_record(point) for point in fit.points],
        "check": {
            "mae": fit.check.mae,
            "mae_of_mean": fit.check.mae_of_mean,
            "points": [_point_to_record(point) for point in fit.check.points],
        },
    }


def read_record(
    path: Path, schema: str, version: int, command: str, build: Callable[[Mapping[str, Any]], Built]
) -> Built:
    """`build` applied to the JSON object at `path`; every way to fail becomes an `InputError`."""
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); make it with `{command}`") from None
    except ValueError:
        raise InputError(f"{path} is not JSON; make it again with `{command}`") from None
    found = (record.get("schema"), record.get("version")) if isinstance(record, dict) else (None, None)
    if found != (schema, version):
        raise InputError(
            f"{path} holds {found[0]!r} version {found[1]!r}, not {schema!r} version {version}; "
            f"make it with `{command}`"
        )
    try:
        return build(record)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} lacks a field or holds a wrong one ({error}); make it again") from None


def _from_record(record: Mapping[str, Any]) -> Fit:
    if record["law"] not in LAWS:
        raise InputError(f"there is no law {record['law']!r}; choose one of {', '.join(sorted(LAWS))}")
    names = tuple(record["draw_names"])
    check = record["check"]
    return Fit(
        law=record["law"],
        metric=record["metric"],
        recipe=record["recipe"],
        model=record["model"],
        **{name: float(record["shared"][name]) for name in SHARED},
        pools=tuple(
            PoolLaw(
                name=pool["name"],
                b=float(pool["b"]),
                tau=None if pool["tau"] is None else float(pool["tau"]),
                num_unique=float(pool["num_unique"]),
                pool_samples=float(pool["pool_samples"]),
                intervals=_intervals_from_record(pool["intervals"]),
                status=tuple(pool["status"]),
            )
            for pool in record["pools"]
        ),
        intervals=_intervals_from_record(record["intervals"]),
        noise=float(record["noise"]),
        status=tuple(record["status"]),
        warnings=tuple(record["warnings"]),
        draws_SX=np.array(record["draws"], float).reshape(-1, len(names)),
        draw_names=names,
        points=_points_from_record(record["points"]),
        check=Check(
            mae=check["mae"], mae_of_mean=check["mae_of_mean"], points=_points_from_record(check["points"])
        ),
    )


def _intervals_to_record(intervals: Mapping[str, Interval]) -> dict[str, list[float]]:
    return {name: [low, high] for name, (low, high) in intervals.items()}


def _intervals_from_record(record: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: (float(low), float(high)) for name, (low, high) in record.items()}


def _point_to_record(point: Point) -> dict[str, object]:
    run = {
        name: value for name, value in run_to_record(point.run).items() if name not in ("schema", "version")
    }
    return {**run, "predicted": point.predicted, "residual": point.residual}


def _points_from_record(record: list[Mapping[str, Any]]) -> tuple[Point, ...]:
    return tuple(
        Point(
            run=run_from_record(point),
            predicted=float(point["predicted"]),
            residual=float(point["residual"]),
        )
        for point in record
    )
