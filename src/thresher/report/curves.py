"""The curves: predicted error against the budget, error against samples seen, utility against repetition."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thresher.budget import format_count
from thresher.laws.interval import HIGH, LOW
from thresher.laws.result import Fit, draw_parameters, predict_mix, utility_curve
from thresher.plan import Plan
from thresher.report.chart import (
    DASHES,
    INK,
    MUTED,
    SYMBOLS,
    Chart,
    Floats,
    Mark,
    Trace,
    band,
    layout,
    line,
    log_axis,
    numbers,
    points,
    pool_mark,
)
from thresher.report.verdict import Trained, crossover_text
from thresher.report.wording import Scale, mix_text
from thresher.runs import Run, mix_unique, mix_weights

CURVE_POINTS = 96
MAX_LEADERS = 5


def plan_chart(
    plan: Plan, ranks: dict[str, int], tried: Sequence[Trained], fit: Fit | None, scale: Scale
) -> Chart:
    """Predicted error of the leading candidates against the budget, with what was trained there."""
    leaders = _leaders(plan, tried)
    budgets = [budget.samples_seen for budget in plan.budgets] + [t.samples_seen for t in tried]
    low, high = min(budgets) / 1.6, max(budgets) * 1.6
    grid = np.geomspace(low, high, CURVE_POINTS)
    traces: list[Trace] = []
    legend = []
    for place, (name, weights) in enumerate(leaders):
        mark = _mix_mark(weights, ranks, place)
        legend.append((name, mark))
        errors = predicted(fit, weights, plan.pools, grid)
        if errors is not None:
            traces.append(line(name, grid, scale.factor * errors, mark, hover=_hover(scale, "predicted")))
        traces.append(_at_budgets(plan, name, mark, scale))
        measured = [t for t in tried if t.name == name]
        if measured:
            traces.append(_measured(measured, mark, scale))
    legend.append(("open: predicted, with interval", Mark(colour=INK, symbol="circle", filled=False)))
    if tried:
        legend.append(("filled: measured by training there", Mark(colour=INK, symbol="circle")))
    drawing = layout("Budget (samples seen)", scale.axis)
    drawing["xaxis"].update(log_axis(low, high))
    drawing["shapes"] = [_upright(c.samples_seen) for c in plan.crossovers]
    said = " ".join(crossover_text(crossover) for crossover in plan.crossovers)
    return Chart(
        id="chart-plan",
        summary=f"Error of {len(leaders)} candidate mixes against the budget. {said}".strip(),
        legend=legend,
        spec={"data": traces, "layout": drawing},
        note="Dotted upright lines mark the budgets where the winner changes." if said else "",
    )


def error_chart(runs: Sequence[Run], ranks: dict[str, int], fit: Fit | None, scale: Scale) -> Chart | None:
    """Measured errors against samples seen with a curve for each setting; None without probe runs."""
    drawn = [run for run in runs if run.role in ("fit", "check")]
    if not drawn:
        return None
    seen = [float(run.samples_seen) for run in drawn]
    low, high = min(seen) / 1.25, max(seen) * 1.25
    grid = np.geomspace(low, high, CURVE_POINTS)
    traces: list[Trace] = []
    legend: list[tuple[str, Mark]] = []
    used: dict[str, int] = {}
    for members in _settings(drawn):
        name, mark = _setting_mark(members[0], ranks, used)
        legend.append((name, mark))
        errors = predicted(fit, mix_weights(members[0]), mix_unique(members[0]), grid)
        if errors is not None:
            traces.append(line(name, grid, scale.factor * errors, mark, hover=_hover(scale, "predicted")))
        x = np.array([float(run.samples_seen) for run in members])
        y = scale.factor * np.array([run.error for run in members])
        traces.append(points(name, x, y, mark, hover=_hover(scale, "measured")))
    drawing = layout("Samples seen, repeats counted", scale.axis)
    drawing["xaxis"].update(log_axis(low, high))
    errors_all = [run.error for run in drawn]
    return Chart(
        id="chart-error",
        summary=f"Error against samples seen: {len(drawn)} measured points, "
        f"from {scale.text(max(errors_all))} down to {scale.text(min(errors_all))}.",
        legend=legend,
        spec={"data": traces, "layout": drawing},
    )


def utility_chart(fit: Fit, ranks: dict[str, int]) -> Chart | None:
    """Utility against repetition, a curve a pool, its half-life marked; None for a law without half-lives."""
    lives = {pool.name: pool.tau for pool in fit.pools if pool.tau is not None}
    if not lives:
        return None
    end = float(np.clip(2.2 * max(lives.values()), 4.0, 40.0))
    passes = np.linspace(0.0, end, CURVE_POINTS)
    draws = draw_parameters(fit)
    bands: list[Trace] = []
    traces: list[Trace] = []
    for place, pool in enumerate(fit.pools):
        mark = pool_mark(ranks.get(pool.name, len(ranks)))
        if len(fit.draws_SX) > 1:
            drawn_SK = -draws.b_P[:, [place]] * np.exp2(-passes / draws.tau_P[:, [place]])
            low, high = np.quantile(drawn_SK, (LOW, HIGH), axis=0)
            bands.append(band(passes, low, high, mark))
        hover = "after %{x:.1f} passes, utility %{y:.3f}"
        traces.append(line(pool.name, passes, -utility_curve(fit, pool.name, passes), mark, hover=hover))
        if pool.tau is not None and pool.tau <= end:
            at, half = np.array([pool.tau]), np.array([-pool.b / 2])
            traces.append(points(pool.name, at, half, mark, hover="half-life %{x:.1f} passes"))
    drawing = layout("Repetition k (passes over the pool)", "Utility −b(k), no unit")
    drawing["yaxis"]["rangemode"] = "tozero"
    said = "; ".join(f"{name}: {tau:.1f}" for name, tau in lives.items())
    note = "A marker stands at the half-life, where a pass is worth half of the first."
    return Chart(
        id="chart-utility",
        summary=f"How fast a pool loses value when it is repeated. Half-lives in passes: {said}.",
        legend=[(pool.name, pool_mark(ranks.get(pool.name, len(ranks)))) for pool in fit.pools],
        spec={"data": bands + traces, "layout": drawing},
        note=f"{note} Bands hold 5 to 95% of the bootstrap draws." if bands else note,
    )


def predicted(
    fit: Fit | None, weights: Mapping[str, float], unique: Mapping[str, float], samples_seen: ArrayLike
) -> Floats | None:
    """The law's error of a mix at each of `samples_seen`; None without a law for each of its pools."""
    if fit is None or not weights.keys() <= {pool.name for pool in fit.pools} & unique.keys():
        return None
    return predict_mix(fit, weights, unique, samples_seen)


def _leaders(plan: Plan, tried: Sequence[Trained]) -> list[tuple[str, dict[str, float]]]:
    """The mixes to draw: every winner, then what was trained, then runners-up while there is room."""
    chosen: dict[str, dict[str, float]] = {}
    for budget in plan.budgets:
        chosen.setdefault(budget.candidates[0].name, dict(budget.candidates[0].weights))
    for found in tried:
        chosen.setdefault(found.name, found.weights)
    for budget in plan.budgets:
        for candidate in budget.candidates[1:2]:
            if len(chosen) < MAX_LEADERS:
                chosen.setdefault(candidate.name, dict(candidate.weights))
    return list(chosen.items())


def _mix_mark(weights: dict[str, float], ranks: dict[str, int], place: int) -> Mark:
    if len(weights) == 1:
        return pool_mark(ranks.get(next(iter(weights)), len(ranks)))
    colour = (INK, MUTED)[place // len(DASHES) % 2]
    return Mark(colour=colour, symbol=SYMBOLS[(place + 1) % len(SYMBOLS)], dash=DASHES[place % len(DASHES)])


def _at_budgets(plan: Plan, name: str, mark: Mark, scale: Scale) -> Trace:
    """Open markers with intervals at the budgets of the plan."""
    found = [
        (float(budget.samples_seen), candidate)
        for budget in plan.budgets
        for candidate in budget.candidates
        if candidate.name == name
    ]
    x = np.array([samples for samples, _ in found])
    y = scale.factor * np.array([candidate.predicted_error for _, candidate in found])
    open_mark = Mark(colour=mark.colour, symbol=mark.symbol, filled=False)
    trace = points(name, x, y, open_mark, hover=_hover(scale, "predicted"))
    trace["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": numbers(scale.factor * np.array([candidate.high for _, candidate in found]) - y),
        "arrayminus": numbers(y - scale.factor * np.array([candidate.low for _, candidate in found])),
        "color": mark.colour,
        "thickness": 1.5,
        "width": 4,
    }
    return trace


def _measured(found: Sequence[Trained], mark: Mark, scale: Scale) -> Trace:
    x = np.array([float(t.samples_seen) for t in found])
    y = scale.factor * np.array([t.measured for t in found])
    return points(found[0].name, x, y, mark, hover=_hover(scale, "measured"), size=11)


def _settings(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that share mix, unique samples and role; single pools first, then in the order of the ledger."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        key = (tuple(sorted(mix_weights(run).items())), tuple(sorted(mix_unique(run).items())), run.role)
        groups.setdefault(key, []).append(run)
    return sorted(groups.values(), key=lambda runs: (runs[0].role == "check", len(mix_weights(runs[0]))))


def _setting_mark(run: Run, ranks: dict[str, int], used: dict[str, int]) -> tuple[str, Mark]:
    weights = mix_weights(run)
    name = mix_text(weights)
    kind = "mix" if run.role == "check" or len(weights) > 1 else name
    place = used.get(kind, 0)
    used[kind] = place + 1
    if kind == "mix":
        mark = Mark(colour=INK, symbol=SYMBOLS[(place + 1) % 8], dash=DASHES[1 + place % 3], filled=False)
        return f"{name} ({'check' if run.role == 'check' else 'mix'})", mark
    base = pool_mark(ranks.get(name, len(ranks)))
    mark = Mark(colour=base.colour, symbol=base.symbol, dash=DASHES[place % len(DASHES)], filled=place == 0)
    return f"{name}, {format_count(sum(mix_unique(run).values()))} unique", mark


def _upright(x: float) -> dict[str, Any]:
    style = {"color": MUTED, "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": style}


def _hover(scale: Scale, what: str) -> str:
    error = "%{y:.1f}%" if scale.percent else "%{y:.3f}"
    return f"%{{x:,.3s}} samples seen<br>{what} {error}"
