"""The file `laws.json`: fitted laws written and read back without loss.

Schema "thresher.laws", version 1; its fields are those of `Laws` and, for each law under "fits", of `Fit`.
Maps keep the order of the fit, so the same fit gives the same bytes.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from thresher.data.files.atomic import write_json
from thresher.errors import InputError
from thresher.planning.laws.fits import Fit, Interval, PoolLaw
from thresher.planning.laws.from_parameters import laws_from_parameters
from thresher.planning.laws.law import shared_names
from thresher.planning.laws.limits import check_own
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Check, Laws, LawScore, Point
from thresher.planning.runs.record import run_from_record, run_to_record

SCHEMA = "thresher.laws"
VERSION = 1
Built = TypeVar("Built")


def save_laws(path: Path | str, laws: Laws) -> None:
    """Write `laws` to `path`, whole or not at all."""
    write_json(Path(path), laws_to_record(laws))


def load_laws(path: Path | str) -> Laws:
    """The laws that `save_laws` wrote, or those of a file with known parameters (`given.py`).

    Raises:
        InputError: where the file is missing, is not a laws file of this version, or lacks a field.
    """
    return read_record(Path(path), SCHEMA, VERSION, "thresher fit", _from_record)


def laws_to_record(laws: Laws) -> dict[str, object]:
    """The laws as a JSON object."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "law": laws.best.law,
        "metric": laws.metric,
        "recipe": laws.recipe,
        "model": laws.model,
        "params": laws.params,
        "replacement": laws.replacement,
        "longest": laws.longest,
        "drift": laws.drift,
        "status": list(laws.status),
        "warnings": list(laws.warnings),
        "fits": [
            {"weight": weight, **_fit_to_record(fit)}
            for fit, weight in zip(laws.fits, laws.weights, strict=True)
        ],
        "comparison": [asdict(score) for score in laws.comparison],
        "points": [_point_to_record(point) for point in laws.points],
        "check": {
            "mae": laws.check.mae,
            "mae_of_mean": laws.check.mae_of_mean,
            "points": [_point_to_record(point) for point in laws.check.points],
        },
    }


def _fit_to_record(fit: Fit) -> dict[str, object]:
    return {
        "law": fit.law,
        "shared": dict(fit.shared),
        "pools": [
            {
                "name": pool.name,
                **pool.values,
                "num_unique": pool.num_unique,
                "pool_samples": pool.pool_samples,
                "intervals": _intervals_to_record(pool.intervals),
                "status": list(pool.status),
            }
            for pool in fit.pools
        ],
        "num_params": fit.num_params,
        "intervals": _intervals_to_record(fit.intervals),
        "noise": fit.noise,
        "noise_freedom": fit.noise_freedom if math.isfinite(fit.noise_freedom) else None,
        **({"own": list(fit.own)} if fit.own else {}),
        "status": list(fit.status),
        "draw_names": list(fit.draw_names),
        "draws": fit.draws_SX.tolist(),
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
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} lacks a field or holds a wrong one ({error}); make it again") from None


def _from_record(record: Mapping[str, Any]) -> Laws:
    if "fits" not in record and "shared" in record:
        return laws_from_parameters(record)
    check = record["check"]
    return Laws(
        metric=record["metric"],
        recipe=record["recipe"],
        model=record["model"],
        fits=tuple(_fit_from_record(fit) for fit in record["fits"]),
        weights=tuple(float(fit["weight"]) for fit in record["fits"]),
        comparison=tuple(LawScore(**score) for score in record["comparison"]),
        status=tuple(record["status"]),
        warnings=tuple(record["warnings"]),
        params=record["params"],
        replacement=bool(record["replacement"]),
        longest=None if record["longest"] is None else float(record["longest"]),
        drift=float(record["drift"]),
        points=_points_from_record(record["points"]),
        check=Check(
            mae=check["mae"], mae_of_mean=check["mae_of_mean"], points=_points_from_record(check["points"])
        ),
    )


def _fit_from_record(record: Mapping[str, Any]) -> Fit:
    law = LAWS.get(record["law"])
    if law is None:
        raise InputError(f"there is no law {record['law']!r}; choose one of {', '.join(LAWS)}")
    names = tuple(record["draw_names"])
    own = tuple(record.get("own", ()))
    check_own(own, (), (law,), len(record["pools"]))
    kinds = (law.worth, "tau", *own) if law.has_half_life else (law.worth, *own)
    sized = record["num_params"] is not None
    return Fit(
        law=law.name,
        shared={name: float(record["shared"][name]) for name in shared_names(law, sized=sized)},
        pools=tuple(
            PoolLaw(
                name=pool["name"],
                values={name: float(pool[name]) for name in kinds},
                num_unique=float(pool["num_unique"]),
                pool_samples=float(pool["pool_samples"]),
                intervals=_intervals_from_record(pool["intervals"]),
                status=tuple(pool["status"]),
            )
            for pool in record["pools"]
        ),
        num_params=record["num_params"],
        intervals=_intervals_from_record(record["intervals"]),
        noise=float(record["noise"]),
        noise_freedom=math.inf if (freedom := record.get("noise_freedom")) is None else float(freedom),
        status=tuple(record["status"]),
        draws_SX=np.array(record["draws"], float).reshape(-1, len(names)),
        draw_names=names,
        own=own,
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
