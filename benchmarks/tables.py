"""Real tables of finished runs, their longest runs left out: how far off are the laws, and how sure?

    python benchmarks/tables.py --data DIR [--tables NAME ...] [--share 0.25]

DIR holds `laws/*.csv` (`laws/` itself does as well). Of every table the longest quarter of the runs (by
samples or tokens seen, whole lengths) is left out and predicted from the rest, with the defaults of the tool:

openclip    The scaling study of open_clip: every task, either architecture; LAION is one pool.
repeated    Language models of several sizes on repeated text.
scalebench  The train half of ScaleBench's data-constrained task, likewise.
overtrained Language models of several sizes on three sets of fresh text, far beyond Chinchilla's ratio.
chinchilla  Language models on fresh text, read off a figure.
buckets     Buckets of DataComp by CLIP score, measured in the middle of a run.

Beside the laws: a straight line (least squares of the log of the error on the logs of samples seen, distinct
samples and parameters, one for each pool), the nearest run in those logs, the power law of the tool, and the
longest run that was left in of the same pool and size (a single scale). Reported: mean absolute error in
points, or in per cent of a loss, its mean with sign, and how often the 90% interval of a run, its noise
included, holds the measured error.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from law_tables import ARCHITECTURES, scaling_runs, tasks_of
from rivals import nearest, straight_line
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.layout import design_of
from thresher.planning.laws.predict import draw_noise, predict_designs
from thresher.planning.runs.record import Run, is_loss, mix_unique

FRESH = 10**13
"""Distinct tokens of a set that nothing comes back from."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What came of the runs that were left out of a table, [H] each but `off`.

    Attributes:
        off: Predicted minus measured error by name of what predicts, over the error where it is a loss.
        inside: Whether the interval of a run holds the measured error.
        width: Of the interval, likewise over a loss.
    """

    off: dict[str, Floats]
    inside: NDArray[np.bool_]
    width: Floats


def openclip(data: Path) -> list[list[Run]]:
    """A table for each task and architecture."""
    table = data / "openclip_scaling_zeroshot_b32_b16.csv"
    found = [scaling_runs(table, task) for task in tasks_of(table)]
    return [[run for run in runs if run.model == model] for runs in found for model in ARCHITECTURES]


def repeated(data: Path) -> list[list[Run]]:
    """One table."""
    rows = _rows(data / "c4_repeated_data_runs.csv")
    return [[_text(row, "unique_tokens", "tokens", "val_loss") for row in rows]]


def scalebench(data: Path) -> list[list[Run]]:
    """One table."""
    rows = _rows(data / "scalebench" / "data_constrained_scaling_law_train.csv")
    return [[_text(row, "unique_tokens", "tokens", "loss") for row in rows]]


def overtrained(data: Path) -> list[list[Run]]:
    """A table for each loss that every run has."""
    rows = _rows(data / "overtraining_lm_runs.csv")
    losses = [name for name in rows[0] if name.startswith("loss_") and all(row[name] for row in rows)]
    return [
        [_text(row | {"fresh": str(FRESH)}, "fresh", "tokens", name, pool=row["dataset"]) for row in rows]
        for name in losses
    ]


def chinchilla(data: Path) -> list[list[Run]]:
    """One table; tokens are FLOPs over six times the parameters."""
    found = []
    for row in _rows(data / "chinchilla_digitised.csv"):
        size = float(row["Model Size"])
        tokens = float(row["Training FLOP"]) / (6 * size)
        found.append(
            _text(
                {**row, "params": str(size), "tokens": str(tokens), "fresh": str(FRESH)},
                "fresh",
                "tokens",
                "loss",
            )
        )
    return [found]


def buckets(data: Path) -> list[list[Run]]:
    """One table; its first points lie within the warm-up."""
    return [
        [
            Run(
                pool=row["pool"],
                unique_samples=int(row["unique_samples"]),
                samples_seen=int(row["samples_seen"]),
                error=float(row["imagenet_error"]),
                metric="imagenet_error",
                chance_error=0.999,
                final=False,
            )
            for row in _rows(data / "datacomp_clip_buckets.csv")
            if int(row["samples_seen"]) > 10_000_000
        ]
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _text(row: dict[str, str], unique: str, seen: str, loss: str, *, pool: str = "text") -> Run:
    return Run(
        pool=pool,
        unique_samples=int(float(row[unique])),
        samples_seen=int(float(row[seen])),
        params=float(row["params"]),
        error=float(row[loss]),
        metric="val_loss",
        final=True,
    )


TABLES: dict[str, Callable[[Path], list[list[Run]]]] = {
    table.__name__: table for table in (openclip, repeated, scalebench, overtrained, chinchilla, buckets)
}


def examine(runs: Sequence[Run], share: float) -> Missed:
    """Predict the longest runs of a table from the others."""
    seen_R = np.array([run.samples_seen for run in runs])
    limit = np.quantile(seen_R, 1 - share)
    short = [run for run in runs if run.samples_seen < limit]
    long = [run for run in runs if run.samples_seen >= limit and run.pool in {one.pool for one in short}]
    laws = fit(short)
    error_H = np.array([run.error for run in long])
    scale_H = error_H if is_loss(long[0].metric) else np.ones_like(error_H)
    drawn_SH = predict_designs(
        laws, lambda one: design_of(long, laws.pool_names, sized=one.num_params is not None)
    )
    low_H, high_H = np.quantile(drawn_SH + draw_noise(laws)[:, None], (0.05, 0.95), axis=0)
    predicted = {
        "laws": drawn_SH.mean(0),
        "power law": predict_runs(fit(short, law="power", num_draws=0), long),
        "straight line": by_pool(straight_line, short, long),
        "nearest run": by_pool(nearest, short, long),
        "single scale": single_scale(short, long),
    }
    return Missed(
        off={name: (predicted_H - error_H) / scale_H for name, predicted_H in predicted.items()},
        inside=(low_H <= error_H) & (error_H <= high_H),
        width=(high_H - low_H) / scale_H,
    )


def _places(runs: Sequence[Run]) -> Floats:
    """Logs of samples seen, of distinct samples among them and of parameters of each run, [R, 3]."""
    return np.log(
        [
            (
                run.samples_seen,
                min(sum(mix_unique(run).values()), run.samples_seen),
                run.params or 1.0,
            )
            for run in runs
        ]
    )


def by_pool(
    rival: Callable[[Floats, Floats, Floats], Floats], short: Sequence[Run], long: Sequence[Run]
) -> Floats:
    """What a rival predicts for each run from the runs of the same pool, [H]."""
    predicted = np.empty(len(long))
    for pool in {run.pool for run in long}:
        ours = [run for run in short if run.pool == pool]
        rows = [number for number, run in enumerate(long) if run.pool == pool]
        errors = np.array([run.error for run in ours])
        predicted[rows] = rival(_places(ours), errors, _places([long[row] for row in rows]))
    return predicted


def single_scale(short: Sequence[Run], long: Sequence[Run]) -> Floats:
    """The error of the longest run of the same pool, of as near a size and as many samples as there are."""
    found = []
    for run in long:
        ours = [one for one in short if one.pool == run.pool]
        size = min(
            (one.params or 1.0 for one in ours), key=lambda params: abs(np.log(params / (run.params or 1.0)))
        )
        ours = [one for one in ours if (one.params or 1.0) == size]
        most = max(min(sum(mix_unique(one).values()), sum(mix_unique(run).values())) for one in ours)
        ours = [one for one in ours if sum(mix_unique(one).values()) >= most] or ours
        found.append(max(ours, key=lambda one: one.samples_seen).error)
    return np.array(found)


def main() -> None:
    """Predict and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with laws/*.csv")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--share", type=float, default=0.25, help="of the runs, the longest, to leave out")
    arguments = parser.parse_args()
    data = arguments.data / "laws" if (arguments.data / "laws").is_dir() else arguments.data
    inside = []
    for name in arguments.tables:
        missed = [examine(runs, arguments.share) for runs in TABLES[name](data)]
        of = np.concatenate([one.inside for one in missed])
        width = np.concatenate([one.width for one in missed])
        inside.append(of)
        print(
            f"{name}: {of.size} runs of {len(missed)} tables left out; 90% intervals hold {of.mean():.1%}, "
            f"mean width {100 * width.mean():.1f}"
        )
        for what in missed[0].off:
            off = 100 * np.concatenate([one.off[what] for one in missed])
            print(
                f"   {what:14} mean absolute {np.abs(off).mean():6.2f}  mean {off.mean():+6.2f}", flush=True
            )
    print(f"all tables: intervals hold {np.concatenate(inside).mean():.1%} of {sum(map(len, inside))} runs")


if __name__ == "__main__":
    main()
