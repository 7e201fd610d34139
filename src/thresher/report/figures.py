"""All figures about a workdir, by name and in the order of the page."""

from thresher.planning.runs.record import Run
from thresher.report.chart import Chart
from thresher.report.histogram import score_chart
from thresher.report.law_charts import error_chart, residual_chart, utility_chart
from thresher.report.marks import Marks, marks_for, ranks_of
from thresher.report.plan_charts import crossover_chart, frontier_chart, plan_chart
from thresher.report.pool_stats import Tally, labels_of
from thresher.report.training_charts import training_charts
from thresher.report.verdict import trained
from thresher.report.wording import Scale, scale_of
from thresher.report.workdir import Workdir


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
