"""The figures of fitted laws: error against samples seen, worth against repetition, residuals."""

from collections.abc import Sequence

import numpy as np

from thresher.laws.result import Fit, Laws
from thresher.report.chart import (
    INK,
    MUTED,
    Axis,
    Band,
    Chart,
    Line,
    Mark,
    Points,
    Series,
    count_axis,
    floats,
)
from thresher.report.marks import Marks, mark_of
from thresher.report.predicted import has_draws, predict_run, worth
from thresher.report.settings import settings_of
from thresher.report.wording import Scale
from thresher.runs import Run

CURVE_POINTS = 64
NORMAL_95 = 1.645
"""95% quantile of the normal distribution."""
FEWEST_PASSES, MOST_PASSES = 4.0, 40.0


def error_chart(runs: Sequence[Run], marks: Marks, laws: Laws | None, scale: Scale) -> Chart | None:
    """Measured errors against samples seen with a curve and band a setting; None without probe runs."""
    settings = settings_of(runs, marks)
    if not settings:
        return None
    drawn = [run for setting in settings for run in setting.runs]
    low, high = _ends([run.samples_seen for run in drawn])
    grid = np.geomspace(low, high, CURVE_POINTS)
    bands: list[Series] = []
    curves: list[Series] = []
    measured: list[Series] = []
    for setting in settings:
        found = predict_run(laws, setting.runs[0], grid)
        if found is not None:
            y = scale.factor * found.mean
            curves.append(Line(setting.name, grid, y, setting.mark, hover_text(scale, "predicted")))
            if found.low is not None and found.high is not None:
                bands.append(Band(grid, scale.factor * found.low, scale.factor * found.high, setting.mark))
        x = floats([run.samples_seen for run in setting.runs])
        y = scale.factor * floats([run.error for run in setting.runs])
        measured.append(Points(setting.name, x, y, setting.mark, hover_text(scale, "measured")))
    errors = [run.error for run in drawn]
    return Chart(
        id="chart-errors",
        title="Error against samples seen",
        summary=f"Error against samples seen: {len(drawn)} measured points, "
        f"from {scale.text(max(errors))} down to {scale.text(min(errors))}.",
        legend=tuple((setting.name, setting.mark) for setting in settings),
        x=count_axis("Samples seen, repeats counted", low, high),
        y=Axis(title=scale.axis),
        series=(*bands, *curves, *measured),
        note=_band_note(laws) if bands else "",
    )


def residual_chart(laws: Laws, marks: Marks, scale: Scale) -> Chart | None:
    """Measured minus predicted error against samples seen; None where the laws hold no runs."""
    points = [*laws.points, *laws.check.points]
    if not points:
        return None
    low, high = _ends([point.run.samples_seen for point in points])
    residual_of = {id(point.run): point.residual for point in points}
    settings = settings_of([point.run for point in points], marks)
    ends = floats([low, high])
    spread = scale.factor * NORMAL_95 * laws.noise * np.ones(2)
    series: list[Series] = [Band(ends, -spread, spread, Mark(colour=MUTED))]
    hover = f"%{{x:,.3s}} samples seen<br>off by %{{y:.{2 if scale.percent else 3}f}} {scale.difference}"
    for setting in settings:
        x = floats([run.samples_seen for run in setting.runs])
        y = scale.factor * floats([residual_of[id(run)] for run in setting.runs])
        series.append(Points(setting.name, x, y, setting.mark, hover))
    largest = max(points, key=lambda point: abs(point.residual))
    return Chart(
        id="chart-residuals",
        title="Residuals",
        summary=f"Measured minus predicted error of {len(points)} runs; the largest is "
        f"{scale.fine_gap(largest.residual)}.",
        legend=tuple((setting.name, _without_line(setting.mark)) for setting in settings),
        x=count_axis("Samples seen, repeats counted", low, high),
        y=Axis(title=f"Measured − predicted ({scale.difference})"),
        series=tuple(series),
        level=0.0,
        note="Above the line a run came out worse than predicted. The grey band should hold 90% of single "
        "runs; points of check runs are open, no fit has seen them.",
    )


def utility_chart(fit: Fit, marks: Marks) -> Chart | None:
    """Worth against repetition, a curve a pool, its half-life marked; None for a law without half-lives."""
    lives = {pool.name: pool.values["tau"] for pool in fit.pools if "tau" in pool.values}
    if not lives:
        return None
    end = float(np.clip(2.2 * max(lives.values()), FEWEST_PASSES, MOST_PASSES))
    passes = np.linspace(0.0, end, CURVE_POINTS)
    bands: list[Series] = []
    curves: list[Series] = []
    halves: list[Series] = []
    for name, tau in lives.items():
        mark = mark_of(marks, name)
        found = worth(fit, name, passes)
        if found.low is not None and found.high is not None:
            bands.append(Band(passes, found.low, found.high, mark))
        curves.append(
            Line(name, passes, found.mean, mark, "after %{x:.1f} passes, worth %{y:.2f} of a fresh sample")
        )
        if tau <= end:
            half = worth(fit, name, floats([tau])).mean
            halves.append(Points(name, floats([tau]), half, mark, "half-life %{x:.1f} passes"))
    harm = fit.shared.get("harm", 0.0)
    said = "; ".join(f"{name}: {tau:.1f}" for name, tau in lives.items())
    note = "A marker stands at the half-life" + (
        ", where a sample is worth half of a fresh one."
        if harm == 0
        else "; below the dotted line a repetition does harm."
    )
    return Chart(
        id="chart-utility",
        title="Worth against repetition",
        summary=f"What a repeated sample is worth by the {fit.law} law. Half-lives in passes: {said}.",
        legend=tuple((name, mark_of(marks, name)) for name in lives),
        x=Axis(title="Repetition k (passes over the pool)", limits=(0.0, end)),
        y=Axis(title="Worth of a sample (fresh = 1)", from_zero=True),
        series=(*bands, *curves, *halves),
        level=0.0 if harm else None,
        note=f"{note} Bands hold 5 to 95% of the bootstrap draws." if bands else note,
    )


def hover_text(scale: Scale, what: str, *, with_samples: bool = True) -> str:
    """What the page says of a point under the pointer."""
    error = "%{y:.1f}%" if scale.percent else "%{y:.3f}"
    if not with_samples:
        return f"{what} {error}"
    return f"%{{x:,.3s}} samples seen<br>{what} {error}"


def note_mark(*, filled: bool) -> Mark:
    """A mark that stands for open or filled points of any colour."""
    return Mark(colour=INK, symbol="circle", filled=filled)


def _ends(samples_seen: Sequence[int]) -> tuple[float, float]:
    return min(samples_seen) / 1.25, max(samples_seen) * 1.25


def _band_note(laws: Laws | None) -> str:
    if laws is None or not has_draws(laws):
        return ""
    of = "the draws of all laws, each by its weight" if len(laws.fits) > 1 else "the bootstrap draws"
    return f"Bands hold 5 to 95% of {of}; the noise of a single run comes on top."


def _without_line(mark: Mark) -> Mark:
    return Mark(colour=mark.colour, symbol=mark.symbol, filled=mark.filled)
