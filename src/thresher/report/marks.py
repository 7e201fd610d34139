"""Marks: which colour, symbol and line a pool or a mix has, the same in every figure."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan
from thresher.planning.runs.record import Run, mix_weights
from thresher.report.chart import INK, Mark, mix_mark, pool_mark
from thresher.report.wording import mix_text

FREE_WEIGHTS = "free weights, which change with the budget"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Pool name to its place by score, and the names of mixes in the order in which they get their marks."""

    ranks: Mapping[str, int]
    mixes: tuple[str, ...] = ()


def mark_of(marks: Marks, name: str) -> Mark:
    """The mark of a pool or a mix."""
    if name in marks.ranks:
        return pool_mark(marks.ranks[name])
    if name == FREE_WEIGHTS:
        return Mark(colour=INK, symbol="circle", dash="solid")
    if name in marks.mixes:
        return mix_mark(marks.mixes.index(name))
    return mix_mark(len(marks.mixes))


def marks_for(ranks: Mapping[str, int], plan: Plan | None, runs: Iterable[Run]) -> Marks:
    """Marks for all that a plan and runs name: winners by rising budget first, then what was run."""
    names: dict[str, None] = {}
    if plan is not None:
        names |= dict.fromkeys(name for name in front_names(plan) if name != FREE_WEIGHTS)
        names |= dict.fromkeys(budget.best for budget in plan.budgets)
        for crossover in plan.crossovers:
            names |= {crossover.before: None, crossover.after: None}
    names |= dict.fromkeys(mix_text(mix_weights(run)) for run in runs)
    if plan is not None:
        names |= dict.fromkeys(budget.rival for budget in plan.budgets if budget.rival is not None)
        names |= dict.fromkeys(policy.name for policy in plan.policies)
    return Marks(ranks=ranks, mixes=tuple(name for name in names if name not in ranks))


def front_names(plan: Plan) -> list[str]:
    """The winner at each budget of the frontier; mixes of free weights go by one name."""
    known = {policy.name for policy in plan.policies} | {budget.best for budget in plan.budgets}
    known |= {name for crossover in plan.crossovers for name in (crossover.before, crossover.after)}
    free = {c.name for budget in plan.budgets for c in budget.candidates if c.weighted}
    kept = plan.weights == "subsets"
    return [point.best if kept or point.best in known - free else FREE_WEIGHTS for point in plan.frontier]


def ranks_of(laws: Laws | None, plan: Plan | None, runs: Sequence[Run]) -> dict[str, int]:
    """The place of each pool: that of the laws, else of the plan, else of first appearance in the runs."""
    if laws is not None:
        names: Iterable[str] = laws.pool_names
    elif plan is not None:
        names = plan.pools
    else:
        names = dict.fromkeys(pool for run in runs for pool in mix_weights(run))
    return {name: rank for rank, name in enumerate(names)}
