"""The common ground of the figures: a chart's parts, its marks, colours, axes and legend."""

import dataclasses
import html
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.budget import format_count

Floats = npt.NDArray[np.float64]
Trace = dict[str, Any]

NUM_COLOURS = 8
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
SMALL_SYMBOLS = ("triangle-up", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
INK, MUTED, GRID = "@ink", "@muted", "@grid"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How one series is drawn; `colour` is `@name`, a colour that the page defines for light and dark."""

    colour: str
    symbol: str = ""
    dash: str = ""
    filled: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure: `spec` is what plotly draws, `legend` names its marks, `summary` says it in words."""

    id: str
    summary: str
    legend: list[tuple[str, Mark]]
    spec: dict[str, Any]
    note: str = ""

    @property
    def json(self) -> str:
        """The spec for a script element: no character of it can end the element."""
        text = json.dumps(self.spec, ensure_ascii=True, allow_nan=False, sort_keys=True)
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def pool_mark(rank: int) -> Mark:
    """The mark of a pool in every figure; colour and shape come round again after eight pools."""
    place = rank % NUM_COLOURS
    return Mark(colour=f"@c{place}", symbol=SYMBOLS[place], dash="solid" if rank < NUM_COLOURS else "dash")


def label_mark(place: int) -> Mark:
    """The mark of a planted label; the label that stands for good pairs comes first."""
    return Mark(colour=f"@l{place % NUM_COLOURS}")


def line(name: str, x: Floats, y: Floats, mark: Mark, *, hover: str, width: float = 2.0) -> Trace:
    """A curve; values that are not finite leave a gap."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": html.escape(name),
        "x": numbers(x),
        "y": numbers(y),
        "line": {"color": mark.colour, "dash": mark.dash or "solid", "width": width},
        "hovertemplate": f"%{{fullData.name}}<br>{hover}<extra></extra>",
    }


def points(name: str, x: Floats, y: Floats, mark: Mark, *, hover: str, size: int = 9) -> Trace:
    """Markers, open where the mark is not filled."""
    symbol = mark.symbol or "circle"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": html.escape(name),
        "x": numbers(x),
        "y": numbers(y),
        "marker": {
            "color": mark.colour,
            "symbol": symbol if mark.filled else f"{symbol}-open",
            "size": size + 3 * (symbol in SMALL_SYMBOLS),
            "line": {"width": 1 if mark.filled else 2, "color": "@paper" if mark.filled else mark.colour},
        },
        "hovertemplate": f"%{{fullData.name}}<br>{hover}<extra></extra>",
    }


def band(x: Floats, low: Floats, high: Floats, mark: Mark) -> Trace:
    """A filled band between two curves, without hover."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(np.concatenate([x, x[::-1]])),
        "y": numbers(np.concatenate([high, low[::-1]])),
        "fill": "toself",
        "fillcolor": mark.colour,
        "opacity": 0.14,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def layout(x_title: str, y_title: str) -> dict[str, Any]:
    """A quiet layout that fits its box; the legend is drawn by the page."""
    axis = {
        "gridcolor": GRID,
        "linecolor": MUTED,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": MUTED,
        "automargin": True,
        "title": {"standoff": 10},
    }
    return {
        "autosize": True,
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        "margin": {"l": 58, "r": 14, "t": 16, "b": 50},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": MUTED, "font": {"color": INK}},
        "xaxis": {**axis, "title": {"text": x_title, "standoff": 10}},
        "yaxis": {**axis, "title": {"text": y_title, "standoff": 10}},
        "dragmode": False,
    }


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Settings of a log axis of sample counts from `low` to `high`, ticks written as counts."""
    steps = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 2_000 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    shown = [tick for tick in ticks if low / 1.001 <= tick <= high * 1.001]
    return {
        "type": "log",
        "range": [round(math.log10(low), 6), round(math.log10(high), 6)],
        "tickvals": shown,
        "ticktext": [format_count(tick) for tick in shown],
    }


def numbers(values: Floats | Sequence[float]) -> list[float | None]:
    """Values for JSON: six significant digits, None for what is not finite."""
    plain: list[float] = np.asarray(values, np.float64).tolist()
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in plain]
