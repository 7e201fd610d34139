"""The figures of a plan: candidates against the budget, the front of best mixes, changes of the winner."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import FrontierPoint, Policy, find_candidate, winner
from thresher.report.chart import (
    Axis,
    Band,
    Chart,
    Line,
    Mark,
    Marks,
    Points,
    Series,
    count_axis,
    floats,
    front_names,
    mark_of,
)
from thresher.report.law_charts import CURVE_POINTS, hover_text, note_mark, predict_weights
from thresher.report.verdict import Trained, crossover_text
from thresher.report.wording import Scale

MAX_LEADERS = 5
MAX_POLICIES = 6
ROOM = 1.6
"""Factor that an axis of budgets reaches beyond them."""
DODGE = 1.02
"""Factor between neighbours at one budget, so that their intervals can be told apart."""

Corner = tuple[float, float, float, float]
"""Samples seen, error, its 5% and its 95% quantile."""
Stretch = tuple[str, list[Corner]]
"""The winner and its corners."""


def plan_chart(plan: Plan, marks: Marks, tried: Sequence[Trained], laws: Laws | None, scale: Scale) -> Chart:
    """Predicted error of the leading candidates against the budget, with what was trained there."""
    leaders = _leaders(plan, tried)
    budgets = [budget.samples_seen for budget in plan.budgets] + [t.samples_seen for t in tried]
    low, high = min(budgets) / ROOM, max(budgets) * ROOM
    grid = np.geomspace(low, high, CURVE_POINTS)
    series: list[Series] = []
    for place, (name, weights) in enumerate(leaders.items()):
        mark, aside = mark_of(marks, name), DODGE ** (place - (len(leaders) - 1) / 2)
        found = predict_weights(laws, weights, plan.pools, grid)
        if found is not None:
            series.append(Line(name, grid, scale.factor * found.mean, mark, hover_text(scale, "predicted")))
        series.append(_at_budgets(plan, name, mark, scale, aside))
        measured = [t for t in tried if t.name == name]
        if measured:
            x = aside * floats([t.samples_seen for t in measured])
            y = scale.factor * floats([t.measured for t in measured])
            hover = hover_text(scale, "measured", with_samples=False)
            series.append(Points(name, x, y, mark, hover, size=11))
    legend = [(name, mark_of(marks, name)) for name in leaders]
    legend.append(("open: predicted, with interval", note_mark(filled=False)))
    if tried:
        legend.append(("filled: measured by training there", note_mark(filled=True)))
    said = " ".join(crossover_text(crossover) for crossover in plan.crossovers)
    return Chart(
        id="chart-plan",
        title="Candidates against the budget",
        summary=f"Error of {len(leaders)} candidate mixes against the budget. {said}".strip(),
        legend=tuple(legend),
        x=count_axis("Budget (samples seen)", low, high),
        y=Axis(title=scale.axis),
        series=tuple(series),
        uprights=tuple(crossover.samples_seen for crossover in plan.crossovers),
        note="Dotted upright lines mark the budgets where the winner changes." if said else "",
    )


def frontier_chart(plan: Plan, marks: Marks, scale: Scale) -> Chart | None:
    """The error of the best mix at each budget, in the colour of the winner; None without it."""
    if len(plan.frontier) < 2:
        return None
    bands: list[Series] = []
    lines: list[Series] = []
    names = front_names(plan)
    winners = list(dict.fromkeys(names))
    changes = plan.crossovers if plan.weights == "subsets" else ()
    stretches = _stretches(plan.frontier, names, [crossover.samples_seen for crossover in changes])
    for name, stretch in stretches:
        mark = Mark(colour=mark_of(marks, name).colour, dash="solid")
        x, *ys = (floats(values) for values in zip(*stretch, strict=True))
        y, low, high = (scale.factor * values for values in ys)
        bands.append(Band(x, low, high, mark))
        lines.append(Line(name, x, y, mark, hover_text(scale, "best"), width=4.0))
    budgets = floats([point.samples_seen for point in plan.frontier])
    best = floats([point.error for point in plan.frontier])
    kept: list[Series] = []
    legend = [(name, Mark(colour=mark_of(marks, name).colour, dash="solid")) for name in winners]
    for policy in _shown_policies(plan, winners):
        mark = Mark(colour=mark_of(marks, policy.name).colour, dash="dot")
        y = scale.factor * (best + floats(policy.regrets))
        kept.append(Line(policy.name, budgets, y, mark, hover_text(scale, "kept everywhere"), width=1.5))
        legend.append((f"{policy.name} at every budget", mark))
    times = {1: "once", 2: "twice"}.get(len(changes), f"{len(changes)} times")
    note = "The thick line is the lowest error that a budget can buy, with its band from 5 to 95%."
    if changes:
        note += " Dotted upright lines stand where the winner changes."
    if kept:
        note += " Thin dotted curves keep one mix at every budget."
    return Chart(
        id="chart-frontier",
        title="Front of the best mixes",
        summary=f"Error of the best mix at each budget, from {scale.text(best[0])} down to "
        f"{scale.text(best[-1])}{f'; the winner changes {times}' if changes else ''}.",
        legend=tuple(legend),
        x=count_axis("Budget (samples seen)", float(budgets[0]), float(budgets[-1])),
        y=Axis(title=scale.axis),
        series=(*bands, *kept, *lines, *_turns(stretches, marks, scale)),
        uprights=tuple(crossover.samples_seen for crossover in changes),
        note=note,
    )


def crossover_chart(plan: Plan, marks: Marks) -> Chart | None:
    """The budgets where the winner changes with their intervals, a row each; None where it never does."""
    if not plan.crossovers:
        return None
    changes = [crossover.samples_seen for crossover in plan.crossovers]
    places = plan.looked_at or [*(budget.samples_seen for budget in plan.budgets), *changes]
    low, high = min(places) / ROOM, max(places) * ROOM
    series: list[Series] = []
    legend, ticks = [], []
    for row, crossover in enumerate(plan.crossovers, start=1):
        mark = dataclasses.replace(mark_of(marks, crossover.after), dash="")
        name = f"{row}: {crossover.after} overtakes {crossover.before}"
        x = floats([crossover.samples_seen])
        left = low if crossover.low is None else max(low, crossover.low)
        right = high if crossover.high is None else min(high, crossover.high)
        interval = (floats([min(left, crossover.samples_seen)]), floats([max(right, crossover.samples_seen)]))
        hover = "at %{x:,.3s} samples seen"
        series.append(Points(name, x, floats([row]), mark, hover, size=11, x_interval=interval))
        legend.append((name, mark))
        ticks.append((float(row), str(row)))
    rows = len(plan.crossovers)
    return Chart(
        id="chart-crossovers",
        title="Budgets where the winner changes",
        summary=" ".join(crossover_text(crossover) for crossover in plan.crossovers),
        legend=tuple(legend),
        x=count_axis("Budget (samples seen)", low, high),
        y=Axis(title="", limits=(0.4, rows + 0.6), ticks=tuple(ticks), downwards=True),
        series=tuple(series),
        uprights=tuple(float(budget.samples_seen) for budget in plan.budgets),
        note="Bars are intervals from 5 to 95%; one that runs to the edge is open there. Dotted upright "
        "lines are the budgets of the plan.",
        rows=rows,
    )


def _leaders(plan: Plan, tried: Sequence[Trained]) -> dict[str, Mapping[str, float]]:
    """The mixes to draw: every winner, then what was trained, then runners-up while there is room."""
    chosen: dict[str, Mapping[str, float]] = {}
    for budget in plan.budgets:
        best = winner(budget)
        chosen.setdefault(best.name, best.weights)
    for found in tried:
        chosen.setdefault(found.name, found.weights)
    for budget in plan.budgets:
        rival = find_candidate(budget, budget.rival) if budget.rival is not None else None
        if rival is not None and len(chosen) < MAX_LEADERS:
            chosen.setdefault(rival.name, rival.weights)
    return chosen


def _at_budgets(plan: Plan, name: str, mark: Mark, scale: Scale, aside: float) -> Points:
    """Open markers with intervals at the budgets of the plan, moved aside by a factor."""
    listed = [(budget.samples_seen, find_candidate(budget, name)) for budget in plan.budgets]
    found = [(samples_seen, candidate) for samples_seen, candidate in listed if candidate is not None]
    return Points(
        name,
        aside * floats([samples_seen for samples_seen, _ in found]),
        scale.factor * floats([candidate.predicted_error for _, candidate in found]),
        dataclasses.replace(mark, filled=False),
        hover_text(scale, "predicted", with_samples=False),
        y_interval=(
            scale.factor * floats([candidate.low for _, candidate in found]),
            scale.factor * floats([candidate.high for _, candidate in found]),
        ),
    )


def _stretches(
    frontier: Sequence[FrontierPoint], names: Sequence[str], changes: Sequence[float]
) -> list[Stretch]:
    """Stretches with one winner; one ends where the next begins, at the crossover if it is known."""
    stretches: list[Stretch] = []
    for name, point in zip(names, frontier, strict=True):
        here = (float(point.samples_seen), point.error, point.low, point.high)
        if stretches and stretches[-1][0] == name:
            stretches[-1][1].append(here)
        elif stretches:
            joint = _joint(stretches[-1][1][-1], here, changes)
            stretches[-1][1].append(joint)
            stretches.append((name, [joint, here]))
        else:
            stretches.append((name, [here]))
    return stretches


def _joint(left: Corner, right: Corner, changes: Sequence[float]) -> Corner:
    """The last change between two corners, on the line between them; else the right one."""
    inside = [change for change in changes if left[0] <= change <= right[0]]
    if not inside:
        return right
    share = np.log(inside[-1] / left[0]) / np.log(right[0] / left[0])
    error, low, high = ((1 - share) * a + share * b for a, b in zip(left[1:], right[1:], strict=True))
    return inside[-1], float(error), float(low), float(high)


def _turns(stretches: Sequence[Stretch], marks: Marks, scale: Scale) -> list[Points]:
    """A marker in the shape of the new winner where it takes over."""
    return [
        Points(
            name,
            floats([corners[0][0]]),
            scale.factor * floats([corners[0][1]]),
            mark_of(marks, name),
            hover_text(scale, "takes over at"),
            size=11,
        )
        for name, corners in stretches[1:]
    ]


def _shown_policies(plan: Plan, winners: Sequence[str]) -> list[Policy]:
    """Mixes to keep at every budget: winners, the best that never wins, and all pools together."""
    fitting = {policy.name: policy for policy in plan.policies if len(policy.regrets) == len(plan.frontier)}
    least = [name for name in fitting if name not in winners][:1]
    most = max((policy for policy in fitting.values()), key=lambda p: len(p.weights), default=None)
    everything = [most.name] if most is not None and len(most.weights) == len(plan.pools) else []
    own = winners if len(winners) > 1 else ()
    named = dict.fromkeys([*own, *least, *(name for name in everything if name not in winners)])
    return [fitting[name] for name in named if name in fitting][:MAX_POLICIES]
