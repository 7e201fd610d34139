"""Losses of mixes that no run has seen, from made tables in RegMix's layout: ours and LightGBM.

    python benchmarks/mixtures.py

LightGBM has RegMix's settings (arXiv 2407.01492); it is left out where it is not installed. Mixes of a real
table are in `scalebench.py`.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from mixture_laws import log_linear
from mixture_worlds import SIZES, Floats, measured, mixes, spearman, world
from thresher.planning.shares.model import fit_shares

NOISE = {"1M": 0.006, "60M": 0.0045, "1B": 0.0035}
"""Relative noise of a loss in made tables, at which LightGBM's Spearman is about .95."""
TRAIN, UNSEEN = 512, 256


def main() -> None:
    """Prints the made tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    made_tables(parser.parse_args().seeds)


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
