"""Pictures of laws, of a plan and of a workdir, each a chart drawn by matplotlib for a notebook or a file.

    from thresher.report import pictures

    pictures.error_picture(laws)                       # shows itself in a notebook
    pictures.frontier_picture(plan).save("front.svg")

They need matplotlib, which `pip install "thresher[pictures]"` brings.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thresher.data.files.atomic import atomic_path
from thresher.errors import InputError
from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan
from thresher.planning.runs.record import Run
from thresher.report.canvas import draw, settings
from thresher.report.chart import Chart, Marks, marks_for, ranks_of
from thresher.report.figures import figures
from thresher.report.law_charts import error_chart, residual_chart, utility_chart
from thresher.report.plan_charts import crossover_chart, frontier_chart, plan_chart
from thresher.report.pool_stats import tally
from thresher.report.verdict import trained
from thresher.report.wording import Scale, one_line, scale_of
from thresher.report.workdir import read_workdir

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FORMATS = ("svg", "png")
DOTS = 160
"""Pixels an inch of a PNG."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A chart and its matplotlib figure; a notebook shows it, `save` writes it."""

    chart: Chart
    figure: "Figure"

    def save(self, path: Path | str) -> Path:
        """Write it as the suffix of `path` says, .svg or .png; the path comes back.

        Raises:
            InputError: another suffix.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise InputError(f"{path} does not end in .svg or .png; pictures are written in these formats")
        with atomic_path(path) as temporary:
            temporary.write_bytes(_file(self, kind))
        return path

    def _repr_svg_(self) -> str:
        return _file(self, "svg").decode("utf-8")


def picture_of(chart: Chart | None, absent: str = "") -> Picture:
    """The picture of a chart.

    Raises:
        InputError: with the sentence `absent`, where there is no chart.
        MissingExtra: matplotlib is not installed.
    """
    if chart is None:
        raise InputError(absent)
    return Picture(chart=chart, figure=draw(chart))


def _file(picture: Picture, kind: str) -> bytes:
    """The bytes of the file; without a date or matplotlib's release, which change by themselves."""
    chart = picture.chart
    metadata: dict[str, str | None] = {
        "Title": chart.title,
        "Description": one_line(f"{chart.summary} {chart.note}"),
    }
    metadata |= {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with settings():
        picture.figure.savefig(buffer, format=kind, dpi=DOTS, metadata=metadata)
    return buffer.getvalue()


def error_picture(laws: Laws, *, runs: Sequence[Run] | None = None) -> Picture:
    """Error against samples seen: measured points, and curves with 5-95% bands for each pool and check mix.

    Args:
        laws: The fitted laws.
        runs: The runs to draw; those that the laws were fitted to and checked with where absent.

    Raises:
        InputError: there are no fit or check runs.
        MissingExtra: matplotlib is not installed.
    """
    drawn = laws.runs if runs is None else list(runs)
    chart = error_chart(drawn, _marks(laws, None, drawn), laws, _scale(laws.metric, drawn))
    return picture_of(chart, "there are no runs with role fit or check to draw; give them as `runs`")


def residual_picture(laws: Laws) -> Picture:
    """Measured minus predicted error against samples seen, of fit and check runs.

    Raises:
        InputError: the laws hold no runs.
        MissingExtra: matplotlib is not installed.
    """
    drawn = laws.runs
    chart = residual_chart(laws, _marks(laws, None, drawn), _scale(laws.metric, drawn))
    return picture_of(chart, "these laws hold no runs; fit them again")


def utility_picture(laws: Laws) -> Picture:
    """What a repeated sample is worth by the law with the largest weight, a curve with a band for each pool.

    Raises:
        InputError: that law has no half-lives.
        MissingExtra: matplotlib is not installed.
    """
    chart = utility_chart(laws.best, _marks(laws, None, ()))
    return picture_of(chart, f"the {laws.best.law} law has no half-lives to draw; fit another law")


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
    return picture_of(chart, "this plan holds no frontier; make it again with `thresher plan`")


def crossover_picture(plan: Plan) -> Picture:
    """The budgets where the winner changes, with their intervals.

    Raises:
        InputError: the winner never changes.
        MissingExtra: matplotlib is not installed.
    """
    chart = crossover_chart(plan, _marks(None, plan, ()))
    sentence = "the best mix is the same at all budgets of this plan; give it budgets further apart"
    return picture_of(chart, sentence)


def _marks(laws: Laws | None, plan: Plan | None, runs: Sequence[Run]) -> Marks:
    return marks_for(ranks_of(laws, plan, runs), plan, runs)


def _scale(metric: str, runs: Sequence[Run]) -> Scale:
    return scale_of(metric, [run.error for run in runs if run.metric == metric])


def write_pictures(workdir: Path | str, folder: Path | str, *, format: str = "svg") -> list[Path]:
    """Write every figure of the report about a workdir as a file of its own; their paths, in its order.

    The same files give the same bytes with the same release of matplotlib.

    Args:
        workdir: The folder of a run, whole or half-finished.
        folder: Where to write; made where it is not there.
        format: "svg" or "png".

    Raises:
        InputError: an unknown format, or a workdir without anything to draw.
        MissingExtra: matplotlib is not installed.
    """
    if format not in FORMATS:
        raise InputError(f"there is no picture format {format!r}; choose one of {', '.join(FORMATS)}")
    read = read_workdir(Path(workdir))
    charts = figures(read, tally(read, num_shown=0))
    if not charts:
        raise InputError(f"{workdir} holds nothing to draw: no runs, plan or pools; run those stages first")
    return [picture_of(chart).save(Path(folder) / f"{name}.{format}") for name, chart in charts.items()]
