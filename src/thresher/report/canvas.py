"""The canvas: a chart drawn by matplotlib, in the light colours of the report."""

import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from thresher.errors import MissingExtra
from thresher.report.chart import (
    BAND_OPACITY,
    SMALL_SYMBOLS,
    Axis,
    Band,
    Bars,
    Chart,
    Floats,
    Label,
    Line,
    Mark,
    Points,
)
from thresher.report.page import asset
from thresher.report.wording import cut_caption

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

WIDTH, HEIGHT, ROW_HEIGHT, TITLE_AND_AXIS_HEIGHT, LEGEND_MARGIN = 7.2, 4.0, 0.42, 1.1, 0.1
"""Inches."""
FONT_SIZE = 9.0
MOST_COLUMNS = 4
LONGEST_NAME = 72
POINT_SCALE = 0.72
"""Points of matplotlib to a pixel of the page."""
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "pentagon": "p",
    "hexagon": "h",
    "star": "*",
}
DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (4.5, 2.2)),
    "dot": (0, (1.2, 1.6)),
    "dashdot": (0, (4.5, 1.8, 1.2, 1.8)),
}
SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "thresher",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
}
"""Over those of the user: names of pools are no formulas, and the same chart gives the same bytes."""


def draw(chart: Chart) -> "Figure":
    """The chart as a matplotlib figure; characters that DejaVu Sans lacks show as boxes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with settings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height = HEIGHT if chart.rows is None else TITLE_AND_AXIS_HEIGHT + ROW_HEIGHT * chart.rows
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        _draw_axes(figure.subplots(), chart)
        legend_height = _draw_legend(figure, chart)
        figure.set_size_inches(WIDTH, height + legend_height)
        # Laid out once, here: a second round would move things by a hair, and the bytes would differ.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib with our settings inside the block.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingExtra("pictures", "drawing pictures") from error
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        current: Any = mpl.rcParams
        current.update(SETTINGS)
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


@functools.cache
def palette() -> dict[str, str]:
    """Name to colour, those of the report's style sheet for light."""
    light = asset("style.css").partition("@media")[0]
    return dict(re.findall(r"--(\w+): ?(#[0-9a-f]{6})", light))


def colour(name: str) -> str:
    """The colour that `@name` stands for."""
    return palette()[name.removeprefix("@")]


def _draw_axes(axes: "Axes", chart: Chart) -> None:
    ink, muted = colour("@ink"), colour("@muted")
    axes.set_title(
        _text(chart.title), loc="left", color=ink, fontsize=11, fontweight="bold", pad=_title_room(chart)
    )
    axes.grid(color=colour("@grid"), linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(muted)
    axes.tick_params(colors=muted, labelcolor=ink)
    stacked: Floats | float = 0.0
    style: dict[str, Any]
    for series in chart.series:
        if isinstance(series, Bars):
            style = {"color": colour(series.mark.colour), "linewidth": 0}
            axes.bar(series.x, series.heights, width=series.width, bottom=stacked, **style)
            stacked = stacked + series.heights
        elif isinstance(series, Band):
            style = {"color": colour(series.mark.colour), "alpha": BAND_OPACITY, "linewidth": 0}
            axes.fill_between(series.x, series.low, series.high, **style)
        elif isinstance(series, Line):
            axes.plot(series.x, series.y, **_line_style(series.mark, series.width))
        else:
            _draw_points(axes, series)
    for x in chart.uprights:
        axes.axvline(x, color=muted, linewidth=1.0, linestyle=DASHES["dot"])
    if chart.level is not None:
        axes.axhline(chart.level, color=muted, linewidth=1.0, linestyle=DASHES["dot"])
    for label in chart.labels:
        _draw_label(axes, label)
    _set_axis(axes, "x", chart.x)
    _set_axis(axes, "y", chart.y)


def _draw_points(axes: "Axes", points: Points) -> None:
    for interval, name in ((points.y_interval, "yerr"), (points.x_interval, "xerr")):
        if interval is not None:
            middle = points.y if name == "yerr" else points.x
            style: dict[str, Any] = {name: np.stack([middle - interval[0], interval[1] - middle])}
            style |= {"fmt": "none", "ecolor": colour(points.mark.colour), "elinewidth": 1.1, "capsize": 3}
            axes.errorbar(points.x, points.y, **style)
    axes.plot(points.x, points.y, linestyle="none", zorder=3, **_marker_style(points.mark, points.size))


def _draw_label(axes: "Axes", label: Label) -> None:
    axes.text(
        label.x,
        1.01,
        _text(label.text),
        transform=axes.get_xaxis_transform(),
        rotation=90 if label.upright else 0,
        ha="center",
        va="bottom",
        color=colour("@muted"),
        fontsize=8,
    )


def _set_axis(axes: "Axes", which: str, axis: Axis) -> None:
    own = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    own.set_label_text(_text(axis.title), color=colour("@ink"))
    if axis.log:
        axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    if axis.ticks is not None:
        own.set_ticks([place for place, _ in axis.ticks], labels=[text for _, text in axis.ticks])
        own.set_ticks([], minor=True)
    if axis.from_zero:
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        set_limits(min(0.0, low) if low < -0.1 * high else 0.0, high)
    if axis.limits is not None:
        set_limits(*(axis.limits[::-1] if axis.downwards else axis.limits))


def _line_style(mark: Mark, width: float) -> dict[str, Any]:
    return {
        "color": colour(mark.colour),
        "linestyle": DASHES[mark.dash or "solid"],
        "linewidth": POINT_SCALE * width,
    }


def _marker_style(mark: Mark, size: float) -> dict[str, Any]:
    symbol = mark.symbol or "circle"
    own = colour(mark.colour)
    return {
        "marker": MARKERS[symbol],
        "markersize": POINT_SCALE * (size + 3 * (symbol in SMALL_SYMBOLS)),
        "markerfacecolor": own if mark.filled else colour("@paper"),
        "markeredgecolor": colour("@paper") if mark.filled else own,
        "markeredgewidth": 0.6 if mark.filled else 1.4,
    }


def _draw_legend(figure: "Figure", chart: Chart) -> float:
    """A legend below the axes in as many columns as fit, smaller where one does not; its height in inches."""
    handles = [_handle(name, mark) for name, mark in chart.legend]
    room = figure.bbox.width - 2 * LEGEND_MARGIN * figure.dpi
    for columns in range(max(1, min(MOST_COLUMNS, len(handles))), 0, -1):
        legend = _legend(figure, handles, columns, FONT_SIZE)
        width = legend.get_window_extent().width
        if width <= room:
            break
        legend.remove()
    else:
        legend = _legend(figure, handles, 1, FONT_SIZE * 0.97 * float(room / width))
    return float(legend.get_window_extent().height / figure.dpi)


def _legend(figure: "Figure", handles: list["Artist"], columns: int, size: float) -> "Legend":
    return figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=columns,
        fontsize=size,
        frameon=False,
        handlelength=2.8,
        columnspacing=1.4,
    )


def _handle(name: str, mark: Mark) -> "Artist":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if not mark.symbol and not mark.dash:
        return Patch(facecolor=colour(mark.colour), label=_text(name))
    style = _marker_style(mark, 9) if mark.symbol else {}
    line = _line_style(mark, 2) if mark.dash else {"linestyle": "none"}
    return Line2D([], [], label=_text(name), **line, **style)


def _title_room(chart: Chart) -> float:
    """Points between the title and the axes, where the labels stand."""
    if not chart.labels:
        return 8.0
    longest = max((len(_text(label.text)) for label in chart.labels if label.upright), default=0)
    return 20.0 + 5.0 * longest


def _text(text: str) -> str:
    """A name as one line that can be drawn; one that starts with "_" would be left out of a legend."""
    clean = cut_caption(text, LONGEST_NAME)[0]
    return f"\u200a{clean}" if clean.startswith("_") else clean
