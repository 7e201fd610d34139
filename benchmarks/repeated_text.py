"""Language models on repeated text: laws fitted to few epochs predict more of them (`law_tables.py`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.result import Laws
from thresher.planning.runs.importers.formats import import_runs
from thresher.planning.runs.record import Run

EPOCHS, MOST_EPOCHS = 10.001, 40.001
"""Of the runs that are fitted and of those that are predicted."""
SAME, CLEARLY = 0.02, 0.01
AUTHORS = {
    "a": 6.255414,
    "b": 7.3049974,
    "e": 0.6254804,
    "alpha": 0.3526596,
    "R_D": 15.387756,
    "R_N": 5.309743,
}
"""The data-constrained law of language models on C4, as its authors' repository gives it (datablations)."""


def repeated_text(table: Path) -> NDArray[np.float64]:
    """Prints every law on more epochs than it was fitted to; the relative errors of all together."""
    from rivals import nearest, straight_line  # beside this file, not in the tests' package

    runs = import_runs(
        [table],
        format="table",
        metric="val_loss",
        columns={"samples_seen": "tokens", "unique_samples": "unique_tokens", "run": "name"},
        supply={"pool": "C4", "final": True},
        number_seeds=True,
    )
    few = [run for run in runs if epochs(run) <= EPOCHS]
    many = [run for run in runs if EPOCHS < epochs(run) <= MOST_EPOCHS]
    doubtful = {id(run) for run in runs if is_doubtful(run, runs)}
    print(f"rows that contradict others: {', '.join(str(run.run) for run in runs if id(run) in doubtful)}")
    print(f"fitted to {len(few)} runs of up to 10 epochs; off in the loss of {len(many)} runs of 10 to 40:")
    chosen = fit(few)
    off = {"auto": relative_errors(chosen, many)}
    for law in [score.law for score in chosen.comparison]:
        off[law] = relative_errors(fit(few, law=law, num_draws=0), many)
    off["the authors'"] = np.abs(np.array([authors_loss(run) / run.error for run in many]) - 1)
    where, known = (
        [
            np.log([(run.params, run.samples_seen, run.unique_samples) for run in part])
            for part in (few, many)
        ],
        np.array([run.error for run in few]),
    )
    for name, rival in (("straight line", straight_line), ("nearest run", nearest)):
        losses = rival(where[0], known, where[1])
        off[name] = np.abs(losses / np.array([run.error for run in many]) - 1)
    sure = np.array([id(run) not in doubtful for run in many])
    unharmed = np.array([not is_harmed(run, runs) for run in many])
    print(f"{(~unharmed).sum()} of them have a higher loss than the same model had on the same text before")
    for law, values in off.items():
        weight = next((f"{100 * one.weight:.0f}%" for one in chosen.comparison if one.law == law), "all")
        weight = "none" if law in ("the authors'", "straight line", "nearest run") else weight
        print(
            f"  {law:17} share {weight:>4}  mean {100 * values.mean():.2f}%  median "
            f"{100 * np.median(values):.2f}%  mean without the rows that contradict others "
            f"{100 * values[sure].mean():.2f}%, without those where repetition did harm "
            f"{100 * values[unharmed].mean():.2f}%"
        )
    return off["auto"]


def epochs(run: Run) -> float:
    """Passes over the text."""
    assert isinstance(run.unique_samples, int)
    return run.samples_seen / run.unique_samples


def is_doubtful(run: Run, runs: Sequence[Run]) -> bool:
    """Whether more repetition of less text gave a clearly lower loss than some other run's."""
    return any(
        abs(run.params / other.params - 1) < SAME
        and abs(run.samples_seen / other.samples_seen - 1) < SAME
        and other.unique_samples > 2 * run.unique_samples
        and run.error < other.error * (1 - CLEARLY)
        for other in runs
    )


def is_harmed(run: Run, runs: Sequence[Run]) -> bool:
    """Whether the same model had a lower loss on the same text, repeated less often."""
    return any(
        run.params == other.params
        and run.unique_samples == other.unique_samples
        and other.samples_seen < run.samples_seen
        and other.error < run.error
        for other in runs
    )


def authors_loss(run: Run) -> float:
    """By the data-constrained law as its authors fitted it to all their runs, up to many epochs."""
    alpha = AUTHORS["alpha"]  # and beta, which they hold to be the same
    of_size, of_data = np.exp(AUTHORS["a"]), np.exp(AUTHORS["b"])
    ratio = (of_size / of_data) ** (1 / (2 * alpha))
    assert isinstance(run.unique_samples, int)
    assert run.params is not None
    enough = min(run.params, run.unique_samples * ratio**2)  # parameters that the text can make use of

    def worth(fresh: float, total: float, scale: float) -> float:
        return float(fresh * (1 - scale * np.expm1(-(total / fresh - 1) / scale)))

    size = worth(enough, run.params, AUTHORS["R_N"])
    text = worth(run.unique_samples, max(run.samples_seen, run.unique_samples), AUTHORS["R_D"])
    return float(np.exp(AUTHORS["e"]) + of_size / size**alpha + of_data / text**alpha)


def relative_errors(laws: Laws, runs: Sequence[Run]) -> NDArray[np.float64]:
    """Size of predicted over measured loss, less 1."""
    return np.abs(predict_runs(laws, runs) / np.array([run.error for run in runs]) - 1)
