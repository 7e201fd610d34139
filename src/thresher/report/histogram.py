"""The histogram of the scores with the cuts between the pools."""

from collections.abc import Sequence

import numpy as np

from thresher.budget import format_count
from thresher.curate.pools.record import Pool
from thresher.report.chart import Axis, Bars, Chart, Label, Mark, label_mark, pool_mark
from thresher.report.pool_stats import LEFT_OUT, Counts, Tally

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
    cuts = _cuts(tally)
    num = sum(int(counts.sum()) for counts in tally.counts.values())
    return Chart(
        id="chart-scores",
        title="Scores and cuts",
        summary=f"Histogram of {format_count(num)} scores with {len(cuts)} cuts between the pools.",
        legend=tuple((name, mark) for name, mark, _ in stacks),
        x=Axis(title=f"Score (column {tally.pools.by}, no unit)"),
        y=Axis(title="Pairs a bin"),
        series=tuple(_bars(tally, *stack) for stack in stacks),
        uprights=tuple(cuts),
        labels=tuple(_label(pool, tally) for pool in tally.pools.pools) if labels else (),
        note="Upright lines are the cuts" + (", with the pools' names above." if labels else "."),
    )


def _bars(tally: Tally, name: str, mark: Mark, counts: Counts) -> Bars:
    return Bars(
        name,
        (tally.edges[1:] + tally.edges[:-1]) / 2,
        counts.astype(float),
        float(tally.edges[1] - tally.edges[0]),
        mark,
        "score %{x:.3g}: %{y:,} pairs",
    )


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


def _pool_marks(pools: Sequence[Pool]) -> list[tuple[str, Mark]]:
    marks = [(pool.name, Mark(colour=pool_mark(pool.rank).colour)) for pool in pools]
    return [*marks, (LEFT_OUT, LEFT_OUT_MARK)]


def _label(pool: Pool, tally: Tally) -> Label:
    """The name of a pool over the middle of its scores, on its side where the pool is narrow."""
    low, high = pool.score_min, pool.score_max
    narrow = (high - low) < NARROW * float(tally.edges[-1] - tally.edges[0])
    return Label(x=(low + high) / 2, text=pool.name, upright=narrow)
