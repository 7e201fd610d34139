"""Tables of `jest.py`, from what its runs left: Markdown to read, JSON beside the runs."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jest_curves import KINDS, Curve, reach, value_at
from jest_plans import Part, best_cell, read_values
from jest_runs import RESULT_FILE, Cell
from real_pairs import standard_error
from thresher.data.files.atomic import write_json
from thresher.train import telemetry

BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0)
"""FLOPs, in shares of what uniform training takes to its best, at which methods are compared."""


def read_curves(part: Part, seeds: int) -> list[Curve]:
    """What is finished, a curve a method, at the best learning rate."""
    curves = []
    for method in dict.fromkeys(cell.method for cell in part.cells):
        finished = [c for c in part.cells if c.method == method and read_values(part, c)]
        best = best_cell(part, method) or max(finished, key=lambda c: max(read_values(part, c)), default=None)
        if best is not None and read_values(part, best):
            curves.append(_curve(part, best, seeds))
    return curves


def _curve(part: Part, best: Cell, seeds: int) -> Curve:
    found: dict[int, list[dict[str, Any]]] = {}
    ranks: list[float] = []
    for seed in range(seeds):
        folder = part.world.folder / "runs" / replace(best, seed=seed).name
        if (folder / RESULT_FILE).exists():
            found[seed] = json.loads((folder / RESULT_FILE).read_text())["points"]
            ranks += rank_correlations(folder)
    runs = list(found.values())
    return Curve(
        method=best.method,
        lr=best.recipe.lr,
        seeds=tuple(found),
        steps=tuple(point["steps"] for point in runs[0]),
        values=_of(runs, part.metric),
        also={name: _of(runs, name) for name in part.also},
        flops=tuple(point["flops"] for point in runs[0]),
        clean=tuple(np.mean([[point["clean"] for point in run] for run in runs], axis=0).tolist()),
        ranks=float(np.mean(ranks)) if ranks else math.nan,
    )


def rank_correlations(folder: Path) -> list[float]:
    """What a run wrote down of the rank correlation of its scores at low and at full resolution."""
    path = folder / telemetry.FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [line["rank_correlation"] for line in map(json.loads, lines) if "rank_correlation" in line]


def _of(runs: list[list[dict[str, Any]]], metric: str) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(point["metrics"][metric]) for point in run) for run in runs)


def report_part(part: Part, seeds: int) -> str:
    """The tables of a part as Markdown; the same numbers go to `<part>.json` beside its world."""
    curves = read_curves(part, seeds)
    summary = part.world.folder / "reference.json"
    reference: dict[str, float] = json.loads(summary.read_text()) if summary.exists() else {}
    lines = [f"## {part.name}", "", *_about(part, reference), "", *_table(part, curves)]
    uniform = next((curve for curve in curves if curve.method == "uniform"), None)
    content: dict[str, Any] = {"schema": "thresher.bench.jest", "version": 1, "part": part.name}
    content |= {"reference": reference, "curves": [_as_json(curve) for curve in curves]}
    if uniform is not None and part.metric == "zeroshot_acc1":
        reached = _reached_table(part, curves, uniform, reference)
        lines += ["", *reached, "", *_budget_table(curves, uniform, reference)]
    lines += ["", *_differences(part, curves)]
    write_json(part.world.out / f"{part.name}.json", content)
    return "\n".join(lines) + "\n"


def _about(part: Part, reference: dict[str, float]) -> list[str]:
    if not reference:
        return ["The reference is not trained yet."]
    world = part.world
    return [
        f"Reference: {world.num_curated} curated images, {world.reference_steps} steps of "
        f"{world.reference.batch_size}: {part.metric} {reference[part.metric]:.4f}; AUC of its similarities "
        f"against planted captions {reference['auc']:.3f}; right captions among the {world.keep:.0%} that "
        f"the offline filter keeps {reference['precision']:.3f}; "
        f"{reference['train']:.3g} FLOPs to train, {reference['embed']:.3g} to embed the pool."
    ]


def _table(part: Part, curves: Sequence[Curve]) -> list[str]:
    lines = [
        f"| method | lr | seeds | {part.metric} (standard error) at steps | right captions | FLOPs a step |",
        "|---|---|---|---|---|---|",
    ]
    plain = next((a_step(curve) for curve in curves if curve.method == "uniform"), math.nan)
    for curve in curves:
        shown = _spreads(curve.steps, curve.values)
        for name in part.also:
            shown += f"; {name}: {_spreads(curve.steps, curve.also[name])}"
        lines.append(
            f"| {curve.method} | {curve.lr:g} | {len(curve.seeds)} | {shown} | {curve.clean[-1]:.3f} | "
            f"{a_step(curve) / plain:.2f} |"
        )
    lines += ["", "FLOPs a step are in units of a uniform step; right captions among the pairs trained on."]
    for curve in curves:
        if not math.isnan(curve.ranks):
            lines.append(
                f"Rank correlation of low- and full-resolution scores, {curve.method}: {curve.ranks:.2f}."
            )
    return lines


def a_step(curve: Curve) -> float:
    """FLOPs of a step."""
    return curve.total_flops[-1] / curve.steps[-1]


def _spreads(steps: Sequence[int], values: Sequence[Sequence[float]]) -> str:
    found = np.asarray(values)
    shown = []
    for place, step in enumerate(steps):
        spread = f" ({standard_error(found[:, place]):.4f})" if len(found) > 1 else ""
        shown.append(f"{step}: {found[:, place].mean():.4f}{spread}")
    return ", ".join(shown)


def _reached_table(
    part: Part, curves: Sequence[Curve], uniform: Curve, reference: dict[str, float]
) -> list[str]:
    """Steps and FLOPs until each method is as good as uniform training gets."""
    target = max(uniform.mean)
    place = uniform.mean.index(target)
    steps, flops = uniform.steps[place], uniform.total_flops[place]
    once = reference.get("train", 0.0) + reference.get("embed", 0.0)
    lines = [
        f"Best of uniform: {target:.4f} after {steps} steps, {flops:.3g} FLOPs. Until a method is as good:",
        "",
        "| method | steps (of a finished run) | times fewer (of a finished run) | FLOPs of uniform's | "
        "train, score, select | pays the reference back after |",
        "|---|---|---|---|---|---|",
    ]
    for curve in curves:
        found = reach(curve, target)
        if found is None:
            lines.append(f"| {curve.method} | not reached: {max(curve.mean):.4f} | | | | |")
            continue
        total = sum(found.flops.values())
        saved = flops - total
        needs = curve.method not in ("uniform", "curated only", "curated + pool")
        pays = f"{once / saved:.2f} runs" if needs and saved > 0 else "-"
        kinds = ", ".join(f"{found.flops[kind] / flops:.3f}" for kind in KINDS)
        goal = part.ratios.get(curve.method)
        verdict = "" if goal is None else f"; goal {goal:g}: {_verdict(steps / found.measured >= goal)}"
        lines.append(
            f"| {curve.method} | {found.steps:.0f} ({found.measured}) | {steps / found.steps:.1f} "
            f"({steps / found.measured:.1f}{verdict}) | {total / flops:.3f} | {kinds} | {pays} |"
        )
    return lines


def _verdict(holds: bool) -> str:
    return "holds" if holds else "does not hold"


def _budget_table(curves: Sequence[Curve], uniform: Curve, reference: dict[str, float]) -> list[str]:
    """The best that each method gives within the same FLOPs, without and with those of the reference."""
    full = uniform.total_flops[uniform.mean.index(max(uniform.mean))]
    once = reference.get("train", 0.0) + reference.get("embed", 0.0)
    heads = " | ".join(f"{share:g}" for share in BUDGETS)
    lines = [
        "Within the same total FLOPs, in shares of uniform's until its best (in brackets: with training the "
        "reference and embedding the pool):",
        "",
        f"| method | {heads} |",
        "|---|" + "---|" * len(BUDGETS),
    ]
    found: dict[bool, dict[float, list[tuple[float, str]]]] = {False: {}, True: {}}
    for curve in curves:
        free = curve.method in ("uniform", "curated only", "curated + pool")
        cells = []
        for share in BUDGETS:
            plain = value_at(curve, share * full)
            charged = plain if free else value_at(curve, share * full, once)
            cells.append(f"{_or_dash(plain)}" + ("" if free else f" ({_or_dash(charged)})"))
            for counted, value in ((False, plain), (True, charged)):
                if value is not None:
                    found[counted].setdefault(share, []).append((value, curve.method))
        lines.append(f"| {curve.method} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"Best within these FLOPs, without the reference's: {_winners(found[False])}.",
        f"With the reference's, for one run alone: {_winners(found[True])}.",
    ]


def _winners(found: dict[float, list[tuple[float, str]]]) -> str:
    best = {share: max(values) for share, values in sorted(found.items())}
    return ", ".join(f"{share:g}: {method} ({value:.4f})" for share, (value, method) in best.items())


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _differences(part: Part, curves: Sequence[Curve]) -> list[str]:
    """Joint against independent and against uniform selection at equal steps, seed by seed."""
    by_name = {curve.method: curve for curve in curves}
    pairs = [("joint .9", "independent .9"), ("joint .8", "independent .8")]
    pairs += [(f"joint .9 of {size}", f"independent .9 of {size}") for size in (256, 512)]
    pairs += [("joint .9", "offline filter")]
    pairs += [("joint .8", "uniform"), ("joint .9", "uniform"), ("flexi .8", "joint .8")]
    pairs += [("joint .8 gain 1", "uniform"), ("joint .8 until 160", "uniform")]
    pairs += [("flexi .8", "flexi .8 0% low"), ("flexi .8 25% low", "flexi .8 0% low")]
    lines = []
    for first, second in pairs:
        if first not in by_name or second not in by_name:
            continue
        one, other = by_name[first], by_name[second]
        for name in (part.metric, *part.also):
            shown = []
            for step in sorted(set(one.steps) & set(other.steps)):
                values = [_value(one, name, seed, step) - _value(other, name, seed, step)
                          for seed in one.seeds if seed in other.seeds]  # fmt: skip
                spread = f" ({standard_error(np.asarray(values)):.4f})" if len(values) > 1 else ""
                shown.append(f"{step}: {np.mean(values):+.4f}{spread}")
            if shown:
                lines.append(f"- {first} minus {second}, {name}: {', '.join(shown)}")
    return lines


def _value(curve: Curve, name: str, seed: int, step: int) -> float:
    table = curve.also.get(name, curve.values)
    return table[curve.seeds.index(seed)][curve.steps.index(step)]


def _as_json(curve: Curve) -> dict[str, Any]:
    return {
        "method": curve.method,
        "lr": curve.lr,
        "seeds": list(curve.seeds),
        "ranks": None if math.isnan(curve.ranks) else curve.ranks,
        "steps": list(curve.steps),
        "values": [list(row) for row in curve.values],
        "also": {name: [list(row) for row in rows] for name, rows in curve.also.items()},
        "flops": list(curve.flops),
        "clean": list(curve.clean),
    }
