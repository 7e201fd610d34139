"""The figures of fitted laws: error against samples seen, worth against repetition, residuals.

Curves are means over the draws of all laws, bands reach from 5% to 95%. Axes: S draws, N samples seen, P
pools.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from thresher.planning.laws.fits import Fit
from thresher.planning.laws.law import Floats, design
from thresher.planning.laws.predict import predict_designs, utility_curve
from thresher.planning.laws.result import Laws
from thresher.planning.plans.prediction import error_interval
from thresher.planning.runs.record import Run, mix_unique, mix_weights
from thresher.report.chart import (
    INK,
    MUTED,
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
    mark_of,
)
from thresher.report.run_groups import settings_of
from thresher.report.wording import Scale
from thresher.tables import passes_text

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
        first = setting.runs[0]
        found = predict_weights(
            laws,
            mix_weights(first),
            mix_unique(first),
            grid,
            params=first.params,
            replacement=bool(first.replacement),
        )
        if found is not None:
            y = scale.factor * found.mean
            curves.append(Line(setting.name, grid, y, setting.mark, hover_text(scale, "predicted")))
            if found.ends is not None:
                low_N, high_N = found.ends
                bands.append(Band(grid, scale.factor * low_N, scale.factor * high_N, setting.mark))
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
        f"{scale.gap(largest.residual)}.",
        legend=tuple((setting.name, dataclasses.replace(setting.mark, dash="")) for setting in settings),
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
        if found.ends is not None:
            bands.append(Band(passes, *found.ends, mark))
        curves.append(
            Line(name, passes, found.mean, mark, "after %{x:.1f} passes, worth %{y:.2f} of a fresh sample")
        )
        if tau <= end:
            half = worth(fit, name, floats([tau])).mean
            halves.append(Points(name, floats([tau]), half, mark, "half-life %{x:.1f} passes"))
    harm = fit.shared.get("harm", 0.0)
    said = "; ".join(f"{name}: {passes_text(tau)}" for name, tau in lives.items())
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
    if not with_samples:
        return f"{what} {scale.hover}"
    return f"%{{x:,.3s}} samples seen<br>{what} {scale.hover}"


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predicted:
    """Mean over the draws with the 5% and 95% quantiles; no quantiles where the laws have no draws."""

    mean: Floats
    ends: tuple[Floats, Floats] | None


def predict_weights(
    laws: Laws | None,
    weights: Mapping[str, float],
    unique: Mapping[str, float],
    samples_seen: Floats,
    *,
    params: float | None = None,
    replacement: bool = False,
) -> Predicted | None:
    """What a mix would reach, [N]; None without laws, or where a pool has no law or no size."""
    known = laws is not None and set(weights) <= set(laws.pool_names)
    if laws is None or not known or not all(unique.get(pool, 0) > 0 for pool in weights):
        return None
    total = sum(weights.values())
    weights_P = np.array([weights.get(name, 0.0) / total for name in laws.pool_names])
    unique_P = np.array([unique.get(name, 1.0) for name in laws.pool_names])
    size = laws.params if params is None else params
    with_replacement = np.full(samples_seen.shape, replacement)
    error_SN = predict_designs(
        laws,
        lambda fit: design(
            samples_seen,
            weights_P,
            unique_P,
            num_params=size if fit.num_params is not None else None,
            replacement=with_replacement,
        ),
    )
    return Predicted(mean=error_SN.mean(0), ends=error_interval(error_SN) if has_draws(laws) else None)


def worth(fit: Fit, pool: str, repetitions: Floats) -> Predicted:
    """What a sample of the pool is worth on its k-th repetition, 1 when fresh."""
    fitted = utility_curve(fit, pool, repetitions)
    if len(fit.draws_SX) < 2:
        return Predicted(mean=fitted, ends=None)
    return Predicted(mean=fitted, ends=error_interval(utility_curve(fit, pool, repetitions, of_draws=True)))


def has_draws(laws: Laws) -> bool:
    """Whether there is a band to draw."""
    return any(len(fit.draws_SX) > 1 for fit in laws.fits)
