"""The file `plan.json`: a plan written and read back without loss.

Schema "thresher.plan", version 1; its fields are those of `Plan`. A crossover's "low" or "high" is null
where it lies outside the budgets that were looked at. Files of older releases lack the fields after "pools",
which then have their defaults.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.data.files.atomic import write_json
from thresher.data.files.record_file import from_record, read_record, to_record
from thresher.planning.plans.plan import Plan

SCHEMA = "thresher.plan"
VERSION = 1


def save_plan(path: Path | str, plan: Plan) -> None:
    """Write `plan` to `path`, whole or not at all."""
    write_json(Path(path), plan_to_record(plan))


def load_plan(path: Path | str) -> Plan:
    """The plan that `save_plan` wrote.

    Raises:
        InputError: where the file is missing, is not a plan of this version, or lacks a field.
    """
    return read_record(Path(path), SCHEMA, VERSION, "thresher plan", _from_record)


def plan_to_record(plan: Plan) -> dict[str, object]:
    """The plan as a JSON object."""
    pools = [{"name": name, "num_samples": count} for name, count in plan.pools.items()]
    return {"schema": SCHEMA, "version": VERSION, **to_record(plan), "pools": pools}


def _from_record(record: Mapping[str, Any]) -> Plan:
    pools = {pool["name"]: pool["num_samples"] for pool in record["pools"]}
    plan: Plan = from_record(Plan, {**record, "pools": pools})
    return plan
