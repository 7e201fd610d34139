"""Results as tables of polars or pandas: each result has a few tables, by name, as columns of plain values.

A table is a dictionary of lists, one a column, so that it can also be handed to anything else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, TypeVar

from thresher.budget import epochs
from thresher.errors import InputError, MissingExtra
from thresher.laws.result import Laws, LawScore, Point
from thresher.plans.next_run import Suggestion
from thresher.plans.result import Candidate, FrontierPoint, Plan
from thresher.runs import mix_unique, mix_weights

Columns = dict[str, list[Any]]
Result = TypeVar("Result")
EXTRA = "tables"


def to_polars(columns: Columns) -> Any:
    """The table as a `polars.DataFrame`.

    Raises:
        MissingExtra: where polars is not installed.
    """
    return _module("polars").DataFrame(columns, strict=False)


def to_pandas(columns: Columns) -> Any:
    """The table as a `pandas.DataFrame`.

    Raises:
        MissingExtra: where pandas is not installed.
    """
    return _module("pandas").DataFrame(columns)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtra(EXTRA, f"a table of {name}") from None


def table_of_laws(laws: Laws, name: str) -> Columns:
    """A table of fitted laws; see `LAWS_TABLES`."""
    return _named(LAWS_TABLES, name)(laws)


def table_of_plan(plan: Plan, name: str) -> Columns:
    """A table of a plan; see `PLAN_TABLES`."""
    return _named(PLAN_TABLES, name)(plan)


def table_of_suggestions(found: Sequence[Suggestion]) -> Columns:
    """One row a run that could be made, in order."""
    header = (
        *("pools", "samples_seen", "unique_samples", "passes", "flops", "regret_fall", "variance_fall"),
        *("cost_share", "worth"),
    )
    rows = []
    for one in found:
        run, unique = one.candidate, sum(one.candidate.num_unique.values())
        passes = epochs(run.samples_seen, unique)
        rows.append(
            (
                *(" + ".join(run.weights), run.samples_seen, unique, passes, float(run.flops)),
                *(one.regret_fall, one.variance_fall, one.cost_share, one.worth),
            )
        )
    return _columns(header, rows)


def _parameters(laws: Laws) -> Columns:
    """One row a parameter of every law that has a share; `pool` is None where all pools share it."""
    rows = []
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        owners: list[tuple[str | None, Mapping[str, float], Mapping[str, tuple[float, float]]]] = [
            (None, fit.shared, fit.intervals),
            *((pool.name, pool.values, pool.intervals) for pool in fit.pools),
        ]
        for pool, values, intervals in owners:
            for name, value in values.items():
                low, high = intervals.get(name, (None, None))
                rows.append((fit.law, weight, pool, name, value, low, high))
    return _columns(("law", "weight", "pool", "parameter", "value", "low", "high"), rows)


def _runs(laws: Laws) -> Columns:
    """One row a run, those of the fit and then those it was checked on, with what is predicted."""
    header = (
        *("run", "role", "pools", "unique_samples", "samples_seen", "error", "predicted", "residual"),
        *("seed", "recipe", "model", "params"),
    )
    return _columns(header, [_run(point) for point in (*laws.points, *laws.check.points)])


def _run(point: Point) -> tuple[Any, ...]:
    run = point.run
    return (
        *(run.run, run.role, " + ".join(mix_weights(run)), sum(mix_unique(run).values())),
        *(run.samples_seen, run.error, point.predicted, point.residual),
        *(run.seed, run.recipe, run.model, run.params),
    )


def _scores(laws: Laws) -> Columns:
    """One row a law that was tried."""
    return _of_records([field.name for field in fields(LawScore)], laws.comparison)


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
    return _columns(header, rows)


def _candidates(plan: Plan) -> Columns:
    """One row a budget and candidate that the plan lists."""
    rows = [
        (budget.samples_seen, candidate.name, *_numbers(candidate), candidate.weighted)
        for budget in plan.budgets
        for candidate in budget.candidates
    ]
    return _columns(("samples_seen", "candidate", *_NUMBERS, "weighted"), rows)


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
    return _columns(("samples_seen", "best", "pool", "weight", "passes"), rows)


def _crossovers(plan: Plan) -> Columns:
    """One row a change of the best subset."""
    names = ("before", "after", "samples_seen", "low", "high", "chance")
    return _of_records(names, plan.crossovers)


def _frontier(plan: Plan) -> Columns:
    """One row a budget of the grid: the best mix and its error."""
    return _of_records([field.name for field in fields(FrontierPoint)], plan.frontier)


def _policies(plan: Plan) -> Columns:
    """One row a mix that is kept at every budget: what that loses."""
    return _of_records(("name", "mean_regret", "worst_regret"), plan.policies)


LAWS_TABLES: dict[str, Callable[[Laws], Columns]] = {
    "parameters": _parameters,
    "runs": _runs,
    "laws": _scores,
}
"""Tables of fitted laws, by the name that `Laws.to_polars` takes."""
PLAN_TABLES: dict[str, Callable[[Plan], Columns]] = {
    "budgets": _budgets,
    "candidates": _candidates,
    "weights": _weights,
    "crossovers": _crossovers,
    "frontier": _frontier,
    "policies": _policies,
}
"""Tables of a plan, by the name that `Plan.to_polars` takes."""


def _named(tables: Mapping[str, Callable[[Result], Columns]], name: str) -> Callable[[Result], Columns]:
    if name not in tables:
        raise InputError(f"there is no table {name!r}; choose one of {', '.join(tables)}")
    return tables[name]


def _columns(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def _of_records(names: Sequence[str], records: Iterable[object]) -> Columns:
    return _columns(names, [[getattr(record, name) for name in names] for record in records])
