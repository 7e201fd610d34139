"""The histogram of the scores with the cuts between the pools."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from thresher.budget import format_count
from thresher.pools.record import Pool
from thresher.report.chart import MUTED, Chart, Mark, Trace, label_mark, layout, numbers, pool_mark
from thresher.report.tally import LEFT_OUT, Counts, Tally

NARROW = 0.16  # below this share of the axis a name does not fit across on a phone
LEFT_OUT_MARK = Mark(colour="@none")


def score_chart(tally: Tally, labels: Sequence[str]) -> Chart:
    """Counts of scores, stacked by planted label, or by pool where nothing is planted.

    Upright lines are the cuts; where the colours stand for labels, each pool's name stands above it.
    """
    if labels:
        stacks = [(x or "no label", label_mark(i), _sum(tally, label=x)) for i, x in enumerate(labels)]
    else:
        stacks = [(name, mark, _sum(tally, pool=name)) for name, mark in _pool_marks(tally.pools.pools)]
    stacks = [stack for stack in stacks if stack[2].any()]
    drawing = layout(f"Score (column {html.escape(tally.pools.by)}, no unit)", "Pairs a bin")
    drawing.update(barmode="stack", bargap=0)
    cuts = _cuts(tally)
    drawing["shapes"] = [_upright(cut) for cut in cuts]
    if labels:
        drawing["annotations"] = [_pool_name(pool, tally) for pool in tally.pools.pools]
        drawing["margin"]["t"] = 64
    num = sum(int(counts.sum()) for counts in tally.counts.values())
    return Chart(
        id="chart-scores",
        summary=f"Histogram of {format_count(num)} scores with {len(cuts)} cuts between the pools.",
        legend=[(name, mark) for name, mark, _ in stacks],
        spec={"data": [_bars(tally, *stack) for stack in stacks], "layout": drawing},
        note="Upright lines are the cuts" + (", with the pools' names above." if labels else "."),
    )


def _bars(tally: Tally, name: str, mark: Mark, counts: Counts) -> Trace:
    return {
        "type": "bar",
        "name": html.escape(name),
        "x": numbers((tally.edges[1:] + tally.edges[:-1]) / 2),
        "y": [int(count) for count in counts],
        "width": float(f"{tally.edges[1] - tally.edges[0]:.6g}"),
        "marker": {"color": mark.colour, "line": {"width": 0}},
        "hovertemplate": "%{fullData.name}<br>score %{x:.3g}: %{y:,} pairs<extra></extra>",
    }


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


def _upright(x: float) -> dict[str, Any]:
    style = {"color": MUTED, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": style}


def _pool_marks(pools: Sequence[Pool]) -> list[tuple[str, Mark]]:
    marks = [(pool.name, Mark(colour=pool_mark(pool.rank).colour)) for pool in pools]
    return [*marks, (LEFT_OUT, LEFT_OUT_MARK)]


def _pool_name(pool: Pool, tally: Tally) -> dict[str, Any]:
    """The name of a pool over the middle of its scores, on its side where the pool is narrow."""
    low, high = pool.score_min, pool.score_max
    narrow = (high - low) < NARROW * float(tally.edges[-1] - tally.edges[0])
    return {
        "text": html.escape(pool.name),
        "x": float(f"{(low + high) / 2:.6g}"),
        "y": 1.01,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "textangle": -90 if narrow else 0,
        "font": {"size": 12, "color": MUTED},
    }
