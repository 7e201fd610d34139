"""Losses of mixes that no run has seen, from mixture tables: ours, parametric laws and LightGBM.

    python benchmarks/mixtures.py --data FILE [--test FILE]   # ScaleBench's domain task, train and test half
    python benchmarks/mixtures.py                             # made tables in RegMix's layout

Without the test file of ScaleBench, mixes of the train file are left out by tenths. R² is per loss, at least
-1, averaged over losses, as ScaleBench (arXiv 2604.22753) takes it. LightGBM has RegMix's settings
(arXiv 2407.01492); it is left out where it is not installed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixture_laws import LAWS, log_linear
from mixture_worlds import SIZES, Floats, measured, mixes, spearman, world
from thresher.planning.runs.importers.mixtures import read_mixtures
from thresher.planning.runs.mixture_table import MixtureTable
from thresher.planning.shares.design import choose_runs
from thresher.planning.shares.inputs import Inputs
from thresher.planning.shares.model import fit_shares

Rows = NDArray[np.intp]
BUDGETS = (0.2, 0.35, 0.5)
PUBLISHED = "published: law .671, best agent .971; theirs .64/.89/.95 at 20/35/50% and .81 with all runs"
NOISE = {"1M": 0.006, "60M": 0.0045, "1B": 0.0035}
"""Relative noise of a loss in made tables, at which LightGBM's Spearman is about .95."""
TRAIN, UNSEEN = 512, 256


def main() -> None:
    """Prints the table of the file that is named, or those of the made tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="ScaleBench's domain_mixture_scaling_law_train.csv")
    parser.add_argument("--test", type=Path, help="its test half, with the same columns")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.data is None:
        made_tables(options.seeds)
    else:
        test = None if options.test is None else read_mixtures([options.test])
        scalebench(read_mixtures([options.data]), test, options.seeds)


def scalebench(table: MixtureTable, test: MixtureTable | None, seeds: int) -> None:
    """Prints R² on unseen mixes, by share of the runs that were bought and by how they were chosen."""
    print(PUBLISHED)
    how = "the test file" if test is not None else "tenths of the mixes, left out in turn"
    print(f"R² on {how}; {len(table.runs)} runs; bought runs are a share of all of them; {seeds} seeds")
    print(f"  {'':24}{'all':>8}" + "".join(f"{budget:>8.0%}" for budget in BUDGETS))
    for name in ("ours, designed", "ours, random", *(f"{law}, random" for law in LAWS)):
        scores: dict[float, list[Floats]] = {}
        for seed in range(seeds):
            for budget in (1.0, *BUDGETS):
                scores.setdefault(budget, []).append(score(name, table, test, budget, seed))
        cells = "".join(f"{np.mean(found):>8.4f}" for found in scores.values())
        least = "".join(f"{np.mean(found, 1).min():>8.4f}" for found in scores.values())
        print(f"  {name:24}{cells}   worst seed{least}", flush=True)
    if test is None:
        print("  mixes left out by what is new in them (ours, all other runs):")
        for domain, name in enumerate(table.domains):
            for what, held in (
                ("none", table.shares[:, domain] == 0),
                ("most", table.shares[:, domain] == table.shares[:, domain].max()),
            ):
                if held.sum() > 4 and (~held).sum() > 4:
                    found = ours(table, np.flatnonzero(~held), table, np.flatnonzero(held))
                    print(f"    {what} of {name:10} {r_squared(table.losses[held], found).mean():.3f}")


def score(name: str, table: MixtureTable, test: MixtureTable | None, budget: float, seed: int) -> Floats:
    """R² of each loss [M]."""
    method, _, choice = name.partition(", ")
    predict = ours if method == "ours" else lawful(method)
    number = round(budget * len(table.runs))
    if test is not None:
        everything = np.arange(len(test.runs))
        bought = buy(choice, table, np.arange(len(table.runs)), test, everything, number, seed)
        return r_squared(test.losses, predict(table, bought, test, everything))
    of_mix = np.unique(table.shares, axis=0, return_inverse=True)[1].ravel()
    order = np.random.default_rng(seed).permutation(of_mix.max() + 1)
    found = np.empty_like(table.losses)
    for fold in range(10):
        held = np.flatnonzero(np.isin(of_mix, order[fold::10]))
        pool = np.setdiff1d(np.arange(len(of_mix)), held)
        bought = buy(choice, table, pool, table, held, min(number, len(pool)), seed)
        found[held] = predict(table, bought, table, held)
    return r_squared(table.losses, found)


def buy(
    choice: str, table: MixtureTable, pool: Rows, targets: MixtureTable, wanted: Rows, number: int, seed: int
) -> Rows:
    """Runs of the pool, by design for the runs that are wanted or at random."""
    if choice == "random" or number == len(pool):
        return np.random.default_rng(seed).permutation(pool)[:number]
    sizes = np.log(table.sizes)
    at = [(np.log(one) - sizes.mean()) / sizes.std() for one in (table.sizes[pool], targets.sizes[wanted])]
    candidates = Inputs(table.shares[pool], at[0][:, None])
    return pool[choose_runs(candidates, Inputs(targets.shares[wanted], at[1][:, None]), number)]


def ours(table: MixtureTable, bought: Rows, targets: MixtureTable, wanted: Rows) -> Floats:
    """Losses of the runs that are wanted."""
    known, new = np.log(table.sizes[bought])[:, None], np.log(targets.sizes[wanted])[:, None]
    fitted = fit_shares(table.shares[bought], table.losses[bought], covariates=known)
    return fitted.predict(targets.shares[wanted], new)[0]


def lawful(name: str) -> Callable[[MixtureTable, Rows, MixtureTable, Rows], Floats]:
    """As `ours`, by a parametric law."""

    def predict(table: MixtureTable, bought: Rows, targets: MixtureTable, wanted: Rows) -> Floats:
        known, new = np.log(table.sizes[bought]), np.log(targets.sizes[wanted])
        return LAWS[name](table.shares[bought], known, table.losses[bought], targets.shares[wanted], new)

    return predict


def r_squared(measured_losses: Floats, predicted: Floats) -> Floats:
    """Of each loss, at least -1 [M]."""
    left = ((measured_losses - predicted) ** 2).sum(0)
    return np.maximum(-1, 1 - left / ((measured_losses - measured_losses.mean(0)) ** 2).sum(0))


def made_tables(seeds: int) -> None:
    """Prints rank correlations of the mean loss on unseen mixes of made tables, and seconds."""
    boosted = lightgbm()
    if boosted is None:
        print("LightGBM is not installed, so it is left out; pip install lightgbm")
    print(f"{TRAIN} runs, 17 shares, 13 losses. Spearman on the mean loss of {UNSEEN} unseen mixes, against")
    print("what was measured there (against the exact mean); seconds of one thread")
    for seed in range(seeds):
        made, generator = world(seed), np.random.default_rng(100 + seed)
        known, unseen = mixes(TRAIN, generator), mixes(UNSEEN, generator)
        for size in SIZES:
            losses = measured(made, known, size, NOISE[size], generator)
            exact = made.losses(unseen, SIZES[size])
            seen = measured(made, unseen, size, NOISE[size], generator).mean(1)
            began = time.process_time()
            fitted = fit_shares(known, losses)
            seconds = time.process_time() - began
            found, doubt = fitted.predict(unseen)
            rivals = {
                "perfect": exact.mean(1),
                "ours": found.mean(1),
                "log-linear": log_linear(known, np.zeros(TRAIN), losses, unseen, np.zeros(UNSEEN)).mean(1),
            }
            if boosted is not None:
                rivals["LightGBM"] = boosted(known, losses.mean(1), unseen)
                rivals["one a loss"] = np.mean([boosted(known, loss, unseen) for loss in losses.T], axis=0)
            inside = (np.abs(found - exact) < 1.645 * doubt).mean()
            cells = "  ".join(
                f"{name} {spearman(mean, seen):.3f} ({spearman(mean, exact.mean(1)):.3f})"
                for name, mean in rivals.items()
            )
            print(
                f"  world {seed}, {size:>3}: {cells}  90% intervals hold {inside:.2f}  {seconds:.0f} s",
                flush=True,
            )
        across_sizes(seed)


def across_sizes(seed: int) -> None:
    """Prints what a table of many small and few large runs says about large ones."""
    made, generator = world(seed), np.random.default_rng(200 + seed)
    counts = {"1M": 384, "60M": 96, "1B": 32}
    shares = [mixes(number, generator) for number in counts.values()]
    losses = [
        measured(made, one, size, NOISE[size], generator) for one, size in zip(shares, counts, strict=True)
    ]
    logs = [np.full(number, np.log(SIZES[size])) for size, number in counts.items()]
    unseen = mixes(UNSEEN, generator)
    exact = made.losses(unseen, SIZES["1B"]).mean(1)
    together = fit_shares(
        np.concatenate(shares), np.concatenate(losses), covariates=np.concatenate(logs)[:, None]
    )
    at = np.full((UNSEEN, 1), np.log(SIZES["1B"]))
    small, large = fit_shares(shares[0], losses[0]), fit_shares(shares[2], losses[2])
    print(
        f"  world {seed}, 1B from 384 runs of 1M, 96 of 60M and 32 of 1B: "
        f"all sizes {spearman(together.predict(unseen, at)[0].mean(1), exact):.3f}, "
        f"1M alone {spearman(small.predict(unseen)[0].mean(1), exact):.3f}, "
        f"1B alone {spearman(large.predict(unseen)[0].mean(1), exact):.3f}",
        flush=True,
    )


def lightgbm() -> Callable[[Floats, Floats, Floats], Floats] | None:
    """Shares, a loss and new shares to the loss there; None where LightGBM is not installed."""
    try:
        import lightgbm as peer
    except ImportError:
        return None
    settings = {
        "objective": "regression",
        "num_leaves": 31,
        "learning_rate": 0.01,
        "feature_fraction": 0.9,
        "bagging_fraction": 0.8,
        "bagging_freq": 5,
        "seed": 42,
        "num_threads": 1,
        "verbose": -1,
    }

    def predict(shares: Floats, loss: Floats, new: Floats) -> Floats:
        held = len(shares) // 8
        known = peer.Dataset(shares[held:], loss[held:])
        stop = peer.early_stopping(20, verbose=False)
        rest = peer.Dataset(shares[:held], loss[:held])
        return peer.train(settings, known, 2000, [rest], callbacks=[stop]).predict(new)

    return predict


if __name__ == "__main__":
    main()
