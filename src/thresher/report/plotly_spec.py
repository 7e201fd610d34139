"""A chart as what plotly draws on the page; colours stay names, which the page's script resolves."""

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from thresher.report.chart import (
    BAND_OPACITY,
    GRID,
    INK,
    MUTED,
    PAPER,
    SMALL_SYMBOLS,
    Axis,
    Band,
    Bars,
    Chart,
    Floats,
    Label,
    Line,
    Points,
    Series,
)

Trace = dict[str, Any]
LABELS_MARGIN = 64


def spec_json(chart: Chart) -> str:
    """The spec of a chart for a script element: no character of it can end the element."""
    text = json.dumps(spec(chart), ensure_ascii=True, allow_nan=False, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def spec(chart: Chart) -> dict[str, Any]:
    """Data and layout for plotly."""
    layout = _layout(chart.x, chart.y)
    layout["shapes"] = [_dotted("x", float(f"{x:.6g}")) for x in chart.uprights]
    if chart.level is not None:
        layout["shapes"].append(_dotted("y", chart.level))
    if chart.labels:
        layout["annotations"] = [_annotation(label) for label in chart.labels]
        layout["margin"]["t"] = LABELS_MARGIN
    if any(isinstance(series, Bars) for series in chart.series):
        layout.update(barmode="stack", bargap=0)
    return {"data": [_trace(series) for series in chart.series], "layout": layout}


def numbers(values: Floats | Sequence[float]) -> list[float | None]:
    """Values for JSON: six significant digits, None for what is not finite."""
    plain: list[float] = np.asarray(values, np.float64).tolist()
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in plain]


def _trace(series: Series) -> Trace:
    if isinstance(series, Band):
        return _band(series)
    if isinstance(series, Bars):
        trace = _bars(series)
    else:
        trace = _line(series) if isinstance(series, Line) else _points(series)
    trace["name"] = html.escape(series.name)
    if series.hover:
        trace["hovertemplate"] = f"%{{fullData.name}}<br>{series.hover}<extra></extra>"
    else:
        trace["hoverinfo"] = "skip"
    return trace


def _scatter(mode: str, x: Floats, y: Floats) -> Trace:
    return {"type": "scatter", "mode": mode, "x": numbers(x), "y": numbers(y)}


def _line(line: Line) -> Trace:
    style = {"color": line.mark.colour, "dash": line.mark.dash or "solid", "width": line.width}
    return {**_scatter("lines", line.x, line.y), "line": style}


def _points(points: Points) -> Trace:
    mark = points.mark
    symbol = mark.symbol or "circle"
    trace = {
        **_scatter("markers", points.x, points.y),
        "marker": {
            "color": mark.colour,
            "symbol": symbol if mark.filled else f"{symbol}-open",
            "size": points.size + 3 * (symbol in SMALL_SYMBOLS),
            "line": {"width": 1 if mark.filled else 2, "color": PAPER if mark.filled else mark.colour},
        },
    }
    if points.y_interval is not None:
        trace["error_y"] = _whiskers(points.y, *points.y_interval, mark.colour)
    if points.x_interval is not None:
        trace["error_x"] = _whiskers(points.x, *points.x_interval, mark.colour)
    return trace


def _whiskers(middle: Floats, low: Floats, high: Floats, colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(high - middle),
        "arrayminus": numbers(middle - low),
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def _band(band: Band) -> Trace:
    return {
        **_scatter(
            "lines", np.concatenate([band.x, band.x[::-1]]), np.concatenate([band.high, band.low[::-1]])
        ),
        "fill": "toself",
        "fillcolor": band.mark.colour,
        "opacity": BAND_OPACITY,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _bars(bars: Bars) -> Trace:
    return {
        "type": "bar",
        "x": numbers(bars.x),
        "y": numbers(bars.heights),
        "width": float(f"{bars.width:.6g}"),
        "marker": {"color": bars.mark.colour, "line": {"width": 0}},
    }


def _layout(x: Axis, y: Axis) -> dict[str, Any]:
    """A quiet layout that fits its box; the legend is drawn by the page."""
    return {
        "autosize": True,
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        "margin": {"l": 58, "r": 14, "t": 16, "b": 50},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": MUTED, "font": {"color": INK}},
        "xaxis": _axis(x),
        "yaxis": _axis(y),
        "dragmode": False,
    }


def _axis(axis: Axis) -> dict[str, Any]:
    made: dict[str, Any] = {
        "gridcolor": GRID,
        "linecolor": MUTED,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": MUTED,
        "automargin": True,
        "title": {"text": html.escape(axis.title), "standoff": 10},
    }
    if axis.log:
        made["type"] = "log"
    if axis.limits is not None:
        ends = [math.log10(end) for end in axis.limits] if axis.log else list(axis.limits)
        made["range"] = [round(end, 6) for end in (ends[::-1] if axis.downwards else ends)]
    elif axis.downwards:
        made["autorange"] = "reversed"
    if axis.ticks is not None:
        made["tickvals"] = [place for place, _ in axis.ticks]
        made["ticktext"] = [html.escape(text) for _, text in axis.ticks]
    if axis.from_zero:
        made["rangemode"] = "tozero"
    return made


def _dotted(axis: str, place: float) -> dict[str, Any]:
    """A line across the plot at one place of an axis."""
    along = "y" if axis == "x" else "x"
    ends = {f"{axis}0": place, f"{axis}1": place, f"{along}0": 0, f"{along}1": 1, f"{along}ref": "paper"}
    return {"type": "line", **ends, "line": {"color": MUTED, "width": 1.5, "dash": "dot"}}


def _annotation(label: Label) -> dict[str, Any]:
    return {
        "text": html.escape(label.text),
        "x": float(f"{label.x:.6g}"),
        "y": 1.01,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "textangle": -90 if label.upright else 0,
        "font": {"size": 12, "color": MUTED},
    }
