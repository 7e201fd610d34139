"""A chart: what is drawn, in marks, colours and axes, whoever draws it (the page or a picture file)."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thresher.budget import format_count

Floats = npt.NDArray[np.float64]

NUM_COLOURS = 8
NUM_MIX_COLOURS = 6
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
SMALL_SYMBOLS = ("triangle-up", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
INK, MUTED, GRID, PAPER = "@ink", "@muted", "@grid", "@paper"
BAND_OPACITY = 0.14


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How one series is drawn; `colour` is `@name`, which the style sheet defines for light and dark."""

    colour: str
    symbol: str = ""
    dash: str = ""
    filled: bool = True


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A curve; values that are not finite leave a gap. `hover` is what the page says under the pointer."""

    name: str
    x: Floats
    y: Floats
    mark: Mark
    hover: str = ""
    width: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Markers, open where the mark is not filled, with an interval in y or in x where there is one."""

    name: str
    x: Floats
    y: Floats
    mark: Mark
    hover: str = ""
    size: float = 9.0
    y_interval: tuple[Floats, Floats] | None = None
    x_interval: tuple[Floats, Floats] | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Band:
    """What lies between two curves, filled lightly."""

    x: Floats
    low: Floats
    high: Floats
    mark: Mark


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars of equal width around `x`; those of several series are stacked."""

    name: str
    x: Floats
    heights: Floats
    width: float
    mark: Mark
    hover: str = ""


Series = Line | Points | Band | Bars


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        limits: Ends of the axis; those of the data where absent.
        log: Whether it is a log axis of counts.
        ticks: Places and texts of the ticks; the drawer's choice where absent.
        from_zero: Whether it starts at zero.
        downwards: Whether values grow downwards.
    """

    title: str
    limits: tuple[float, float] | None = None
    log: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None
    from_zero: bool = False
    downwards: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text above the plot at `x`, on its side where it would be too wide."""

    x: float
    text: str
    upright: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chart:
    """A figure in data.

    Attributes:
        title: A few words for the heading of a picture.
        legend: Names of the marks.
        summary: What the figure shows, in words.
        note: How to read it.
        uprights: Places of dotted upright lines.
        level: Place of a dotted level line.
        rows: Rows of a chart that needs no more height than they do; None for a plot of full height.
    """

    id: str
    title: str
    summary: str
    legend: tuple[tuple[str, Mark], ...]
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    note: str = ""
    uprights: tuple[float, ...] = ()
    level: float | None = None
    labels: tuple[Label, ...] = ()
    rows: int | None = None


def pool_mark(rank: int) -> Mark:
    """The mark of a pool in every figure; colour and shape come round again after eight pools."""
    place = rank % NUM_COLOURS
    return Mark(colour=f"@c{place}", symbol=SYMBOLS[place], dash="solid" if rank < NUM_COLOURS else "dash")


def mix_mark(place: int) -> Mark:
    """The mark of a mix, in colours that no pool has."""
    return Mark(
        colour=f"@m{place % NUM_MIX_COLOURS}",
        symbol=SYMBOLS[(place + 1) % len(SYMBOLS)],
        dash=DASHES[1 + place % (len(DASHES) - 1)],
    )


def label_mark(place: int) -> Mark:
    """The mark of a planted label; the label that stands for good pairs comes first."""
    return Mark(colour=f"@l{place % NUM_COLOURS}")


def open_mark(mark: Mark) -> Mark:
    """The same mark, not filled."""
    return dataclasses.replace(mark, filled=False)


def count_axis(title: str, low: float, high: float) -> Axis:
    """A log axis of sample counts from `low` to `high`, ticks written as counts."""
    steps = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 2_000 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    shown = tuple((tick, format_count(tick)) for tick in ticks if low / 1.001 <= tick <= high * 1.001)
    return Axis(title=title, limits=(low, high), log=True, ticks=shown)


def floats(values: Sequence[float]) -> Floats:
    """The values as an array."""
    return np.asarray(values, np.float64)
