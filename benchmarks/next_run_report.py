"""Tables of `next_run.py`: what each way of spending FLOPs on probes costs to reach a regret.

Axes: W worlds, C costs, B bootstrap samples of the worlds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from thresher.planning.laws.law import Floats

LEVELS = (0.2, 0.1, 0.05)
"""Regrets, in points, whose cost is reported."""
OPEN = 0.1
"""A start with more regret than this leaves something to gain."""
SAMPLES = 1000
"""Of the bootstrap over worlds."""
TOOL = "tool"
Curves = dict[str, tuple[Floats, Floats]]
"""Way -> (cost [C], regret [W, C])."""


def curves(records: Sequence[Mapping[str, Any]], stops_of: Mapping[str, Sequence[float]]) -> Curves:
    """Curves of all ways; a world's regret at a cost is that of its last plan until then."""
    found: Curves = {}
    even = [list(zip(*record["even"].values(), strict=True)) for record in records]
    found["even"] = (
        np.mean([costs for costs, _ in even], 0),
        np.array([regrets for _, regrets in even]),
    )
    for way, stops in stops_of.items():
        until = (*stops, 1.0) if way == "short first" else (0.0, *stops)
        paid_WC2 = np.array([[_last_point(record[way], at) for at in until] for record in records])
        found[way] = paid_WC2[:, :, 0].mean(0), paid_WC2[:, :, 1]
    return found


def _last_point(points: Sequence[tuple[float, float]], at: float) -> tuple[float, float]:
    """The last point up to a cost; the first one where the start costs more."""
    return ([point for point in points if point[0] <= at + 1e-6] or [points[0]])[-1]


def cost_to_reach(cost_C: Floats, regret_C: Floats, level: float) -> float:
    """The least cost at which a falling curve through the regrets is at or below a level; else infinite."""
    order_C = np.argsort(cost_C)
    falling_C = isotonic_regression(regret_C[order_C], increasing=False).x
    reached = np.flatnonzero(falling_C <= level + 1e-9)
    return float(cost_C[order_C][reached[0]]) if reached.size else math.inf


def report(records: Sequence[Mapping[str, Any]], stops_of: Mapping[str, Sequence[float]]) -> list[str]:
    """Mean regret by cost and the ratios: by true law, where the start leaves something, and of all."""
    groups = {law: [record for record in records if record["law"] == law] for law in _laws(records)}
    groups[f"start above {OPEN:g} points"] = [record for record in records if record[TOOL][0][1] > OPEN]
    groups["all"] = list(records)
    lines = []
    for name, group in groups.items():
        if not group:
            continue
        found = curves(group, stops_of)
        lines.append(f"\n{name}: {len(group)} worlds; cost: mean regret, points")
        for way, (cost_C, regret_WC) in found.items():
            pairs = zip(cost_C, regret_WC.mean(0), strict=True)
            lines.append(f"  {way:12}" + "  ".join(f"{cost:.2f}: {regret:.3f}" for cost, regret in pairs))
        if len(group) > 4 and name not in _laws(records):
            lines += _ratio_lines(found, list(records[0]["even"]))
    return lines + _stop_lines(records)


def _laws(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(record["law"] for record in records))


def _ratio_lines(found: Curves, grids: Sequence[str]) -> list[str]:
    count = len(found["even"][1])
    rows_BW = np.random.default_rng(0).integers(0, count, (SAMPLES, count))
    lines = []
    for level in LEVELS:
        lines += _level_lines(f"{level:g} points", _fixed(level), found, rows_BW)
    for place, name in enumerate(grids):
        others = {f"this grid ({name})": _one_grid(found, place), **found}
        others.pop("even")
        lines += _level_lines(f"the regret of {name}", _of_grid(found, place), others, rows_BW)
    return lines + _paired_lines(found, grids, rows_BW)


def _level_lines(
    text: str, level: Callable[[Any], float], found: Curves, rows_BW: np.ndarray[Any, Any]
) -> list[str]:
    costs = {way: _reached(found, way, level, slice(None)) for way in found}
    said = (f"{way} " + ("never" if math.isinf(cost) else f"at {cost:.2f}") for way, cost in costs.items())
    lines = [f"  {text}, {level(slice(None)):.3f}: {', '.join(said)}"]
    others = [way for way in found if way != TOOL]
    return lines + [f"    tool / {other}: {_ratio_text(found, other, level, rows_BW)}" for other in others]


def _fixed(level: float) -> Callable[[Any], float]:
    return lambda _: level


def _of_grid(found: Curves, place: int) -> Callable[[Any], float]:
    """The mean regret of an even grid in the same worlds."""
    return lambda rows_W: float(found["even"][1][rows_W, place].mean())


def _one_grid(found: Curves, place: int) -> tuple[Floats, Floats]:
    cost_C, regret_WC = found["even"]
    return cost_C[[place]], regret_WC[:, [place]]


def _reached(found: Curves, way: str, level: Callable[[Any], float], rows_W: Any) -> float:
    cost_C, regret_WC = found[way]
    return cost_to_reach(cost_C, regret_WC[rows_W].mean(0), level(rows_W))


def _ratio_text(
    found: Curves, other: str, level: Callable[[Any], float], rows_BW: np.ndarray[Any, Any]
) -> str:
    def ratio(rows_W: Any) -> float:
        """0 where only the tool reaches the level, infinite where only the other does."""
        own, theirs = (_reached(found, way, level, rows_W) for way in (TOOL, other))
        return math.nan if math.isinf(own) and math.isinf(theirs) else own / theirs

    value, drawn_B = ratio(slice(None)), np.array([ratio(rows_W) for rows_W in rows_BW])
    known = drawn_B[~np.isnan(drawn_B)]
    if math.isnan(value):
        return "neither reaches it"
    low, high = np.quantile(known, (0.025, 0.975), method="nearest")
    said = "only the tool reaches it" if value == 0 else f"{value:.2f}"
    word = "at most half" if value <= 0.5 else "MORE THAN HALF"
    return (
        f"{said} ({low:.2f} to {high:.2f}), {word}; at most half in {np.mean(known <= 0.5):.0%} of the "
        f"{known.size} bootstrap samples where one reaches it"
    )


def _paired_lines(found: Curves, grids: Sequence[str], rows_BW: np.ndarray[Any, Any]) -> list[str]:
    """The tool's regret at half the cost of each even grid, less the grid's."""
    lines = []
    cost_C, regret_WC = found[TOOL]
    for place, name in enumerate(grids):
        half = found["even"][0][place] / 2
        own_W = regret_WC[:, np.flatnonzero(cost_C <= half + 1e-6)[-1]]
        off_W = own_W - found["even"][1][:, place]
        low, high = np.quantile(off_W[rows_BW].mean(1), (0.025, 0.975))
        lines.append(
            f"  with at most half the FLOPs of the grid ({name}, {2 * half:.2f}): {own_W.mean():.3f} against "
            f"{found['even'][1][:, place].mean():.3f} points, difference {off_W.mean():+.3f} "
            f"({low:+.3f} to {high:+.3f}); "
            f"at most .01 points worse in {np.mean(off_W <= 0.01):.0%} of the worlds"
        )
    return lines


def _stop_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    stopped = [record for record in records if record["stopped"] is not None]
    if not stopped:
        return []
    regrets = [
        [regret for cost, regret in record[TOOL] if cost <= record["stopped"] + 1e-6][-1]
        for record in stopped
    ]
    return [
        f"\nthe tool says that no further run is worth its cost in {len(stopped)} of {len(records)} worlds, "
        f"on average at cost {np.mean([record['stopped'] for record in stopped]):.2f}, regret "
        f"{np.mean(regrets):.3f}"
    ]
