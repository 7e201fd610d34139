"""Fitted laws as blocks: parameters with intervals, laws side by side, and what the fit says of itself."""

from collections.abc import Iterator

from thresher.budget import format_count
from thresher.display.blocks import Block, Table, number, sentences, table, text_of
from thresher.laws.result import Fit, Interval, Laws
from thresher.runs import is_loss

_KINDS = {"tau": "tau (passes)"}


def laws_text(laws: Laws) -> str:
    """The laws as text for a terminal; warnings about the runs are left to the caller."""
    return text_of(_blocks(laws))


def laws_blocks(laws: Laws) -> list[Block]:
    """All that the laws say, the warnings about the runs last."""
    return [*_blocks(laws), sentences(*(f"Warning: {sentence}" for sentence in laws.warnings))]


def laws_line(laws: Laws) -> str:
    """The laws in one line: which, of what, from how many runs."""
    shares = ", ".join(_shares(laws))
    return f"Laws of {laws.metric}, {_origin(laws)}: {shares}"


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
        yield sentences(f"noise of a run: {_gap(laws.noise, loss)}", _check(laws, loss))


def _origin(laws: Laws) -> str:
    """Where the laws are from; without runs their parameters were given."""
    pools = f"{len(laws.pools)} pool{'s' if len(laws.pools) > 1 else ''}"
    return f"fitted to {len(laws.points)} runs on {pools}" if laws.points else f"given for {pools}"


def _shares(laws: Laws) -> Iterator[str]:
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        yield f"{fit.law} {100 * weight:.0f}%"


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
            "" if score.rmse is None else _gap(score.rmse, loss),
            "" if score.heldout_mae is None else _gap(score.heldout_mae, loss),
            f"{100 * score.weight:.0f}%",
        )
        for score in laws.comparison
    ]
    return table(("law", "parameters", "rmse of the fit", "off on runs held out", "share"), rows)


def _check(laws: Laws, loss: bool) -> str:
    check = laws.check
    if check.mae is None or check.mae_of_mean is None:
        return "no check runs: how well the law predicts a mix is not known; add runs with the role check"
    return (
        f"check runs ({len(check.points)}): the laws are {_gap(check.mae, loss)} off on average, their mean "
        f"{_gap(check.mae_of_mean, loss)}"
    )


def _gap(difference: float, loss: bool) -> str:
    return f"{difference:.3g}" if loss else f"{100 * difference:.2g} points"


def _with_interval(value: float, ends: Interval | None) -> tuple[str, str]:
    return number(value), "" if ends is None else f"{number(ends[0])} to {number(ends[1])}"
