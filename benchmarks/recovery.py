"""Does a fit find the truth, and do its intervals hold it? Planted laws, without and with noise.

    python benchmarks/recovery.py [--draws 1000] [--repetitions 1000] [--laws utility ...] [--jobs 2]

Recovery: for every law, random parameters of 5 pools of unequal size are planted, errors at 5 lengths a pool
are computed without noise (one pool is run on a quarter of its samples as well, so that gamma shows), and
the law is fitted. A draw is well conditioned where the relative parameters can be told apart: the condition
number of the Jacobian of the log error in the coordinates (logs, and b over its size), columns scaled to
unit length, is at most `CONDITION`. Reported: the share of such draws, and how many of them come back within
a relative 1e-3 in every parameter. Coverage: the same draws with .3 points of noise and 3 seeds; the share
of 90% intervals that hold the planted value, by parameter, and of prediction intervals at 4 times the
longest run, of the error that the law gives ("prediction") and of one that is measured there ("run"). Prints
a table a law.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from thresher.planning.laws.fit import fit
from thresher.planning.laws.law import LOGARITHMIC, Parameters, design, error, error_with_jacobian
from thresher.planning.laws.limits import MIXING, half_life_shows
from thresher.planning.laws.predict import draw_noise, predict_draws
from thresher.planning.laws.registry import LAWS
from thresher.planning.runs.record import Run

CONDITION = 1e4
POOLS = 5
LENGTHS = 5
SEEDS = 3
NOISE = 0.003
TOLERANCE = 1e-3
METHOD = "bootstrap"


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--draws", type=int, default=1000, help="planted laws without noise, a law")
    parser.add_argument("--repetitions", type=int, default=1000, help="planted laws with noise, a law")
    parser.add_argument("--laws", nargs="*", default=list(LAWS))
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for name in arguments.laws if arguments.draws else ():
            started = time.perf_counter()
            found = list(pool.map(partial(recover, name), range(arguments.draws), chunksize=10))
            show_recovery(name, found, time.perf_counter() - started)
        for name in arguments.laws if arguments.repetitions else ():
            started = time.perf_counter()
            held = list(pool.map(partial(cover, name), range(arguments.repetitions), chunksize=10))
            show_coverage(name, held, time.perf_counter() - started)


def plant(name: str, seed: int) -> Parameters:
    """Random parameters of a law under which no run errs by more than .99."""
    rng = np.random.default_rng([seed, 1])
    while True:
        truth = draw(name, rng)
        pools, unique, seen = (np.array(column) for column in zip(*settings(truth), strict=True))
        weights = np.eye(POOLS)[pools]
        if (
            error(LAWS[name], truth, design(seen, weights, np.where(weights > 0, unique[:, None], 1.0))).max()
            < 0.99
        ):
            return truth


def draw(name: str, rng: np.random.Generator) -> Parameters:
    """Random parameters of a law: errors fall from about .9 to between .3 and .8."""
    law = LAWS[name]
    size_P = np.exp(rng.uniform(np.log(2e6), np.log(2e7), POOLS))
    d = rng.uniform(0.02, 0.25)
    values = {
        "A": rng.uniform(0.8, 0.98) - d,
        "start": rng.uniform(0.93, 1.0),
        "n0": np.exp(rng.uniform(np.log(1e5), np.log(1e6))),
        "d": d,
        "gamma": rng.uniform(0.6, 1.3),
        "harm": rng.uniform(0.02, 0.3),
        "b": -rng.uniform(0.15, 0.4),
        "mixing": MIXING,
    }
    worth_P = -np.sort(rng.uniform(0.05, 0.35, POOLS))[::-1]
    if law.worth == "quality":
        worth_P = np.concatenate([[1.0], np.sort(np.exp(rng.uniform(np.log(0.05), 0.0, POOLS - 1)))[::-1]])
    if not law.has_half_life:
        values["gamma"] = 1.0
    return Parameters(
        shared={key: np.asarray(values[key]) for key in law.shared},
        worth_P=worth_P,
        tau_P=np.exp(rng.uniform(np.log(1.5), np.log(10.0), POOLS)),
        num_unique_P=size_P,
    )


def settings(truth: Parameters) -> list[tuple[int, float, float]]:
    """(pool, unique samples, samples seen) of the runs; up to 16 passes, and pool 0 at a quarter as well."""
    rows = [
        (pool, float(size), float(round(size * passes)))
        for pool, size in enumerate(truth.num_unique_P)
        for passes in np.geomspace(0.5, 16.0, LENGTHS)
    ]
    quarter = float(truth.num_unique_P[0]) / 4
    return rows + [(0, quarter, float(round(quarter * passes))) for passes in np.geomspace(2.0, 16.0, 3)]


def runs_of(name: str, truth: Parameters, *, noise: float, seeds: int, rng: np.random.Generator) -> list[Run]:
    """Finished runs with the errors of the planted law."""
    runs = []
    for pool, unique, seen in settings(truth):
        of = design(seen, np.eye(POOLS)[pool], np.where(np.arange(POOLS) == pool, round(unique), 1.0))
        exact = float(error(LAWS[name], truth, of))
        runs += [
            Run(
                pool=f"p{pool}",
                unique_samples=round(unique),
                samples_seen=int(seen),
                error=float(np.clip(exact + noise * rng.standard_normal(), 1e-3, 1.0)),
                metric="zeroshot_error",
                seed=seed,
                final=True,
            )
            for seed in range(seeds)
        ]
    return runs


def truth_by_name(name: str, truth: Parameters) -> dict[str, float]:
    """Planted values by the names of `draw_names`."""
    law = LAWS[name]
    values = {key: float(value) for key, value in truth.shared.items()}
    values |= {f"{law.worth}:p{pool}": float(value) for pool, value in enumerate(truth.worth_P)}
    if law.has_half_life:
        values |= {f"tau:p{pool}": float(value) for pool, value in enumerate(truth.tau_P)}
    return values


def fitted_by_name(found: object) -> dict[str, float]:
    """Fitted values by the names of `draw_names`."""
    values = dict(found.shared)
    for pool in found.pools:
        values |= {f"{kind}:{pool.name}": value for kind, value in pool.values.items()}
    return values


def condition(name: str, truth: Parameters) -> float:
    """Condition number of the Jacobian of the log error in relative coordinates, columns of unit length."""
    law = LAWS[name]
    rows = settings(truth)
    weights = np.array([np.eye(POOLS)[pool] for pool, _, _ in rows])
    unique = np.where(weights > 0, np.array([size for _, size, _ in rows])[:, None], 1.0)
    seen = np.array([seen for _, _, seen in rows])
    predicted, jacobian = error_with_jacobian(law, truth, design(seen, weights, unique))
    jacobian = jacobian / predicted[:, None]
    names = [*law.shared, *[law.worth] * POOLS, *["tau"] * POOLS]
    values = [*truth.shared.values(), *truth.worth_P, *truth.tau_P]
    relative = np.array(
        [1.0 if key in LOGARITHMIC else float(value) for key, value in zip(names, values, strict=True)]
    )
    free = np.ones(len(names), bool)
    passes = np.where(weights > 0, seen[:, None] / unique, 0.0)
    free[len(law.shared) + POOLS :] = law.has_half_life & half_life_shows(passes, seen)
    if not law.has_half_life:
        free[names.index("gamma")] = False
    if law.worth == "quality":
        free[[len(law.shared), names.index("mixing")]] = False  # the unit of quality; and no run is on a mix
    columns = (jacobian * relative)[:, free]
    length = np.linalg.norm(columns, axis=0)
    if (length == 0).any():
        return np.inf
    return float(np.linalg.cond(columns / length))


def recover(name: str, seed: int) -> tuple[float, float, str]:
    """Condition number, the worst relative error of a fitted parameter, and which it is."""
    truth = plant(name, seed)
    runs = runs_of(name, truth, noise=0.0, seeds=1, rng=np.random.default_rng(seed))
    found = fitted_by_name(fit(runs, law=name, num_draws=0).best)
    off = {key: abs(found[key] / value - 1.0) for key, value in truth_by_name(name, truth).items() if value}
    worst = max(off, key=lambda key: off[key])
    return condition(name, truth), off[worst], worst


def cover(name: str, seed: int) -> dict[str, bool]:
    """For each parameter, and for a prediction of each pool, whether its 90% interval holds the truth."""
    truth = plant(name, seed)
    runs = runs_of(name, truth, noise=NOISE, seeds=SEEDS, rng=np.random.default_rng([seed, 2]))
    laws = fit(runs, law=name, num_draws=200, seed=seed, intervals=METHOD)
    values = truth_by_name(name, truth)
    intervals = dict(laws.best.intervals)
    for pool in laws.best.pools:
        intervals |= {f"{kind}:{pool.name}": ends for kind, ends in pool.intervals.items()}
    held = {key: low <= values[key] <= high for key, (low, high) in intervals.items() if key in values}
    held.pop("mixing", None)  # assumed, not fitted: no run is on a mix
    size_P = truth.num_unique_P
    seen_P = 64.0 * size_P
    of = design(seen_P, np.eye(POOLS), size_P)
    exact_P = error(LAWS[name], truth, of)
    drawn_SP = predict_draws(laws, seen_P, np.eye(POOLS), size_P)
    measured_P = exact_P + NOISE * np.random.default_rng([seed, 3]).standard_normal(POOLS)
    one_run_SP = drawn_SP + draw_noise(laws)[:, None]
    for kind, true_P, rows_SP in (("prediction", exact_P, drawn_SP), ("run", measured_P, one_run_SP)):
        low_P, high_P = np.quantile(rows_SP, (0.05, 0.95), axis=0)
        inside_P = (low_P <= true_P) & (true_P <= high_P)
        held |= {f"{kind}:p{pool}": bool(inside) for pool, inside in enumerate(inside_P)}
    return held


def show_recovery(name: str, found: list[tuple[float, float, str]], seconds: float) -> None:
    """One line: share of well-conditioned draws, and of those recovered."""
    conditions, off = np.array([row[0] for row in found]), np.array([row[1] for row in found])
    good = conditions <= CONDITION
    back = off <= TOLERANCE
    print(
        f"{name}: condition at most {CONDITION:.0e} in {100 * good.mean():.1f}% of {len(found)} draws; of "
        f"those {100 * back[good].mean() if good.any() else float('nan'):.1f}% come back within "
        f"{TOLERANCE:g} (of all {100 * back.mean():.1f}%); {1000 * seconds / len(found):.0f} ms a draw",
        flush=True,
    )
    lost = [row for row, fine in zip(found, good & ~back, strict=True) if fine]
    for place, (number, worst, key) in enumerate(lost[:3]):
        print(f"    lost {place}: condition {number:.0f}, {key} off by {worst:.2g}")


def show_coverage(name: str, held: list[dict[str, bool]], seconds: float) -> None:
    """One line: coverage by kind of parameter."""
    kinds: dict[str, list[bool]] = {}
    for row in held:
        for key, value in row.items():
            kinds.setdefault(key.split(":")[0], []).append(value)
    cells = ", ".join(f"{kind} {100 * np.mean(values):.1f}%" for kind, values in kinds.items())
    print(
        f"{name}: 90% intervals cover {cells} ({len(held)} repetitions, "
        f"{1000 * seconds / len(held):.0f} ms each)",
        flush=True,
    )


if __name__ == "__main__":
    main()
