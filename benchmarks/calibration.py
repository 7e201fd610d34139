"""Are the chances and the intervals of a plan what they say? On worlds whose truth is known.

    python benchmarks/calibration.py [--worlds 2000] [--first 0] [--jobs 2] [--ledger FILE] [--picture FILE]

Worlds (`calibration_worlds.py`) follow all laws that the tool fits and as many forms that are none of them.
In each, probes are fitted and a plan is made at 1, 4 and 10 times the longest probe. Reported, by distance
and by kind of form:

    chance     expected calibration error (ten bins) of the stated chance of the chosen mix, "no other subset
               is better by more than the tolerance", beside what a perfect forecaster of the same chances
               would show; and how often "is best" (and a chance of 95% or more) was right
    intervals  how often the 90% interval of one run, its noise included, holds the error measured there: of
               every pool alone, of all together, and of the chosen mix
    regret     what the choice costs, in points of error, beside that of the best pool or mix of the probes

Finished worlds stand in the ledger and are not run again while the planner and the worlds stay the same.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import thresher
from calibration_worlds import FOREIGN, OWN, World, make_world, probe_runs, true_error
from regret import run_worlds
from thresher.errors import InputError
from thresher.planning.laws.fit import fit
from thresher.planning.laws.predict import draw_noise, predict_draws
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.runs.record import mix_weights

DISTANCES = (1, 4, 10)
TOLERANCE = 0.001
SURE, VERY_SURE = 0.9, 0.95
_ENOUGH_CASES = 20
"""In a bin of the diagram."""


def examine(number: int, _: None) -> dict[str, Any]:
    """What the plan of one world says, and what is true."""
    world = make_world(number)
    record: dict[str, Any] = {"world": number, "law": world.law, "failed": None, "cases": []}
    started = time.perf_counter()
    runs = probe_runs(world)
    try:
        laws = fit(runs, pool_order=world.names)
        sizes = {name: int(size) for name, size in zip(world.names, world.size_P, strict=True)}
        plan = make_plan(laws, [distance * world.longest for distance in DISTANCES], sizes)
    except InputError as error:
        record["failed"] = str(error)
        return record
    record["seconds"] = round(time.perf_counter() - started, 3)
    record["fitted"] = laws.best.law
    record["cases"] = [
        _case(world, laws, budget, distance, runs)
        for distance, budget in zip(DISTANCES, plan.budgets, strict=True)
    ]
    return record


def _case(world: World, laws: Any, budget: Any, distance: int, runs: Sequence[Any]) -> dict[str, Any]:
    best = budget.candidates[0]
    order = [world.names.index(name) for name in laws.pool_names]
    chosen_P = np.array([best.weights.get(name, 0.0) for name in world.names])
    error_C = true_error(world, world.subsets_CP, budget.samples_seen)
    chosen = float(true_error(world, chosen_P, budget.samples_seen))
    asked = np.vstack([np.eye(len(world.names)), world.size_P / world.size_P.sum(), chosen_P])
    true_A = true_error(world, asked, budget.samples_seen)
    rng = np.random.default_rng([world.number, distance])
    measured_A = np.clip(true_A + world.noise * rng.standard_normal(true_A.size), 1e-3, 1.0)
    drawn_SA = predict_draws(laws, float(budget.samples_seen), asked[:, order], world.size_P[order])
    low_A, high_A = np.quantile(drawn_SA + draw_noise(laws)[:, None], (0.05, 0.95), axis=0)
    longest = max((run for run in runs if run.samples_seen == world.longest), key=lambda run: -run.error)
    naive_P = np.array([mix_weights(longest).get(name, 0.0) for name in world.names])
    return {
        "distance": distance,
        "verdict": budget.verdict,
        "chance": best.chance_best,
        "right": bool(chosen <= error_C.min() + TOLERANCE),
        "regret": 100 * (chosen - float(error_C.min())),
        "nearest_regret": 100 * float(true_error(world, naive_P, budget.samples_seen) - error_C.min()),
        "inside": [bool(x) for x in (low_A <= measured_A) & (measured_A <= high_A)],
        "below": [bool(x) for x in measured_A < low_A],
        "width": [round(100 * float(x), 3) for x in high_A - low_A],
        "off": [round(100 * float(x), 3) for x in drawn_SA.mean(0) - true_A],
    }


def calibration_error(chance: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins of equal width."""
    place = np.minimum((chance * bins).astype(int), bins - 1)
    return float(
        sum(
            (place == one).mean() * abs(chance[place == one].mean() - right[place == one].mean())
            for one in np.unique(place)
        )
    )


def perfect_error(chance: np.ndarray, draws: int = 400) -> float:
    """What a forecaster whose chances are exactly right shows on as many cases."""
    rng = np.random.default_rng(0)
    return float(np.mean([calibration_error(chance, rng.random(chance.size) < chance) for _ in range(draws)]))


def report(records: Sequence[dict[str, Any]]) -> list[str]:
    """All tables."""
    lines = []
    failed = [record for record in records if record["failed"]]
    lines.append(f"{len(records)} worlds, {len(failed)} without a plan")
    lines += dict.fromkeys(f"   {record['failed'][:100]}" for record in failed)
    for title, laws in (("all", OWN + FOREIGN), ("laws of the tool", OWN), ("other forms", FOREIGN)):
        for distance in DISTANCES:
            lines += _lines(title, distance, _cases(records, laws, distance))
    for law in OWN + FOREIGN:
        lines += _lines(law, "4, 10", [c for d in (4, 10) for c in _cases(records, (law,), d)])
    lines += diagram([case for d in DISTANCES for case in _cases(records, OWN + FOREIGN, d)])
    return lines


def _cases(records: Sequence[dict[str, Any]], laws: Sequence[str], distance: int) -> list[dict[str, Any]]:
    return [
        case
        for record in records
        if record["law"] in laws
        for case in record["cases"]
        if case["distance"] == distance
    ]


def _lines(title: str, distance: object, cases: list[dict[str, Any]]) -> list[str]:
    if not cases:
        return []
    stated = [case for case in cases if case["chance"] is not None]
    chance = np.array([case["chance"] for case in stated], float)
    right = np.array([case["right"] for case in stated], bool)
    said = np.array([case["verdict"] == "best" for case in stated], bool)
    very = chance >= VERY_SURE
    inside = np.concatenate([case["inside"] for case in cases])
    below = np.concatenate([case["below"] for case in cases])
    off = np.concatenate([case["off"] for case in cases])
    width = np.concatenate([case["width"] for case in cases])
    regret, nearest = (np.mean([case[name] for case in cases]) for name in ("regret", "nearest_regret"))
    return [
        f"{title:16} x{distance!s:5} {len(cases):5} cases: off {calibration_error(chance, right):.3f} "
        f"(perfect: {perfect_error(chance):.3f}), chance {chance.mean():.2f}, right {right.mean():.2f}",
        f'    "best" in {said.mean():.0%}, right {_share(right[said])}; 95% in {very.mean():.0%}, right '
        f"{_share(right[very])}; 90% intervals hold {inside.mean():.1%} ({below.mean():.1%} below)",
        f"    median width {np.median(width):.1f}, off {np.median(np.abs(off)):.2f} points (bias "
        f"{np.median(off):+.2f}); regret {regret:.2f}, of the best probe {nearest:.2f}",
    ]


def _share(right: np.ndarray) -> str:
    return f"{right.mean():.0%}" if right.size else "-"


def diagram(cases: Sequence[dict[str, Any]]) -> list[str]:
    """The reliability diagram as rows: bin, cases, mean chance, share that was right."""
    chance = np.array([case["chance"] for case in cases if case["chance"] is not None], float)
    right = np.array([case["right"] for case in cases if case["chance"] is not None], bool)
    place = np.minimum((chance * 10).astype(int), 9)
    return [
        f"   chance {one / 10:.1f}-{(one + 1) / 10:.1f}: {np.sum(place == one):5} cases, mean "
        f"{chance[place == one].mean():.3f}, right {right[place == one].mean():.3f}"
        for one in np.unique(place)
    ]


def picture(records: Sequence[dict[str, Any]], path: Path) -> None:
    """The reliability diagram as SVG: how often a plan was right by the chance that it stated."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "thresher", "font.size": 9}
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(5.2, 5.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    above.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="exactly right")
    for distance, colour, marker in zip(DISTANCES, ("#2b6cb0", "#c05621", "#2f855a"), "os^", strict=True):
        cases = _cases(records, OWN + FOREIGN, distance)
        chance = np.array([case["chance"] for case in cases], float)
        right = np.array([case["right"] for case in cases], float)
        place = np.minimum((chance * 10).astype(int), 9)
        bins = [one for one in np.unique(place) if (place == one).sum() >= _ENOUGH_CASES]
        middle, share, error = np.array(
            [
                (ours.mean(), hits.mean(), np.sqrt(hits.mean() * (1 - hits.mean()) / hits.size))
                for ours, hits in ((chance[place == one], right[place == one]) for one in bins)
            ]
        ).T
        style = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1, "capsize": 2}
        above.errorbar(middle, share, error, label=f"{distance} x the longest probe", **style)
        below.hist(chance, np.linspace(0, 1, 11), histtype="step", color=colour)
    above.set(ylabel="share that was right", ylim=(0, 1.02), xlim=(0, 1))
    below.set(xlabel="stated chance that no other mix is better", ylabel="plans")
    above.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def run_key() -> str:
    """Digest of the planner and the worlds."""
    digest = hashlib.blake2b(digest_size=8)
    package = Path(thresher.__file__).parent / "planning"
    for path in [*sorted(package.glob("**/*.py")), Path(__file__).with_name("calibration_worlds.py")]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Run the worlds that are not in the ledger and print the tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ledger", type=Path, default=Path("build", "calibration.jsonl"))
    parser.add_argument("--picture", type=Path, metavar="FILE", help="the reliability diagram as SVG")
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.worlds)
    records = run_worlds(examine, numbers, None, arguments.ledger, run_key(), arguments.jobs)
    print("\n".join(report(records)))
    if arguments.picture:
        picture(records, arguments.picture)


if __name__ == "__main__":
    main()
