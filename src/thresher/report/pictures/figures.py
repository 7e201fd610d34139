"""One function a picture: from laws or a plan to a figure in the marks of the report."""

from collections.abc import Sequence

from thresher.errors import InputError
from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan
from thresher.planning.runs.record import Run
from thresher.report.chart import Chart
from thresher.report.law_charts import error_chart, residual_chart, utility_chart
from thresher.report.marks import Marks, marks_for, ranks_of
from thresher.report.pictures.picture import Picture, picture_of
from thresher.report.plan_charts import crossover_chart, frontier_chart, plan_chart
from thresher.report.verdict import trained
from thresher.report.wording import Scale, scale_of
from thresher.report.workdir import runs_of


def error_picture(laws: Laws, *, runs: Sequence[Run] | None = None) -> Picture:
    """Error against samples seen: measured points, and curves with 5-95% bands for each pool and check mix.

    Args:
        laws: The fitted laws.
        runs: The runs to draw; those that the laws were fitted to and checked with where absent.

    Raises:
        InputError: there are no fit or check runs.
        MissingExtra: matplotlib is not installed.
    """
    drawn = runs_of(laws) if runs is None else list(runs)
    chart = error_chart(drawn, _marks(laws, None, drawn), laws, _scale(laws.metric, drawn))
    return picture_of(
        _existing(chart, "there are no runs with role fit or check to draw; give them as `runs`")
    )


def residual_picture(laws: Laws) -> Picture:
    """Measured minus predicted error against samples seen, of fit and check runs.

    Raises:
        InputError: the laws hold no runs.
        MissingExtra: matplotlib is not installed.
    """
    drawn = runs_of(laws)
    chart = residual_chart(laws, _marks(laws, None, drawn), _scale(laws.metric, drawn))
    return picture_of(_existing(chart, "these laws hold no runs; fit them again"))


def utility_picture(laws: Laws) -> Picture:
    """What a repeated sample is worth by the law with the largest weight, a curve with a band for each pool.

    Raises:
        InputError: that law has no half-lives.
        MissingExtra: matplotlib is not installed.
    """
    chart = utility_chart(laws.best, _marks(laws, None, ()))
    return picture_of(_existing(chart, f"the {laws.best.law} law has no half-lives to draw; fit another law"))


def plan_picture(plan: Plan, laws: Laws | None = None, *, runs: Sequence[Run] = ()) -> Picture:
    """Predicted error of the leading candidates against the budget.

    Args:
        plan: The plan.
        laws: Draws the curves between the budgets.
        runs: Trained candidates (role "verify") stand beside their predictions.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    scale = _scale(plan.metric, runs)
    return picture_of(plan_chart(plan, _marks(laws, plan, runs), trained(runs, plan), laws, scale))


def frontier_picture(plan: Plan) -> Picture:
    """The error of the best mix at each budget with its band, in the colour of the winner.

    Raises:
        InputError: the plan has no frontier.
        MissingExtra: matplotlib is not installed.
    """
    chart = frontier_chart(plan, _marks(None, plan, ()), _scale(plan.metric, ()))
    return picture_of(_existing(chart, "this plan holds no frontier; make it again with `thresher plan`"))


def crossover_picture(plan: Plan) -> Picture:
    """The budgets where the winner changes, with their intervals.

    Raises:
        InputError: the winner never changes.
        MissingExtra: matplotlib is not installed.
    """
    chart = crossover_chart(plan, _marks(None, plan, ()))
    sentence = "the best mix is the same at all budgets of this plan; give it budgets further apart"
    return picture_of(_existing(chart, sentence))


def _existing(chart: Chart | None, sentence: str) -> Chart:
    if chart is None:
        raise InputError(sentence)
    return chart


def _marks(laws: Laws | None, plan: Plan | None, runs: Sequence[Run]) -> Marks:
    return marks_for(ranks_of(laws, plan, runs), plan, runs)


def _scale(metric: str, runs: Sequence[Run]) -> Scale:
    return scale_of(metric, [run.error for run in runs if run.metric == metric])
