"""The figures of training runs: error against samples and FLOPs, and what selection did during training."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from thresher.report.chart import (
    INK,
    MUTED,
    Axis,
    Bars,
    Chart,
    Floats,
    Line,
    Mark,
    Points,
    Series,
    count_axis,
    floats,
    mix_mark,
)
from thresher.report.wording import Scale
from thresher.report.workdir import Measured, TrainingRun

MOST_TIMES = 40
SMOOTHED = 200
"""Points of a curve over steps; more are averaged in groups."""


def by_method(runs: Sequence[TrainingRun]) -> dict[str, list[TrainingRun]]:
    """Runs by how their batches were chosen, uniform first, else in the order of the folders."""
    groups: dict[str, list[TrainingRun]] = {}
    for run in sorted(runs, key=lambda run: run.method != "uniform"):
        groups.setdefault(run.method, []).append(run)
    return groups


def training_charts(runs: Sequence[TrainingRun], scale: Scale) -> dict[str, Chart]:
    """All figures about training runs that their files allow, by name."""
    if not runs:
        return {}
    charts = {
        "training-samples": _error_chart(
            runs, scale, "samples", "Samples seen, repeats counted", lambda point: point.samples_seen
        ),
        "training-flops": _error_chart(
            runs, scale, "flops", "FLOPs of all kinds", lambda point: point.total_flops
        ),
        "learnability": _learnability_chart(runs),
        "training-repeats": _repeats_chart(runs),
        "resolutions": _resolutions_chart(runs),
    }
    return {name: chart for name, chart in charts.items() if chart is not None}


def _error_chart(
    runs: Sequence[TrainingRun], scale: Scale, name: str, title: str, place: Callable[[Measured], float]
) -> Chart:
    """Error of finished models against what they had seen or cost; lines join the means over seeds."""
    series: list[Series] = []
    legend: list[tuple[str, Mark]] = []
    where = "%{x:,.3s} samples seen" if name == "samples" else "%{x:.3g} FLOPs"
    for number, (method, members) in enumerate(by_method(runs).items()):
        mark = mix_mark(number)
        legend.append((method, mark))
        points = [point for run in members for point in run.measured]
        x = floats([place(point) for point in points])
        y = scale.factor * floats([point.error for point in points])
        groups = by_samples(members).values()
        mean_x = floats([float(np.mean([place(point) for point in group])) for group in groups])
        mean_y = floats([float(np.mean([point.error for point in group])) for group in groups])
        series.append(Line(method, mean_x, scale.factor * mean_y, mark))
        series.append(Points(method, x, y, mark, f"{where}<br>measured {scale.hover}"))
    places = [place(point) for run in runs for point in run.measured]
    low, high = min(places) / 1.1, max(places) * 1.1
    axis = count_axis(title, low, high) if name == "samples" else _flops_axis(title, low, high)
    what = "samples seen" if name == "samples" else title
    return Chart(
        id=f"chart-training-{name}",
        title=f"Error against {name}" if name == "samples" else "Error against FLOPs",
        summary=f"{scale.axis} of {len(places)} finished models against {what}, by how their "
        "batches were chosen.",
        legend=tuple(legend),
        x=axis,
        y=Axis(title=scale.axis),
        series=tuple(series),
        note="Each point is a model at the end of its schedule; lines join the means over seeds."
        if name == "samples"
        else "Training, scoring, selecting and embedding the reference are counted; training the "
        "reference is not.",
    )


def by_samples(runs: Sequence[TrainingRun]) -> dict[int, list[Measured]]:
    """The finished models of some runs by samples seen, fewest first."""
    groups: dict[int, list[Measured]] = {}
    for run in runs:
        for point in run.measured:
            groups.setdefault(point.samples_seen, []).append(point)
    return dict(sorted(groups.items()))


def _flops_axis(title: str, low: float, high: float) -> Axis:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 3) if high / low < 2_000 else (1,)
    ticks = [(step * 10.0**power, f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    shown = tuple(tick for tick in ticks if low <= tick[0] <= high)
    return Axis(title=title, limits=(low, high), log=True, ticks=shown)


def _learnability_chart(runs: Sequence[TrainingRun]) -> Chart | None:
    """Mean score of whole batches over time: as chosen, chosen independently, and uniformly."""
    run = _richest(runs, "learnability")
    if run is None:
        return None
    lines = [line for line in run.lines if "learnability" in line]
    marks = {
        "as chosen": (mix_mark(0), "chosen"),
        "chosen independently": (mix_mark(1), "independent"),
        "uniform": (Mark(colour=MUTED, dash="dot"), "uniform"),
    }
    series: list[Series] = []
    for name, (mark, key) in marks.items():
        x, y = _smooth([(float(line["step"]), float(line["learnability"][key])) for line in lines])
        series.append(Line(name, x, y, mark, "step %{x}: %{y:.3f} nats"))
    return Chart(
        id="chart-learnability",
        title="Score of a batch",
        summary=f"Score of whole batches over {len(lines)} moments of a run ({run.method}): as chosen, as "
        "independent selection would have chosen, and uniform.",
        legend=tuple((name, mark) for name, (mark, _) in marks.items()),
        x=Axis(title="Step"),
        y=Axis(title="Score a pair (nats)"),
        series=tuple(series),
        note="All three from the same super-batch; with learnability the score is the learner's loss minus "
        "the reference's.",
    )


def _repeats_chart(runs: Sequence[TrainingRun]) -> Chart | None:
    """How many pairs were trained on how often."""
    run = next((run for run in runs if run.times_n is not None and run.times_n.any()), None)
    if run is None or run.times_n is None:
        return None
    counts = np.bincount(np.minimum(run.times_n, MOST_TIMES)).astype(float)
    x = np.arange(len(counts), dtype=float)
    most = int(run.times_n.max())
    never = int((run.times_n == 0).sum())
    return Chart(
        id="chart-training-repeats",
        title="Repeats of a pair",
        summary=f"How often each of {len(run.times_n):,} pairs was trained on in a run ({run.method}): "
        f"{never:,} never, one {most} times.",
        legend=(),
        x=Axis(
            title=f"Times trained on{f', {MOST_TIMES} and more in the last bar' if most > MOST_TIMES else ''}"
        ),
        y=Axis(title="Pairs", from_zero=True),
        series=(Bars("pairs", x, counts, 1.0, mix_mark(0), "%{x} times: %{y:,} pairs"),),
    )


def _resolutions_chart(runs: Sequence[TrainingRun]) -> Chart | None:
    """Rank correlation of the learner's losses at low and at full resolution over time."""
    run = _richest(runs, "rank_correlation")
    if run is None:
        return None
    found = [
        (float(line["step"]), float(line["rank_correlation"]))
        for line in run.lines
        if "rank_correlation" in line
    ]
    x, y = floats([step for step, _ in found]), floats([value for _, value in found])
    mark = Mark(colour=INK, symbol="circle", dash="solid")
    return Chart(
        id="chart-resolutions",
        title="Losses at two resolutions",
        summary="Rank correlation of the learner's losses at low and at full resolution, at "
        f"{len(found)} moments of a run: {found[0][1]:.2f} at first, {found[-1][1]:.2f} at last.",
        legend=(),
        x=Axis(title="Step"),
        y=Axis(title="Rank correlation", limits=(min(0.0, float(y.min())), 1.0)),
        series=(Line("losses", x, y, mark), Points("losses", x, y, mark, "step %{x}: %{y:.2f}")),
    )


def _richest(runs: Sequence[TrainingRun], key: str) -> TrainingRun | None:
    """The run with the most records of `key`; joint selection before independent."""
    counted = [(sum(key in line for line in run.lines), run) for run in runs]
    counted = [(count, run) for count, run in counted if count]
    if not counted:
        return None
    return max(counted, key=lambda pair: (pair[1].method.startswith("joint"), pair[0]))[1]


def _smooth(points: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Steps and values in at most `SMOOTHED` groups of neighbours."""
    values = np.asarray(sorted(points), np.float64)
    parts = np.array_split(values, min(SMOOTHED, len(values)))
    means = np.array([part.mean(0) for part in parts])
    return means[:, 0], means[:, 1]
