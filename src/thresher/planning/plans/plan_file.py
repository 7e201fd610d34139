"""The file `plan.json`: a plan written and read back without loss.

Schema "thresher.plan", version 1; its fields are those of `Plan`. A crossover's "low" or "high" is null
where it lies outside the budgets that were looked at. Files of older releases lack the fields after "pools",
which then have their defaults.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thresher.data.files.atomic import write_json
from thresher.planning.laws.laws_file import read_record
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import (
    TOLERANCE,
    BudgetPlan,
    Candidate,
    Charge,
    Crossover,
    FrontierPoint,
    Payback,
    Policy,
    Weighting,
)

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
        "budgets": [_budget_to_record(budget) for budget in plan.budgets],
        "crossovers": [
            {
                "from": crossover.before,
                "to": crossover.after,
                "samples_seen": crossover.samples_seen,
                "low": crossover.low,
                "high": crossover.high,
                "chance": crossover.chance,
            }
            for crossover in plan.crossovers
        ],
        "pools": [{"name": name, "num_samples": count} for name, count in plan.pools.items()],
        "tolerance": plan.tolerance,
        "weights": plan.weights,
        "looked_at": None if plan.looked_at is None else list(plan.looked_at),
        "frontier": [asdict(point) for point in plan.frontier],
        "policies": [{**asdict(policy), "regrets": list(policy.regrets)} for policy in plan.policies],
        "payback": None
        if plan.payback is None
        else {**asdict(plan.payback), "budgets": [asdict(charge) for charge in plan.payback.budgets]},
        "status": list(plan.status),
    }


def _budget_to_record(budget: BudgetPlan) -> dict[str, object]:
    weighting = budget.weighting
    return {
        "samples_seen": budget.samples_seen,
        "best": budget.best,
        "verdict": budget.verdict,
        "decision": budget.decision,
        "rival": budget.rival,
        "as_good": list(budget.as_good),
        "candidates": [_candidate_to_record(candidate) for candidate in budget.candidates],
        "weighting": None
        if weighting is None
        else {**asdict(weighting), "candidate": _candidate_to_record(weighting.candidate)},
    }


def _candidate_to_record(candidate: Candidate) -> dict[str, object]:
    return {**asdict(candidate), "pools": list(candidate.pools)}


def _from_record(record: Mapping[str, Any]) -> Plan:
    looked_at, payback = record.get("looked_at"), record.get("payback")
    return Plan(
        law=record["law"],
        metric=record["metric"],
        budgets=tuple(_budget_from_record(budget) for budget in record["budgets"]),
        crossovers=tuple(
            Crossover(
                before=crossover["from"],
                after=crossover["to"],
                samples_seen=crossover["samples_seen"],
                low=crossover["low"],
                high=crossover["high"],
                chance=crossover.get("chance", 1.0),
            )
            for crossover in record["crossovers"]
        ),
        pools={pool["name"]: int(pool["num_samples"]) for pool in record["pools"]},
        status=tuple(record["status"]),
        tolerance=record.get("tolerance", TOLERANCE),
        weights=record.get("weights", "subsets"),
        looked_at=None if looked_at is None else (looked_at[0], looked_at[1]),
        frontier=tuple(FrontierPoint(**point) for point in record.get("frontier", ())),
        policies=tuple(
            Policy(**{**policy, "regrets": tuple(policy["regrets"])}) for policy in record.get("policies", ())
        ),
        payback=None
        if payback is None
        else Payback(**{**payback, "budgets": tuple(Charge(**charge) for charge in payback["budgets"])}),
    )


def _budget_from_record(record: Mapping[str, Any]) -> BudgetPlan:
    weighting = record.get("weighting")
    return BudgetPlan(
        samples_seen=int(record["samples_seen"]),
        best=record["best"],
        candidates=tuple(_candidate_from_record(candidate) for candidate in record["candidates"]),
        decision=record["decision"],
        verdict=record.get("verdict", "unclear"),
        rival=record.get("rival"),
        as_good=tuple(record.get("as_good", ())),
        weighting=None
        if weighting is None
        else Weighting(**{**weighting, "candidate": _candidate_from_record(weighting["candidate"])}),
    )


def _candidate_from_record(record: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**record, "pools": tuple(record["pools"])})
