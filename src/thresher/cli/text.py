"""Fits, plans and estimates as plain text for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thresher.budget import format_count
from thresher.cli.output import columns, number
from thresher.laws.result import Fit
from thresher.plan import Plan, summary
from thresher.runs import is_loss

SHARED = ("A", "n0", "d", "gamma")


def fit_text(fitted: Fit, *, has_half_life: bool) -> str:
    """Parameters with intervals, what the fit says about itself, and how well it predicts the check runs."""
    loss = is_loss(fitted.metric)
    shown = SHARED if has_half_life else SHARED[:3]
    shared = [(name, *_with_interval(getattr(fitted, name), fitted.intervals.get(name))) for name in shown]
    header = ["pool", "pairs", "b", "5-95%", *(["tau (passes)", "5-95%"] if has_half_life else [])]
    pools = []
    for pool in fitted.pools:
        row = [pool.name, format_count(pool.num_unique)]
        row += _with_interval(pool.b, pool.intervals.get("b"))
        if pool.tau is not None:
            row += _with_interval(pool.tau, pool.intervals.get("tau"))
        pools.append(row)
    runs = len(fitted.points)
    head = f"{fitted.law} law of {fitted.metric}, fitted to {runs} runs on {len(fitted.pools)} pools"
    status = [*fitted.status, *(sentence for pool in fitted.pools for sentence in pool.status)]
    blocks = [
        head,
        columns(("shared", "value", "5-95%"), shared),
        columns(header, pools),
        "\n".join(status),
        f"noise of a run: {_gap(fitted.noise, loss)}\n{_check_text(fitted, loss)}",
    ]
    return "\n\n".join(block for block in blocks if block)


def _check_text(fitted: Fit, loss: bool) -> str:
    check = fitted.check
    if check.mae is None or check.mae_of_mean is None:
        return "no check runs: how well the law predicts a mix is not known; add runs with the role check"
    return (
        f"check runs ({len(check.points)}): the law is {_gap(check.mae, loss)} off on average, their mean "
        f"{_gap(check.mae_of_mean, loss)}"
    )


def _gap(difference: float, loss: bool) -> str:
    return f"{difference:.3g}" if loss else f"{100 * difference:.2g} points"


def _with_interval(value: float, ends: tuple[float, float] | None) -> tuple[str, str]:
    return number(value), "" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def plan_text(plan: Plan) -> str:
    """A row a budget, what to make of each, and where the winner changes."""
    rows = summary(plan)
    header = ("samples seen", "best mix", "error", "5-95%", "chance", "times seen")
    keys = ("budget", "best", "error", "interval", "chance", "passes")
    table = columns(header, [[row[key] for key in keys] for row in rows])
    return "\n\n".join([table, "\n".join(row["decision"] for row in rows), _crossover_text(plan)])


def _crossover_text(plan: Plan) -> str:
    if not plan.crossovers:
        return "The best mix is the same from half the smallest to twice the largest budget."
    lines = []
    for crossover in plan.crossovers:
        low = "fewer than were looked at" if crossover.low is None else _about(crossover.low)
        high = "more than were looked at" if crossover.high is None else _about(crossover.high)
        lines.append(
            f"From {_about(crossover.samples_seen)} samples seen ({low} to {high}), {crossover.after} is "
            f"better than {crossover.before}."
        )
    return "\n".join(lines)


def _about(count: float) -> str:
    """An estimated count with two significant digits."""
    return format_count(float(f"{count:.2g}"))


def estimate_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """What every stage will cost, and the sum."""
    stages = list(rows)
    total = {key: sum(row[key] or 0 for row in stages) for key in ("seconds", "disk_bytes", "flops")}
    cells = [
        (row["stage"], *_costs(row), row["note"] or "")
        for row in [*stages, {"stage": "all", "note": "", **total}]
    ]
    table = columns(("stage", "time", "disk", "FLOPs"), [cell[:4] for cell in cells])
    notes = [f"{cell[0]}: {cell[4]}" for cell in cells if cell[4]]
    return "\n\n".join(["\n".join(part) for part in ([table], notes) if part])


def _costs(row: Mapping[str, Any]) -> Sequence[str]:
    flops = row["flops"] or 0
    return (_time(row["seconds"] or 0), _size(row["disk_bytes"] or 0), f"{flops:.2g}" if flops else "")


def _time(seconds: float) -> str:
    """A duration in its largest two units.

    >>> _time(42), _time(754), _time(93_000)
    ('42 s', '13 min', '25 h 50 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _size(num_bytes: float) -> str:
    """Bytes in decimal units.

    >>> _size(0), _size(1_234_567), _size(5e12)
    ('0 B', '1.2 MB', '5 TB')
    """
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= factor:
            return (
                f"{num_bytes / factor:.2g} {unit}"
                if num_bytes < 100 * factor
                else f"{num_bytes / factor:.0f} {unit}"
            )
    return f"{num_bytes:.0f} B"
