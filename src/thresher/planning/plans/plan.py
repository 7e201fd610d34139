"""The plan: which mix of pools to train on at each budget, a result that shows itself as text and tables.

It is written as `plan.json` and read back without loss: schema "thresher.plan", version 1; its fields are
those of `Plan`. A crossover's "low" or "high" is null where it lies outside the budgets that were looked at.
Files of older releases lack the fields after "pools", which then have their defaults.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from thresher.budget import format_count
from thresher.data.files.atomic import write_json
from thresher.data.files.record_file import from_record, read_record, to_record
from thresher.planning.plans.result import (
    TOLERANCE,
    BudgetPlan,
    Candidate,
    Crossover,
    FrontierPoint,
    Payback,
    Policy,
    weighting_sentence,
)
from thresher.planning.runs.record import is_loss
from thresher.tables import (
    Block,
    Columns,
    Sentences,
    Table,
    about,
    chance_text,
    columns_of_records,
    columns_of_rows,
    error_text,
    gap_text,
    html_of,
    named_table,
    passes_text,
    sentences,
    table,
    text_of,
    to_pandas,
    to_polars,
)

SCHEMA = "thresher.plan"
VERSION = 1
_POLICIES = 6
_HEADER = ("samples seen", "best mix", "error", "5-95%", "chance", "times seen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to train on, budget by budget.

    Attributes:
        law: The chosen law; the draws may come from several.
        pools: Pool name to number of samples, in the order of the laws.
        tolerance: Errors closer than this count as equal.
        weights: Which mixes could be chosen: "subsets", "continuous" or "both".
        looked_at: Smallest and largest budget at which winners were sought.
        frontier: The best mix over a grid of budgets, in rising order.
        policies: Fixed mixes over the same grid, lowest mean regret first.
        payback: What scoring and probing cost; None where that is not known.
        wholes: Mixes that are one of the pools of the runs, to its name, where pools lie in one another.
        status: Sentences about pools that take no part and about what was not searched in full.
    """

    law: str
    metric: str
    budgets: tuple[BudgetPlan, ...]
    crossovers: tuple[Crossover, ...]
    pools: Mapping[str, int]
    tolerance: float = TOLERANCE
    weights: str = "subsets"
    looked_at: tuple[float, float] | None = None
    frontier: tuple[FrontierPoint, ...] = ()
    policies: tuple[Policy, ...] = ()
    payback: Payback | None = None
    wholes: Mapping[str, str] = field(default_factory=dict)
    status: tuple[str, ...] = ()

    def __repr__(self) -> str:
        best = ", ".join(f"{format_count(budget.samples_seen)} {budget.best}" for budget in self.budgets)
        return f"<Plan of {self.metric}: {best}>"

    def __str__(self) -> str:
        return text_of(plan_blocks(self))

    def _repr_html_(self) -> str:
        return html_of(plan_blocks(self))

    def to_polars(self, table: str = "budgets") -> Any:
        """A `polars.DataFrame`, named as in `PLAN_TABLES`.

        "budgets", "candidates", "weights" (of the chosen mixes), "crossovers", "frontier" or "policies".
        """
        return to_polars(table_of_plan(self, table))

    def to_pandas(self, table: str = "budgets") -> Any:
        """The same as a `pandas.DataFrame`."""
        return to_pandas(table_of_plan(self, table))


def summary(plan: Plan) -> list[tuple[str, ...]]:
    """One row a budget, ready to print: what is best, its error, how sure, how often samples repeat."""
    loss = is_loss(plan.metric)
    return [_row(budget, loss) for budget in plan.budgets]


def _row(budget: BudgetPlan, loss: bool) -> tuple[str, ...]:
    best = budget.candidates[0]
    return (
        format_count(budget.samples_seen),
        best.name,
        error_text(best.predicted_error, loss),
        f"{error_text(best.low, loss)} to {error_text(best.high, loss)}",
        chance_text(best.chance_best),
        _passes(best.repeats),
    )


def _passes(repeats: Mapping[str, float]) -> str:
    low, high = passes_text(min(repeats.values())), passes_text(max(repeats.values()))
    return high if low == high else f"{low}-{high}"


def plan_text(plan: Plan) -> str:
    """A row a budget, what to make of each, where winners change, what fixed mixes lose, what was spent.

    What the plan says about its pools (`Plan.status`) is left to the caller.
    """
    return text_of(_blocks(plan))


def plan_blocks(plan: Plan) -> list[Block]:
    """All that the plan says, remarks about its pools last."""
    return [*_blocks(plan), sentences(*plan.status)]


def _blocks(plan: Plan) -> Iterator[Block]:
    yield table(_HEADER, summary(plan))
    yield sentences(*(f"{mix} is the whole of {whole}." for mix, whole in plan.wholes.items()))
    yield sentences(*(budget.decision for budget in plan.budgets))
    yield _weightings(plan)
    yield sentences(*_crossovers(plan))
    yield _policies(plan)
    yield sentences("" if plan.payback is None else plan.payback.sentence)


def _weightings(plan: Plan) -> Sentences:
    loss = is_loss(plan.metric)
    lines = [
        f"At {format_count(budget.samples_seen)}: {weighting_sentence(budget.weighting, loss=loss)}"
        for budget in plan.budgets
        if budget.weighting is not None and budget.weighting.gain > plan.tolerance
    ]
    if not lines and len(plan.pools) > 1:
        lines = [f"No free weights were found that add more than {gap_text(plan.tolerance, loss)}."]
    return sentences(*lines)


def _crossovers(plan: Plan) -> list[str]:
    """A sentence a change of the best subset, or that there is none, and where it was looked for."""
    where = ""
    if plan.looked_at is not None:
        where = f" between {about(plan.looked_at[0])} and {about(plan.looked_at[1])} samples seen"
    if not plan.crossovers:
        return [f"The best subset is the same at every budget{where}: no crossing."]
    return [_crossover(crossover) for crossover in plan.crossovers]


def _crossover(crossover: Crossover) -> str:
    low = "fewer than were looked at" if crossover.low is None else about(crossover.low)
    high = "more than were looked at" if crossover.high is None else about(crossover.high)
    return (
        f"From {about(crossover.samples_seen)} samples seen ({low} to {high}), {crossover.after} is "
        f"better than {crossover.before}."
    )


def _policies(plan: Plan) -> Table:
    """What the best of the fixed mixes lose; nothing where there is one."""
    if len(plan.policies) < 2 or plan.looked_at is None:
        return Table((), ())
    loss = is_loss(plan.metric)
    low, high = (about(end) for end in plan.looked_at)
    rows = [
        (policy.name, gap_text(policy.mean_regret, loss), gap_text(policy.worst_regret, loss))
        for policy in plan.policies[:_POLICIES]
    ]
    return table((f"kept from {low} to {high}", "loses on average", "at worst"), rows)


def table_of_plan(plan: Plan, name: str) -> Columns:
    """A table of a plan; see `PLAN_TABLES`."""
    return named_table(PLAN_TABLES, name)(plan)


def _budgets(plan: Plan) -> Columns:
    """One row a budget: the chosen mix."""
    header = ("samples_seen", "best", *_NUMBERS, "verdict", "rival", "decision")
    rows = [
        (
            *(budget.samples_seen, budget.best, *_numbers(budget.candidates[0])),
            *(budget.verdict, budget.rival, budget.decision),
        )
        for budget in plan.budgets
    ]
    return columns_of_rows(header, rows)


def _candidates(plan: Plan) -> Columns:
    """One row a budget and candidate that the plan lists."""
    rows = [
        (budget.samples_seen, candidate.name, *_numbers(candidate), candidate.weighted)
        for budget in plan.budgets
        for candidate in budget.candidates
    ]
    return columns_of_rows(("samples_seen", "candidate", *_NUMBERS, "weighted"), rows)


_NUMBERS = ("predicted_error", "low", "high", "chance_best", "expected_regret", "num_unique")


def _numbers(candidate: Candidate) -> tuple[Any, ...]:
    return tuple(getattr(candidate, name) for name in _NUMBERS)


def _weights(plan: Plan) -> Columns:
    """One row a budget and pool of the chosen mix: its sampling weight and its passes."""
    rows = [
        (budget.samples_seen, budget.best, pool, weight, budget.candidates[0].repeats[pool])
        for budget in plan.budgets
        for pool, weight in budget.candidates[0].weights.items()
    ]
    return columns_of_rows(("samples_seen", "best", "pool", "weight", "passes"), rows)


PLAN_TABLES: dict[str, Callable[[Plan], Columns]] = {
    "budgets": _budgets,
    "candidates": _candidates,
    "weights": _weights,
    "crossovers": lambda plan: columns_of_records(
        ("before", "after", "samples_seen", "low", "high", "chance"), plan.crossovers
    ),
    "frontier": lambda plan: columns_of_records(
        [field.name for field in fields(FrontierPoint)], plan.frontier
    ),
    "policies": lambda plan: columns_of_records(("name", "mean_regret", "worst_regret"), plan.policies),
}
"""Tables of a plan, by the name that `Plan.to_polars` takes."""


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
