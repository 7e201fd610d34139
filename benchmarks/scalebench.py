"""ScaleBench (arXiv 2604.22753): losses of the largest and most repeated runs, and of mixes, from other runs.

    python benchmarks/scalebench.py --data DIR [--test DIR] [--tasks constrained domain]

DIR holds the train halves, `data_constrained_scaling_law_train.csv` and
`domain_mixture_scaling_law_train.csv`; `--test` the folder of the halves called `*_test.csv`, with the same
columns, which are then predicted from the whole train halves. Without it parts of the train halves are left
out, the data-constrained runs by several rules, so that nothing is fitted to one of them:

large          models of 2B parameters and more
repeated       the seventh of all runs with most passes
target         both: those models, and of the models below 400M the fifth of the runs with most passes
most of each   of each model with at least four runs the fifth with most passes
fifths         fifths of the runs at random, each left out in turn

Runs are bought by their cost, 6 N D for the data-constrained task and 1 a run for the domain task, for a
share of what all runs that are not left out cost. "random" goes through them in random order and takes what
can still be paid, "designed" chooses them by how much they tell about the left-out runs for their cost. R² is
of the loss, at least -1, averaged over outputs, as ScaleBench takes it; for random orders the median of the
seeds is shown.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mixture_laws import LAWS
from rivals import nearest, straight_line
from scalebench_constrained import (
    Floats,
    Rows,
    data_constrained,
    designed,
    left_out,
    r_squared,
)
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.runs.importers.formats import import_runs
from thresher.planning.runs.importers.mixtures import read_mixtures
from thresher.planning.runs.mixture_table import MixtureTable
from thresher.planning.runs.record import Run
from thresher.planning.shares.design import choose_runs
from thresher.planning.shares.inputs import Inputs
from thresher.planning.shares.model import fit_shares

CONSTRAINED, DOMAIN = "data_constrained_scaling_law", "domain_mixture_scaling_law"
CONSTRAINED_BUDGETS, DOMAIN_BUDGETS = (0.01, 0.05, 0.1), (0.2, 0.35, 0.5)
PUBLISHED = {  # on the test halves
    CONSTRAINED: "published: law .911, best agent .963; theirs .73/.85/.86 at 1/5/10% and .79 with all",
    DOMAIN: "published: law .671, best agent .971; theirs .64/.89/.95 at 20/35/50% and .81 with all",
}


def main() -> None:
    """Prints the tables of both tasks."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of *_train.csv, or of laws/"
    )
    parser.add_argument("--test", type=Path, metavar="DIR", help="folder of *_test.csv")
    parser.add_argument("--tasks", nargs="*", default=["constrained", "domain"])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    inner = options.data / "laws" / "scalebench"
    options.data = inner if inner.is_dir() else options.data
    if "constrained" in options.tasks:
        runs = constrained_runs(options.data / f"{CONSTRAINED}_train.csv")
        test = None
        if options.test is not None:
            test = constrained_runs(options.test / f"{CONSTRAINED}_test.csv")
        constrained(runs, test, options.seeds)
    if "domain" in options.tasks:
        table, mixes = read_mixtures([options.data / f"{DOMAIN}_train.csv"]), None
        if options.test is not None:
            mixes = read_mixtures([options.test / f"{DOMAIN}_test.csv"])
        domain(table, mixes, options.seeds)


# data-constrained


def constrained_runs(table: Path) -> list[Run]:
    """Runs of one half."""
    return import_runs(
        [table],
        format="table",
        metric="loss",
        columns={"samples_seen": "tokens", "unique_samples": "unique_tokens"},
        supply={"pool": "text", "final": True},
        number_seeds=True,
    )


def settings(runs: Sequence[Run]) -> Floats:
    """Logs of parameters, tokens and unique tokens [R, 3]."""
    return np.log([(run.params, run.samples_seen, run.unique_samples) for run in runs]).astype(float)


def losses(runs: Sequence[Run]) -> Floats:
    """What they gave [R]."""
    return np.array([run.error for run in runs])


def by_laws(runs: Sequence[Run], wanted: Sequence[Run]) -> Floats:
    """Losses of the runs that are wanted, as the package predicts them."""
    return predict_runs(fit(runs, num_draws=0), wanted)


METHODS: dict[str, Callable[[Sequence[Run], Sequence[Run]], Floats]] = {
    "ours": by_laws,
    "data-constrained law": lambda runs, wanted: data_constrained(
        settings(runs), losses(runs), settings(wanted)
    ),
    "straight line": lambda runs, wanted: straight_line(settings(runs), losses(runs), settings(wanted)),
    "nearest run": lambda runs, wanted: nearest(settings(runs), losses(runs), settings(wanted)),
}
"""Runs and the runs that are wanted to the losses of these."""


def constrained(runs: Sequence[Run], test: Sequence[Run] | None, seeds: int) -> None:
    """Prints R² by rule, method, order of buying and budget."""
    print(PUBLISHED[CONSTRAINED])
    if test is not None:
        splits = {"test half": [np.arange(len(runs), len(runs) + len(test))]}
        runs = [*runs, *test]
    else:
        splits = left_out(settings(runs))
    total, budgets = len(runs), (1.0, *CONSTRAINED_BUDGETS)
    for rule, parts in splits.items():
        print(f"{rule}: {' + '.join(str(len(held)) for held in parts)} of {total} runs left out")
        print(f"  {'':32}{'all':>8}" + "".join(f"{budget:>8.0%}" for budget in budgets[1:]) + "   median off")
        for method, predict in METHODS.items():
            for choice in ("designed", "random") if method == "ours" else ("random",):
                began = time.process_time()
                found = [
                    buy_and_predict(runs, parts, predict, choice, budget, 1 if budget == 1 else seeds)
                    for budget in budgets
                ]
                cells = "".join(f"{score:>8.3f}" for score, _ in found)
                seconds = time.process_time() - began
                print(
                    f"  {method + ', ' + choice:32}{cells}{found[0][1]:>12.2%}  ({seconds:.0f} s)", flush=True
                )


def buy_and_predict(
    runs: Sequence[Run],
    parts: Sequence[Rows],
    predict: Callable[[Sequence[Run], Sequence[Run]], Floats],
    choice: str,
    budget: float,
    seeds: int,
) -> tuple[float, float]:
    """Medians over the seeds of R² and of the median relative error at the runs that are left out."""
    measured, scores, off = losses(runs), [], []
    for seed in range(1 if choice == "designed" else seeds):
        predicted = np.empty(len(runs))
        for held in parts:
            kept = np.setdiff1d(np.arange(len(runs)), held)
            bought = kept if budget == 1 else buy_constrained(choice, runs, kept, held, budget, seed)
            predicted[held] = predict([runs[row] for row in bought], [runs[row] for row in held])
        every = np.concatenate(parts)
        scores.append(float(r_squared(measured[every], predicted[every])))
        off.append(float(np.median(np.abs(predicted[every] / measured[every] - 1))))
    return float(np.median(scores)), float(np.median(off))


def buy_constrained(
    choice: str, runs: Sequence[Run], kept: Rows, held: Rows, budget: float, seed: int
) -> Rows:
    """Runs among those kept, for a share of what all of them cost."""
    cost = np.array([6.0 * float(runs[row].params or 0) * runs[row].samples_seen for row in kept])
    left = budget * cost.sum()
    if choice == "designed":
        at = settings(runs)
        return kept[designed(at[kept], at[held], cost, left)]
    bought = []
    for place in np.random.default_rng(seed).permutation(len(kept)):
        if cost[place] <= left:
            bought.append(int(place))
            left -= cost[place]
    return kept[bought]


# domains


def domain(table: MixtureTable, test: MixtureTable | None, seeds: int) -> None:
    """Prints R² on unseen mixes, by share of the runs that were bought and by how they were chosen."""
    print(PUBLISHED[DOMAIN])
    how = "the test half" if test is not None else "tenths of the mixes, left out in turn"
    print(f"R² on {how}; {len(table.runs)} runs; bought runs are a share of all of them; {seeds} seeds")
    print(f"  {'':24}{'all':>8}" + "".join(f"{budget:>8.0%}" for budget in DOMAIN_BUDGETS))
    for name in ("ours, designed", "ours, random", *(f"{law}, random" for law in LAWS)):
        scores: dict[float, list[Floats]] = {}
        for seed in range(seeds):
            for budget in (1.0, *DOMAIN_BUDGETS):
                scores.setdefault(budget, []).append(score(name, table, test, budget, seed))
        cells = "".join(f"{np.median(np.mean(found, 1)):>8.4f}" for found in scores.values())
        least = "".join(f"{np.mean(found, 1).min():>8.4f}" for found in scores.values())
        print(f"  {name:24}{cells}   worst seed{least}", flush=True)
    if test is None:
        print("  mixes left out by what is new in them (ours, all other runs):")
        for column, name in enumerate(table.domains):
            for what, held in (
                ("none", table.shares[:, column] == 0),
                ("most", table.shares[:, column] == table.shares[:, column].max()),
            ):
                if held.sum() > 4 and (~held).sum() > 4:
                    found = by_shares(table, np.flatnonzero(~held), table, np.flatnonzero(held))
                    print(f"    {what} of {name:10} {r_squared(table.losses[held], found).mean():.3f}")


def score(name: str, table: MixtureTable, test: MixtureTable | None, budget: float, seed: int) -> Floats:
    """R² of each loss [M]."""
    method, _, choice = name.partition(", ")
    predict = by_shares if method == "ours" else lawful(method)
    number = round(budget * len(table.runs))
    if test is not None:
        everything = np.arange(len(test.runs))
        bought = buy_mixes(choice, table, np.arange(len(table.runs)), test, everything, number, seed)
        return r_squared(test.losses, predict(table, bought, test, everything))
    of_mix = np.unique(table.shares, axis=0, return_inverse=True)[1].ravel()
    order = np.random.default_rng(seed).permutation(of_mix.max() + 1)
    found = np.empty_like(table.losses)
    for fold in range(10):
        held = np.flatnonzero(np.isin(of_mix, order[fold::10]))
        pool = np.setdiff1d(np.arange(len(of_mix)), held)
        bought = buy_mixes(choice, table, pool, table, held, min(number, len(pool)), seed)
        found[held] = predict(table, bought, table, held)
    return r_squared(table.losses, found)


def buy_mixes(
    choice: str, table: MixtureTable, pool: Rows, targets: MixtureTable, wanted: Rows, number: int, seed: int
) -> Rows:
    """Runs of the pool, by design for the runs that are wanted or at random."""
    if choice == "random" or number == len(pool):
        return np.random.default_rng(seed).permutation(pool)[:number]
    sizes = np.log(table.sizes)
    at = [(np.log(one) - sizes.mean()) / sizes.std() for one in (table.sizes[pool], targets.sizes[wanted])]
    candidates = Inputs(table.shares[pool], at[0][:, None])
    return pool[choose_runs(candidates, Inputs(targets.shares[wanted], at[1][:, None]), number)]


def by_shares(table: MixtureTable, bought: Rows, targets: MixtureTable, wanted: Rows) -> Floats:
    """Losses of the runs that are wanted, as the package predicts them."""
    known, new = np.log(table.sizes[bought])[:, None], np.log(targets.sizes[wanted])[:, None]
    fitted = fit_shares(table.shares[bought], table.losses[bought], covariates=known)
    return fitted.predict(targets.shares[wanted], new)[0]


def lawful(name: str) -> Callable[[MixtureTable, Rows, MixtureTable, Rows], Floats]:
    """As `by_shares`, by a parametric law."""

    def predict(table: MixtureTable, bought: Rows, targets: MixtureTable, wanted: Rows) -> Floats:
        known, new = np.log(table.sizes[bought]), np.log(targets.sizes[wanted])
        return LAWS[name](table.shares[bought], known, table.losses[bought], targets.shares[wanted], new)

    return predict


if __name__ == "__main__":
    main()
