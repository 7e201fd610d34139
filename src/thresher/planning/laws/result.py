"""Fitted laws: parameters with intervals, what a fit says about itself, and both as tables and sentences.

`Laws` are the laws that the runs could have come from, a `Fit` and its weight each.
Predictions are made by all of them together: the doubt about the law is part of the doubt about a plan.
Axes: S draws, P pools.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from thresher.budget import format_count
from thresher.planning.laws.doubt import Doubt
from thresher.planning.laws.fits import Fit, Interval, PoolLaw
from thresher.planning.laws.signal import Signal
from thresher.planning.laws.surface import Surface
from thresher.planning.runs.record import Run, is_loss, mix_unique, mix_weights
from thresher.tables import (
    Block,
    Columns,
    Table,
    columns_of_records,
    columns_of_rows,
    gap_text,
    html_of,
    named_table,
    number,
    percent,
    sentences,
    table,
    text_of,
    to_pandas,
    to_polars,
)

_KINDS = {"tau": "tau (passes)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A run beside what is predicted for it; `residual` is measured minus predicted error."""

    run: Run
    predicted: float
    residual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Runs that the fit never saw.

    Attributes:
        mae: Mean absolute error of the predictions; None without check runs.
        mae_of_mean: Mean absolute error of predicting the mean of these runs for each of them.
    """

    mae: float | None = None
    mae_of_mean: float | None = None
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LawScore:
    """How well a law predicted the longest runs from the shorter ones.

    Attributes:
        num_parameters: Fitted to all runs.
        rmse: Root mean square residual of the fit to all runs, units of the error; None where it cannot be
            fitted.
        heldout_mae: Mean absolute error on the longest runs when fitted to the others; None where there are
            too few.
        heldout_runs: How many runs were held out.
        weight: Share that the law has in the predictions.
    """

    law: str
    num_parameters: int
    rmse: float | None
    heldout_mae: float | None
    heldout_runs: int
    weight: float


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class Laws:
    """The laws that the runs could have come from.

    Attributes:
        fits: The one with the largest weight first.
        weights: Share of each in the predictions; sum to 1.
        comparison: Every law that was tried, in the order of the register.
        status: Sentences about the choice of the law.
        warnings: Sentences about the runs.
        replacement: Whether all runs drew with replacement, so that predictions are for runs that do.
        params: Model size that predictions are for where a law has a size term: the largest among the runs.
        longest: Samples seen of the longest run of the fit.
        doubt: How far mixes may stray from all laws, the more the further they lie from the runs.
        signal: What the runs tell beyond their noise.
        surface: What the laws leave over, where the runs are dense; None elsewhere.
        chance_error: The error of guessing; None where it is not known.
        within: Pools of the runs that lie in another one, to that one; the laws are of the disjoint parts.
        points: The runs of the fit beside their predictions.
        check: Runs that no fit saw.
    """

    metric: str
    recipe: str | None
    model: str | None
    params: float | None = None
    replacement: bool = False
    longest: float | None = None
    chance_error: float | None = None
    doubt: Doubt = field(default_factory=Doubt)
    signal: Signal = field(default_factory=Signal)
    within: Mapping[str, str] = field(default_factory=dict)
    surface: Surface | None = None
    status: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fits: tuple[Fit, ...]
    weights: tuple[float, ...]
    comparison: tuple[LawScore, ...] = ()
    points: tuple[Point, ...] = ()
    check: Check = field(default_factory=Check)

    @property
    def best(self) -> Fit:
        """The fit with the largest weight."""
        return self.fits[0]

    @property
    def pools(self) -> tuple[PoolLaw, ...]:
        """The pools under the law with the largest weight."""
        return self.best.pools

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Names of the pools, in the order of the last axis of weights."""
        return tuple(pool.name for pool in self.best.pools)

    @property
    def sizes(self) -> dict[str, int]:
        """Samples in each whole pool, as the runs tell them."""
        return {pool.name: round(pool.pool_samples) for pool in self.pools}

    @property
    def runs(self) -> list[Run]:
        """The runs that the laws were fitted to and checked on."""
        return [point.run for point in (*self.points, *self.check.points)]

    @property
    def bound(self) -> float | None:
        """The largest error that a prediction can be: that of guessing, or 1; None for a loss without one."""
        return self.chance_error if self.chance_error or is_loss(self.metric) else 1.0

    @property
    def noise(self) -> float:
        """Standard deviation of the error of one run."""
        return self.best.noise

    def __repr__(self) -> str:
        pairs = zip(self.fits, self.weights, strict=True)
        shares = ", ".join(f"{fit.law} {percent(weight, 0)}" for fit, weight in pairs)
        return f"<Laws of {self.metric}, {_origin(self)}: {shares}>"

    def __str__(self) -> str:
        return text_of(laws_blocks(self))

    def _repr_html_(self) -> str:
        return html_of(laws_blocks(self))

    def to_polars(self, table: str = "parameters") -> Any:
        """A `polars.DataFrame`: "parameters", "runs" (with predictions) or "laws" (the comparison)."""
        return to_polars(table_of_laws(self, table))

    def to_pandas(self, table: str = "parameters") -> Any:
        """The same as a `pandas.DataFrame`."""
        return to_pandas(table_of_laws(self, table))


def laws_text(laws: Laws) -> str:
    """The laws as text for a terminal; warnings about the runs are left to the caller."""
    return text_of(_blocks(laws))


def laws_blocks(laws: Laws) -> list[Block]:
    """All that the laws say, the warnings about the runs last."""
    return [*_blocks(laws), sentences(*(f"Warning: {sentence}" for sentence in laws.warnings))]


def _blocks(laws: Laws) -> Iterator[Block]:
    loss, best = is_loss(laws.metric), laws.best
    yield sentences(f"{best.law} law of {laws.metric}, {_origin(laws)}")
    yield table(
        ("shared", "value", "5-95%"),
        [(name, *_with_interval(value, best.intervals.get(name))) for name, value in best.shared.items()],
    )
    yield _pools(best)
    yield _comparison(laws, loss)
    yield sentences(*laws.status, *best.status, *(status for pool in best.pools for status in pool.status))
    if laws.points:
        yield sentences(f"noise of a run: {gap_text(laws.noise, loss)}", _check(laws, loss))


def _origin(laws: Laws) -> str:
    """Where the laws are from; without runs their parameters were given."""
    pools = f"{len(laws.pools)} pool{'s' if len(laws.pools) > 1 else ''}"
    return f"fitted to {len(laws.points)} runs on {pools}" if laws.points else f"given for {pools}"


def _pools(best: Fit) -> Table:
    kinds = list(best.pools[0].values)
    header = ["pool", "pairs", *(cell for kind in kinds for cell in (_KINDS.get(kind, kind), "5-95%"))]
    rows = []
    for pool in best.pools:
        row = [pool.name, format_count(pool.num_unique)]
        for kind, value in pool.values.items():
            row += _with_interval(value, pool.intervals.get(kind))
        rows.append(row)
    return table(header, rows)


def _comparison(laws: Laws, loss: bool) -> Table:
    """Every law that was tried: fit to all runs, prediction of the longest ones, share in the plan."""
    rows = [
        (
            score.law,
            str(score.num_parameters) if score.rmse is not None else "too many",
            "" if score.rmse is None else gap_text(score.rmse, loss),
            "" if score.heldout_mae is None else gap_text(score.heldout_mae, loss),
            percent(score.weight, 0),
        )
        for score in laws.comparison
    ]
    return table(("law", "parameters", "rmse of the fit", "off on runs held out", "share"), rows)


def _check(laws: Laws, loss: bool) -> str:
    check = laws.check
    if check.mae is None or check.mae_of_mean is None:
        return "no check runs: how well the law predicts a mix is not known; add runs with the role check"
    return (
        f"check runs ({len(check.points)}): the laws are {gap_text(check.mae, loss)} off on average, their "
        f"mean {gap_text(check.mae_of_mean, loss)}"
    )


def _with_interval(value: float, ends: Interval | None) -> tuple[str, str]:
    return number(value), "" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def table_of_laws(laws: Laws, name: str) -> Columns:
    """A table of fitted laws; see `LAWS_TABLES`."""
    return named_table(LAWS_TABLES, name)(laws)


def _parameters(laws: Laws) -> Columns:
    """One row a parameter of every law that has a share; `pool` is None where all pools share it."""
    rows = []
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        owners: list[tuple[str | None, Mapping[str, float], Mapping[str, tuple[float, float]]]] = [
            (None, fit.shared, fit.intervals),
            *((pool.name, pool.values, pool.intervals) for pool in fit.pools),
        ]
        for pool, values, intervals in owners:
            for name, value in values.items():
                low, high = intervals.get(name, (None, None))
                rows.append((fit.law, weight, pool, name, value, low, high))
    return columns_of_rows(("law", "weight", "pool", "parameter", "value", "low", "high"), rows)


def _runs(laws: Laws) -> Columns:
    """One row a run, those of the fit and then those it was checked on, with what is predicted."""
    header = (
        *("run", "role", "pools", "unique_samples", "samples_seen", "error", "predicted", "residual"),
        *("seed", "recipe", "model", "params"),
    )
    return columns_of_rows(header, [_run(point) for point in (*laws.points, *laws.check.points)])


def _run(point: Point) -> tuple[Any, ...]:
    run = point.run
    return (
        *(run.run, run.role, " + ".join(mix_weights(run)), sum(mix_unique(run).values())),
        *(run.samples_seen, run.error, point.predicted, point.residual),
        *(run.seed, run.recipe, run.model, run.params),
    )


LAWS_TABLES: dict[str, Callable[[Laws], Columns]] = {
    "parameters": _parameters,
    "runs": _runs,
    "laws": lambda laws: columns_of_records([field.name for field in fields(LawScore)], laws.comparison),
}
"""Tables of fitted laws, by the name that `Laws.to_polars` takes."""
