"""A chart: what is drawn, in which colours, symbols and lines, on the page or in a picture file."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from thresher.budget import format_count
from thresher.planning.laws.result import Laws
from thresher.planning.plans.plan import Plan
from thresher.planning.runs.record import Run, mix_weights
from thresher.report.wording import mix_text

Floats = npt.NDArray[np.float64]

NUM_COLOURS = 8
NUM_MIX_COLOURS = 6
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
SMALL_SYMBOLS = ("triangle-up", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
INK, MUTED, GRID, PAPER = "@ink", "@muted", "@grid", "@paper"
BAND_OPACITY = 0.14
FREE_WEIGHTS = "free weights, which change with the budget"


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Pool name to its place by score, and the names of mixes in the order in which they get their marks."""

    ranks: Mapping[str, int]
    mixes: tuple[str, ...] = ()


def mark_of(marks: Marks, name: str) -> Mark:
    """The mark of a pool or a mix."""
    if name in marks.ranks:
        return pool_mark(marks.ranks[name])
    if name == FREE_WEIGHTS:
        return Mark(colour=INK, symbol="circle", dash="solid")
    if name in marks.mixes:
        return mix_mark(marks.mixes.index(name))
    return mix_mark(len(marks.mixes))


def marks_for(ranks: Mapping[str, int], plan: Plan | None, runs: Iterable[Run]) -> Marks:
    """Marks for all that a plan and runs name: winners by rising budget first, then what was run."""
    names: dict[str, None] = {}
    if plan is not None:
        names |= dict.fromkeys(name for name in front_names(plan) if name != FREE_WEIGHTS)
        names |= dict.fromkeys(budget.best for budget in plan.budgets)
        for crossover in plan.crossovers:
            names |= {crossover.before: None, crossover.after: None}
    names |= dict.fromkeys(mix_text(mix_weights(run)) for run in runs)
    if plan is not None:
        names |= dict.fromkeys(budget.rival for budget in plan.budgets if budget.rival is not None)
        names |= dict.fromkeys(policy.name for policy in plan.policies)
    return Marks(ranks=ranks, mixes=tuple(name for name in names if name not in ranks))


def front_names(plan: Plan) -> list[str]:
    """The winner at each budget of the frontier; mixes of free weights go by one name."""
    known = {policy.name for policy in plan.policies} | {budget.best for budget in plan.budgets}
    known |= {name for crossover in plan.crossovers for name in (crossover.before, crossover.after)}
    free = {c.name for budget in plan.budgets for c in budget.candidates if c.weighted}
    kept = plan.weights == "subsets"
    return [point.best if kept or point.best in known - free else FREE_WEIGHTS for point in plan.frontier]


def ranks_of(laws: Laws | None, plan: Plan | None, runs: Sequence[Run]) -> dict[str, int]:
    """The place of each pool: that of the laws, else of the plan, else of first appearance in the runs."""
    if laws is not None:
        names: Iterable[str] = laws.pool_names
    elif plan is not None:
        names = plan.pools
    else:
        names = dict.fromkeys(pool for run in runs for pool in mix_weights(run))
    return {name: rank for rank, name in enumerate(names)}
