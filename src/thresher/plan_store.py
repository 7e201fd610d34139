"""The file `plan.json`: a plan written and read back without loss.

Schema "thresher.plan", version 1; its fields are those of `Plan`. A crossover's "low" or "high" is null
where it lies outside the budgets that were looked at.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thresher.crossovers import Crossover
from thresher.data.writer import write_json
from thresher.laws.store import read_record
from thresher.plan import BudgetPlan, Candidate, Plan

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
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "law": plan.law,
        "metric": plan.metric,
        "budgets": [
            {
                "samples_seen": budget.samples_seen,
                "best": budget.best,
                "decision": budget.decision,
                "candidates": [
                    {**asdict(candidate), "pools": list(candidate.pools)} for candidate in budget.candidates
                ],
            }
            for budget in plan.budgets
        ],
        "crossovers": [
            {
                "from": crossover.before,
                "to": crossover.after,
                "samples_seen": crossover.samples_seen,
                "low": crossover.low,
                "high": crossover.high,
            }
            for crossover in plan.crossovers
        ],
        "pools": [{"name": name, "num_samples": count} for name, count in plan.pools.items()],
        "status": list(plan.status),
    }


def _from_record(record: Mapping[str, Any]) -> Plan:
    return Plan(
        law=record["law"],
        metric=record["metric"],
        budgets=tuple(
            BudgetPlan(
                samples_seen=int(budget["samples_seen"]),
                best=budget["best"],
                candidates=tuple(
                    Candidate(**{**candidate, "pools": tuple(candidate["pools"])})
                    for candidate in budget["candidates"]
                ),
                decision=budget["decision"],
            )
            for budget in record["budgets"]
        ),
        crossovers=tuple(
            Crossover(
                before=crossover["from"],
                after=crossover["to"],
                samples_seen=crossover["samples_seen"],
                low=crossover["low"],
                high=crossover["high"],
            )
            for crossover in record["crossovers"]
        ),
        pools={pool["name"]: int(pool["num_samples"]) for pool in record["pools"]},
        status=tuple(record["status"]),
    )
