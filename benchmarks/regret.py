"""Regret of the plan on synthetic worlds (`worlds.py`), beside what people do without one.

For each world: four noisy probes a pool, `fit`, and `make_plan` at four budgets, the largest of them 4 to 16
times the largest probe. Regret is the true error of a choice minus the lowest true error among all subsets of
the pools drawn uniformly, in points, averaged over the budgets ("largest": at the largest). Beside the plan:

    top pool, everything, fixed 30%   chosen without a probe; 30%: the prefix of pools nearest to it
    single scale                      the subset with the lowest measured error at the largest probe
    single scale, matched             the same with pools subsampled to repeat as each budget will, so that
                                      each budget needs runs of its own

The two rankings measure all 2^P - 1 subsets, once each, with the noise of the probes: far more runs than the
plan has. Beside regret: how often "X is best" is right (X is exactly the best subset; is within .1 points of
it; no distinct choice beats it), and how often "cannot tell" is said where the gap exceeds 1 point, to the
best distinct choice (`worlds.DISTINCT`) or to the next subset. A case is a world at a budget. A world whose
fit fails counts as if everything had been taken, and is listed.

Finished worlds go into a ledger (JSON lines) and are not run again while the planner's code and the settings
stay the same. `--fast` takes the first 20 worlds.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import thresher
import worlds
from thresher.data.files.atomic import append_jsonl
from thresher.errors import InputError
from thresher.planning.laws.fit import fit
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.runs.record import Run
from worlds import Floats, World

NEAR = 0.1
"""Points of regret within which a choice is as good as the best."""
WIDE_GAP = 1.0
RECORD = 1
"""Version of the ledger's records."""
PLAN = "plan"
PROBED = ("single scale", "single scale, matched")
GUESSED = ("top pool", "everything", "fixed 30%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the planner is run.

    Attributes:
        design: A name in `worlds.DESIGNS`.
        law: Passed to `fit`; its own default where None.
        num_draws: Passed to `fit`; its own default where None.
    """

    design: str = "matched"
    law: str | None = None
    num_draws: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What the plan says at one budget, as weights [P]."""

    weights_P: Floats
    says_best: bool
    chance: float
    predicted: float


def fit_world(runs: Sequence[Run], world: World, settings: Settings) -> Any:
    """The fitted laws of a world's runs."""
    options = {"law": settings.law, "num_draws": settings.num_draws}
    given = {name: value for name, value in options.items() if value is not None}
    return fit(runs, pool_order=world.names, seed=0, **given)


def plan_world(laws: Any, world: World) -> list[Choice]:
    """The plan's choice at each budget of the world."""
    sizes = dict(zip(world.names, world.sizes_P.tolist(), strict=True))
    return [_choice(budget, world) for budget in make_plan(laws, world.budgets, sizes).budgets]


def _choice(budget: Any, world: World) -> Choice:
    best = budget.candidates[0]
    return Choice(
        weights_P=np.array([best.weights.get(name, 0.0) for name in world.names]),
        says_best=budget.verdict == "best",
        chance=best.chance_best,
        predicted=best.predicted_error,
    )


def law_of(laws: Any) -> str:
    """Name of the fitted law, the chosen one where several were fitted."""
    return str(getattr(laws, "best", laws).law)


def regret_of(world: World, weights_P: Floats, samples_seen: int, lowest: float) -> float:
    """Points of error above the best subset; negative where weights that are not a subset's beat it."""
    return 100 * (float(worlds.true_error(world, weights_P, samples_seen)) - lowest)


def examine(number: int, settings: Settings) -> dict[str, Any]:
    """The ledger's record of one world."""
    world = worlds.make_world(number)
    record: dict[str, Any] = {"world": number, "law": world.law, "failed": None, "fitted": None}
    started = time.perf_counter()
    everything = Choice(
        weights_P=worlds.fixed_choices(world)["everything"], says_best=False, chance=0.0, predicted=1.0
    )
    choices = [everything] * len(world.budgets)
    try:
        laws = fit_world(worlds.probe_runs(world, settings.design), world, settings)
        record["fit_seconds"] = round(time.perf_counter() - started, 3)
        choices = plan_world(laws, world)
        record["fitted"] = law_of(laws)
    except InputError as error:
        record["failed"] = str(error)
    record["seconds"] = round(time.perf_counter() - started, 3)
    record["budgets"] = [_examine_budget(world, place, choice) for place, choice in enumerate(choices)]
    return record


def _examine_budget(world: World, place: int, choice: Choice) -> dict[str, Any]:
    samples_seen = world.budgets[place]
    truth = worlds.truth(world, samples_seen)
    weights_CP = worlds.subsets(world)
    error_C = worlds.true_error(world, weights_CP, samples_seen)
    chosen = {PLAN: choice.weights_P, **_single_scale(world, place), **worlds.fixed_choices(world)}
    regret = {name: regret_of(world, row, samples_seen, truth.error) for name, row in chosen.items()}
    distinct_C = worlds.other_samples(weights_CP, choice.weights_P) >= worlds.DISTINCT
    return {
        "samples_seen": samples_seen,
        "oracle": truth.error,
        "gap": 100 * truth.gap,
        "distinct_gap": 100 * truth.distinct_gap,
        "regret": regret,
        "says_best": choice.says_best,
        "chance": choice.chance,
        "exact": bool(np.allclose(choice.weights_P, weights_CP[truth.best], atol=1e-6)),
        "unbeaten": bool(error_C[distinct_C].min() >= truth.error + regret[PLAN] / 100),
        "off": 100 * (choice.predicted - truth.error - regret[PLAN] / 100),
    }


def _single_scale(world: World, place: int) -> dict[str, Floats]:
    """The two rankings' choices for one budget."""
    weights_CP, budget = worlds.subsets(world), world.budgets[place]
    error_C = worlds.true_error(world, weights_CP, world.largest_probe)
    error_C = error_C + worlds.NOISE * worlds.noise_of(world, 1).standard_normal(error_C.size)
    length = min(budget, world.largest_probe)
    subsampled_P = np.maximum(1.0, np.rint(world.sizes_P * (length / budget)))
    matched_C = worlds.true_error(world, weights_CP, length, subsampled_P)
    matched_C = matched_C + worlds.NOISE * worlds.noise_of(world, 2, place).standard_normal(error_C.size)
    return dict(zip(PROBED, (weights_CP[error_C.argmin()], weights_CP[matched_C.argmin()]), strict=True))


def run_key(settings: Settings) -> str:
    """Digest of all that a record depends on: worlds, settings and the planner's source."""
    digest = hashlib.blake2b(f"{RECORD} {worlds.VERSION} {settings}".encode(), digest_size=8)
    package = Path(thresher.__file__).parent
    for pattern in ("laws/**/*.py", "plan*.py", "plan*/**/*.py", "mixes.py", "run*.py", "next_run*.py"):
        for path in sorted(package.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def finished(ledger: Path, key: str) -> dict[int, dict[str, Any]]:
    """Records of this key by world; a line that a killed run left unfinished is passed over."""
    records = {}
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["key"] == key:
            records[record["world"]] = record
    return records


def run_worlds(
    work: Callable[..., dict[str, Any]],
    numbers: Iterable[int],
    settings: Any,
    ledger: Path,
    key: str,
    jobs: int,
) -> list[dict[str, Any]]:
    """Record of `work(number, settings)` for each world, in order; the ledger's are not made again."""
    numbers = list(numbers)
    records = {number: row for number, row in finished(ledger, key).items() if number in set(numbers)}
    open_numbers = [number for number in numbers if number not in records]
    ledger.parent.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(records)} of {len(numbers)} worlds are in {ledger}; {len(open_numbers)} to run, {jobs} jobs",
        flush=True,
    )
    started = time.perf_counter()
    for done, record in enumerate(_results(work, open_numbers, settings, jobs), start=1):
        record = {"key": key, **record}
        append_jsonl(ledger, record)
        records[record["world"]] = record
        passed = time.perf_counter() - started
        left = passed / done * (len(open_numbers) - done)
        if done == 1:
            print(f"expected: {passed / 60 * len(open_numbers) / jobs:.1f} minutes", flush=True)
        print(
            f"\r{done}/{len(open_numbers)} worlds, {passed:.0f} s, {left:.0f} s left ",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    return [records[number] for number in numbers]


def _results(
    work: Callable[..., dict[str, Any]], numbers: Sequence[int], settings: Any, jobs: int
) -> Iterator[dict[str, Any]]:
    if jobs == 1 or len(numbers) < 2:
        for number in numbers:
            yield work(number, settings)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(work, number, settings) for number in numbers]):
            yield future.result()


def report(records: Sequence[dict[str, Any]]) -> list[str]:
    """The tables, by true law, and which goals hold."""
    lines = []
    for law in (*dict.fromkeys(record["law"] for record in records), "all"):
        group = [record for record in records if law in (record["law"], "all")]
        fitted = [str(record["fitted"]) for record in group]
        counts = ", ".join(f"{name} {fitted.count(name)}" for name in sorted(set(fitted)))
        lines += [f"\n{law}: {len(group)} worlds; laws chosen: {counts}", *_regret_lines(group)]
        lines += _sentence_lines(group)
    lines += [f"world {record['world']} failed: {record['failed']}" for record in records if record["failed"]]
    seconds = [record["seconds"] for record in records]
    lines.append(f"\nfit and plan: median {np.median(seconds):.2f} s a world, most {max(seconds):.2f} s")
    return lines + _verdict(records)


def _regrets(records: Sequence[dict[str, Any]], name: str) -> Floats:
    """Regret of one policy, [worlds, budgets]."""
    return np.array([[budget["regret"][name] for budget in record["budgets"]] for record in records])


def _interval(values_W: Floats) -> tuple[float, float]:
    """95% bootstrap interval of the mean over worlds."""
    rows = np.random.default_rng(0).integers(0, len(values_W), (2000, len(values_W)))
    low, high = np.quantile(values_W[rows].mean(1), (0.025, 0.975))
    return float(low), float(high)


def _regret_lines(group: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["  regret, points            all budgets [95%]        largest   worst tenth from"]
    for name in (PLAN, *PROBED, *GUESSED):
        regret_WB = _regrets(group, name)
        low, high = _interval(regret_WB.mean(1))
        lines.append(
            f"  {name:24} {regret_WB.mean():6.2f} [{low:5.2f}, {high:5.2f}]   {regret_WB[:, -1].mean():10.2f}"
            f"   {np.quantile(regret_WB, 0.9):10.2f}"
        )
    return lines


def _cases(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [budget for record in records for budget in record["budgets"]]


def _share(flags: Sequence[bool]) -> str:
    return f"{np.mean(flags):.0%} of {len(flags)}" if flags else "none"


def _sentence_lines(group: Sequence[dict[str, Any]]) -> list[str]:
    cases = _cases(group)
    said = [case for case in cases if case["says_best"]]
    off = np.array([case["off"] for case in cases])
    return [
        f'  "X is best" is said in {_share([case["says_best"] for case in cases])} cases; '
        f"right: exactly {_share([case['exact'] for case in said])}, "
        f"within {NEAR} points {_share([case['regret'][PLAN] <= NEAR for case in said])}, "
        f"no distinct choice better {_share([case['unbeaten'] for case in said])}",
        f'  "cannot tell" where the gap exceeds {WIDE_GAP:g} point: '
        f"to the best distinct choice {_share(_untold(cases, 'distinct_gap'))}, "
        f"to the next subset {_share(_untold(cases, 'gap'))}",
        f"  mean chance to be best of the choice {np.mean([case['chance'] for case in cases]):.0%}, "
        f"it is exactly the best in {_share([case['exact'] for case in cases])}; predicted minus true error: "
        f"mean {off.mean():+.2f}, mean absolute {np.abs(off).mean():.2f} points",
    ]


def _untold(cases: Sequence[dict[str, Any]], gap: str) -> list[bool]:
    return [not case["says_best"] for case in cases if case[gap] > WIDE_GAP]


def _verdict(records: Sequence[dict[str, Any]]) -> list[str]:
    plan_WB = _regrets(records, PLAN)
    plan, cases = plan_WB.mean(), _cases(records)
    lines = ["", f"{_word(plan <= 0.2)}  mean regret {plan:.3f} points, at most .2"]
    for name in GUESSED:
        other = _regrets(records, name).mean()
        lines.append(f"{_word(plan <= other / 2)}  at most half of {name} ({other:.2f})")
    for name in PROBED:
        low, high = _interval((plan_WB - _regrets(records, name)).mean(1))
        lines.append(f"{_word(high < 0)}  below {name}: difference {low:+.2f} to {high:+.2f} points (95%)")
    said = [case for case in cases if case["says_best"]]
    exact, near = [case["exact"] for case in said], [case["regret"][PLAN] <= NEAR for case in said]
    for text, right in (("exactly the best", exact), (f"within {NEAR} points of it", near)):
        holds = bool(right) and np.mean(right) >= 0.9
        lines.append(f'{_word(holds)}  "X is best", {text}: {_share(right)}, at least 90%')
    for gap, text in (("distinct_gap", "best distinct choice"), ("gap", "next subset")):
        untold = _untold(cases, gap)
        holds = not untold or np.mean(untold) <= 0.2
        lines.append(
            f'{_word(holds)}  "cannot tell", gap above 1 point to the {text}: {_share(untold)}, at most 20%'
        )
    return lines


def _word(holds: bool | np.bool_) -> str:
    return "holds         " if holds else "DOES NOT HOLD "


def add_world_options(parser: argparse.ArgumentParser, ledger: str) -> None:
    """Options that the benchmarks on worlds share."""
    parser.add_argument("--worlds", type=int, default=worlds.NUM_WORLDS, help="the first so many worlds")
    parser.add_argument("--first", type=int, default=0, help="the number of the first world; tune on others")
    parser.add_argument("--fast", action="store_true", help="the first 20 worlds")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="worlds at a time")
    parser.add_argument("--ledger", type=Path, default=Path("build", ledger), help="finished worlds")
    parser.add_argument("--design", choices=sorted(worlds.DESIGNS), default="both", help="which probes")
    parser.add_argument("--law", help="law to fit; the tool's own choice when left out")
    parser.add_argument("--draws", type=int, help="draws of the fit; the tool's default when left out")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Settings that the options name."""
    return Settings(design=arguments.design, law=arguments.law, num_draws=arguments.draws)


def main() -> None:
    """Run the worlds that are not in the ledger and print the tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    add_world_options(parser, "regret.jsonl")
    arguments = parser.parse_args()
    settings = settings_of(arguments)
    numbers = range(arguments.first, arguments.first + (20 if arguments.fast else arguments.worlds))
    records = run_worlds(examine, numbers, settings, arguments.ledger, run_key(settings), arguments.jobs)
    print(f"worlds version {worlds.VERSION}, probes {settings.design}, noise {100 * worlds.NOISE:g} points")
    print("\n".join(report(records)))


if __name__ == "__main__":
    main()
