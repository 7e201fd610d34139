"""The file `laws.json`: fitted laws written and read back without loss.

Schema "thresher.laws", version 1; its fields are those of `Laws` and, for each law under "fits", of `Fit`.
Maps keep the order of the fit, so the same fit gives the same bytes.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from thresher.data.files.atomic import write_json
from thresher.data.files.record_file import from_record, read_record, to_record
from thresher.errors import InputError
from thresher.planning.laws.fits import Fit, PoolLaw
from thresher.planning.laws.from_parameters import laws_from_parameters
from thresher.planning.laws.law import shared_names
from thresher.planning.laws.limits import check_own
from thresher.planning.laws.predict import predict_draws
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws, Point
from thresher.planning.runs.record import Run, run_from_record, run_to_record

SCHEMA = "thresher.laws"
VERSION = 1


def save_laws(path: Path | str, laws: Laws) -> None:
    """Write `laws` to `path`, whole or not at all."""
    write_json(Path(path), laws_to_record(laws))


def load_laws(path: Path | str) -> Laws:
    """The laws that `save_laws` wrote, or those of a file with known parameters (`from_parameters.py`).

    Raises:
        InputError: where the file is missing, is not a laws file of this version, or lacks a field.
    """
    return read_record(Path(path), SCHEMA, VERSION, "thresher fit", _from_record)


def laws_to_record(laws: Laws) -> dict[str, object]:
    """The laws as a JSON object."""
    record = to_record(laws, {Fit: _fit_to_record, Point: _point_to_record})
    weights = record.pop("weights")
    if laws.surface is None:
        del record["surface"]
    record["fits"] = [{"weight": weight, **fit} for weight, fit in zip(weights, record["fits"], strict=True)]
    return {"schema": SCHEMA, "version": VERSION, "law": laws.best.law, **record}


def _fit_to_record(fit: Fit) -> dict[str, Any]:
    record: dict[str, Any] = to_record(fit, {PoolLaw: _pool_to_record})
    record["noise_freedom"] = fit.noise_freedom if math.isfinite(fit.noise_freedom) else None
    return {name: value for name, value in record.items() if name != "own" or fit.own}


def _pool_to_record(pool: PoolLaw) -> dict[str, Any]:
    """A pool with its parameters beside its name."""
    record = to_record(pool)
    return {"name": record.pop("name"), **record.pop("values"), **record}


def _point_to_record(point: Point) -> dict[str, Any]:
    """A point as its run, with the prediction beside it."""
    run = {
        name: value for name, value in run_to_record(point.run).items() if name not in ("schema", "version")
    }
    return {**run, "predicted": point.predicted, "residual": point.residual}


def _from_record(record: Mapping[str, Any]) -> Laws:
    if "fits" not in record and "shared" in record:
        return laws_from_parameters(record)
    optional = {"surface"} - set(record)
    whole = {
        field.name: record[field.name] for field in fields(Laws) if field.name not in {"weights", *optional}
    }
    weights = [fit["weight"] for fit in record["fits"]]
    forms = {Fit: _fit_from_record, Point: _point_from_record}
    laws: Laws = from_record(Laws, {**whole, "weights": weights}, forms)
    _check_together(laws)
    return laws


def _check_together(laws: Laws) -> None:
    """Refuse parameters that fit their types and not each other: an error of each pool has to be a number."""
    names = [[pool.name for pool in fit.pools] for fit in laws.fits]
    if not names[0] or any(other != names[0] for other in names):
        raise ValueError("its laws are not of the same pools")
    with np.errstate(all="ignore"):
        sizes_P = [pool.num_unique for pool in laws.fits[0].pools]
        error_SP = predict_draws(laws, laws.longest or 1e6, np.eye(len(names[0])), sizes_P)
    if not np.isfinite(error_SP).all():
        raise ValueError("a parameter has a value with which errors are no numbers")


def _fit_from_record(record: Mapping[str, Any]) -> Fit:
    law = LAWS.get(record["law"])
    if law is None:
        raise InputError(f"there is no law {record['law']!r}; choose one of {', '.join(LAWS)}")
    own, freedom = tuple(record.get("own", ())), record.get("noise_freedom")
    check_own(own, (), (law,), len(record["pools"]))
    kinds = (law.worth, "tau", *own) if law.has_half_life else (law.worth, *own)
    sized, crowded = record["num_params"] is not None, "room" in record["shared"]
    names = shared_names(law, sized=sized, crowded=crowded)
    changed = {
        "shared": {name: record["shared"][name] for name in names},
        "pools": [{**pool, "values": {name: pool[name] for name in kinds}} for pool in record["pools"]],
        "noise_freedom": math.inf if freedom is None else freedom,
        "draws": np.array(record["draws"], float).reshape(-1, len(record["draw_names"])),
    }
    fit: Fit = from_record(Fit, {**record, **changed})
    return fit


def _point_from_record(record: Mapping[str, Any]) -> Point:
    point: Point = from_record(Point, {**record, "run": record}, {Run: run_from_record})
    return point
