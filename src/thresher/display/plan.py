"""A plan as blocks: what is best at each budget, why, where that changes, and what it cost to know."""

from collections.abc import Iterator

from thresher.budget import format_count
from thresher.display.blocks import Block, Sentences, Table, about, sentences, table, text_of
from thresher.plans import Crossover, Plan, summary, weighting_sentence
from thresher.plans.wording import gap_text
from thresher.runs import is_loss

_POLICIES = 6
_HEADER = ("samples seen", "best mix", "error", "5-95%", "chance", "times seen")
_KEYS = ("budget", "best", "error", "interval", "chance", "passes")


def plan_text(plan: Plan) -> str:
    """A row a budget, what to make of each, where winners change, what fixed mixes lose, what was spent.

    What the plan says about its pools (`Plan.status`) is left to the caller.
    """
    return text_of(_blocks(plan))


def plan_blocks(plan: Plan) -> list[Block]:
    """All that the plan says, remarks about its pools last."""
    return [*_blocks(plan), sentences(*plan.status)]


def plan_line(plan: Plan) -> str:
    """The plan in one line: the best mix at each budget."""
    best = ", ".join(f"{format_count(budget.samples_seen)} {budget.best}" for budget in plan.budgets)
    return f"Plan of {plan.metric}: {best}"


def _blocks(plan: Plan) -> Iterator[Block]:
    rows = summary(plan)
    yield table(_HEADER, [[row[key] for key in _KEYS] for row in rows])
    yield sentences(*(row["decision"] for row in rows))
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


def crossovers_text(plan: Plan) -> str:
    """A sentence a change of the best subset, or that there is none, and where it was looked for."""
    return "\n".join(_crossovers(plan))


def _crossovers(plan: Plan) -> list[str]:
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
