"""A learned combination as a file: JSON, so that it can be read and never runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.combine.learned import Column, HeldOut, LearnedModel, Measured
from thresher.combine.ranks import Quantiles
from thresher.data.writer import write_json
from thresher.errors import InputError

SCHEMA = "thresher.combination"


def save_model(model: LearnedModel, path: Path) -> None:
    """Write a model as JSON."""
    held = model.held_out
    content = {
        "schema": SCHEMA,
        "version": 1,
        "columns": [
            {
                "name": column.name,
                "weight": column.weight,
                "fingerprint": column.fingerprint,
                "values": column.quantiles.values,
                "shares": column.quantiles.shares,
            }
            for column in model.columns
        ],
        "intercept": model.intercept,
        "l2": model.l2,
        "held_out": {
            "pairs": held.num_pairs,
            "good": held.num_good,
            "groups": held.num_groups,
            "combined": _record(held.combined),
            "columns": {name: _record(one) for name, one in held.columns.items()},
            "best": held.best,
            "gain": _record(held.gain),
        },
    }
    write_json(path, content)


def load_model(path: Path) -> LearnedModel:
    """A model that `save_model` wrote.

    Raises:
        InputError: the file is absent, or no model of this release.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA or content["version"] != 1:
            raise InputError(f"{path} is no {SCHEMA} of version 1; learn the combination again")
        held = content["held_out"]
        return LearnedModel(
            tuple(
                Column(
                    str(one["name"]),
                    float(one["weight"]),
                    Quantiles(tuple(one["values"]), tuple(one["shares"])),
                    str(one["fingerprint"]),
                )
                for one in content["columns"]
            ),
            float(content["intercept"]),
            float(content["l2"]),
            HeldOut(
                num_pairs=held["pairs"],
                num_good=held["good"],
                num_groups=held["groups"],
                combined=_measured(held["combined"]),
                columns={name: _measured(one) for name, one in held["columns"].items()},
                best=held["best"],
                gain=_measured(held["gain"]),
            ),
        )
    except FileNotFoundError as error:
        raise InputError(f"there is no model {path}; `thresher combine --labels` writes one") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no model of `thresher combine` ({error!r} is not as it should be)"
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON ({error}); learn the combination again") from error


def _record(measured: Measured) -> dict[str, float]:
    return {"value": measured.value, "standard_error": measured.standard_error}


def _measured(record: Mapping[str, Any]) -> Measured:
    return Measured(float(record["value"]), float(record["standard_error"]))
