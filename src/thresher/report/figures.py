"""All figures about a workdir, by name and in the order of the page."""

from collections.abc import Sequence

import numpy as np

from thresher.budget import format_count
from thresher.curate.pools.record import Pool
from thresher.planning.runs.record import Run
from thresher.report.chart import (
    NUM_COLOURS,
    Axis,
    Bars,
    Chart,
    Label,
    Mark,
    Marks,
    marks_for,
    pool_mark,
    ranks_of,
)
from thresher.report.law_charts import error_chart, residual_chart, utility_chart
from thresher.report.plan_charts import crossover_chart, frontier_chart, plan_chart
from thresher.report.pool_stats import LEFT_OUT, Counts, Tally, labels_of
from thresher.report.training_charts import training_charts
from thresher.report.verdict import trained
from thresher.report.wording import Scale, scale_of
from thresher.report.workdir import Workdir

NARROW = 0.16  # below this share of the axis a name does not fit across on a phone


def figures(workdir: Workdir, counted: Tally | None) -> dict[str, Chart]:
    """The figures that the files of a workdir allow; `counted` is its tally, where it has pools."""
    laws, plan = workdir.laws, workdir.plan
    scale, marks, runs = scale_of_workdir(workdir), marks_of_workdir(workdir), runs_of_metric(workdir)
    charts: dict[str, Chart | None] = {}
    if plan is not None:
        charts["plan"] = plan_chart(plan, marks, trained(runs, plan), laws, scale)
        charts["frontier"] = frontier_chart(plan, marks, scale)
        charts["crossovers"] = crossover_chart(plan, marks)
    charts["errors"] = error_chart(runs, marks, laws, scale)
    if laws is not None:
        charts["residuals"] = residual_chart(laws, marks, scale)
        charts["utility"] = utility_chart(laws.best, marks)
    if counted is not None:
        charts["scores"] = score_chart(counted, labels_of(counted))
    charts |= training_charts(workdir.training, training_scale(workdir))
    return {name: chart for name, chart in charts.items() if chart is not None}


def runs_of_metric(workdir: Workdir) -> list[Run]:
    """The runs of the metric that the report shows."""
    scale = scale_of_workdir(workdir)
    return [run for run in workdir.runs if run.metric == scale.metric]


def training_scale(workdir: Workdir) -> Scale:
    """How errors of the training runs are shown."""
    errors = [point.error for run in workdir.training for point in run.measured]
    return scale_of(workdir.training[0].metric if workdir.training else "error", errors)


def scale_of_workdir(workdir: Workdir) -> Scale:
    """How errors of the workdir's metric are shown."""
    first = next((source for source in (workdir.plan, workdir.laws, *workdir.runs) if source), None)
    metric = "error" if first is None else first.metric
    errors = [run.error for run in workdir.runs if run.metric == metric]
    return scale_of(metric, errors)


def marks_of_workdir(workdir: Workdir) -> Marks:
    """Marks for all pools and mixes; pools stand in the order of the cut, else of the laws or runs."""
    if workdir.pools is not None:
        ranks = {pool.name: pool.rank for pool in workdir.pools.pools}
    else:
        ranks = ranks_of(workdir.laws, workdir.plan, workdir.runs)
    return marks_for(ranks, workdir.plan, workdir.runs)


LEFT_OUT_MARK = Mark(colour="@none")


def score_chart(tally: Tally, labels: Sequence[str]) -> Chart:
    """Counts of scores, stacked by planted label, or by pool where nothing is planted.

    Upright lines are the cuts; where the colours stand for labels, each pool's name stands above it.
    """
    if labels:
        stacks = [
            (x or "no label", Mark(colour=f"@l{i % NUM_COLOURS}"), _sum(tally, label=x))
            for i, x in enumerate(labels)
        ]
    else:
        marks = [(pool.name, Mark(colour=pool_mark(pool.rank).colour)) for pool in tally.pools.pools]
        marks.append((LEFT_OUT, LEFT_OUT_MARK))
        stacks = [(name, mark, _sum(tally, pool=name)) for name, mark in marks]
    stacks = [stack for stack in stacks if stack[2].any()]
    cuts = _cuts(tally)
    middles, width = (tally.edges[1:] + tally.edges[:-1]) / 2, float(tally.edges[1] - tally.edges[0])
    num = sum(int(counts.sum()) for counts in tally.counts.values())
    return Chart(
        id="chart-scores",
        title="Scores and cuts",
        summary=f"Histogram of {format_count(num)} scores with {len(cuts)} cuts between the pools.",
        legend=tuple((name, mark) for name, mark, _ in stacks),
        x=Axis(title=f"Score (column {tally.pools.by}, no unit)"),
        y=Axis(title="Pairs a bin"),
        series=tuple(
            Bars(name, middles, counts.astype(float), width, mark, "score %{x:.3~r}: %{y:,} pairs")
            for name, mark, counts in stacks
        ),
        uprights=tuple(cuts),
        labels=tuple(_label(pool, tally) for pool in tally.pools.pools) if labels else (),
        note="Upright lines are the cuts" + (", with the pools' names above." if labels else "."),
    )


def _sum(tally: Tally, *, pool: str | None = None, label: str | None = None) -> Counts:
    total = np.zeros(len(tally.edges) - 1, np.int64)
    for (name, own), counts in tally.counts.items():
        if pool in (None, name) and label in (None, own):
            total = total + counts
    return total


def _cuts(tally: Tally) -> list[float]:
    """The lower end of each pool, but not of the last one when nothing lies below it."""
    cuts = sorted({pool.score_min for pool in tally.pools.pools}, reverse=True)
    below = any(name == LEFT_OUT for name, _ in tally.counts)
    return cuts if below else cuts[:-1]


def _label(pool: Pool, tally: Tally) -> Label:
    """The name of a pool over the middle of its scores, on its side where the pool is narrow."""
    low, high = pool.score_min, pool.score_max
    narrow = (high - low) < NARROW * float(tally.edges[-1] - tally.edges[0])
    return Label(x=(low + high) / 2, text=pool.name, upright=narrow)
