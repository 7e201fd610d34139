"""`python -m tests.tables.make [FOLDER]` writes small tables of finished runs whose laws are planted.

They are laid out as three published tables are, so that one test reads both: the pools of DataComp by CLIP
score, the scaling study of open_clip, and language models on repeated text. Nothing in them was measured.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.planning.laws.planted import parameters, planted_run
from thresher.planning.laws.law import Parameters

HERE = Path(__file__).parent
BUCKETS = "datacomp_clip_buckets.csv"
STUDY = "openclip_scaling_zeroshot_b32_b16.csv"
REPEATED = "c4_repeated_data_runs.csv"
Table = list[Sequence[object]]

_POOLS = {"clip_top10p": (-0.13, 5.0), "clip_10p_to_20p": (-0.16, 6.0), "clip_20p_to_30p": (-0.10, 4.0)}
"""The b and the half-life of each pool: the second teaches more than the first."""
_ARCHITECTURES = {"ViT-B-32": 7.4, "ViT-B-16": 20.57}
_DATA = {"LAION-80M": 80_000_000, "LAION-400M": 407_000_000, "LAION-2B": 2_000_000_000}
_TASKS = {
    "imagenet1k": ("acc1", 0.0),
    "mscoco_captions": ("image_retrieval_recall@5", 0.05),
    "voc2007_multilabel": ("mean_average_precision", -0.1),
}
"""The column in which a task's result stands, and how much larger its error is than that on ImageNet."""


def buckets() -> Table:
    """Three pools of one size at ten lengths, with the noise of one digitised curve."""
    b, tau = zip(*_POOLS.values(), strict=True)
    truth = parameters(b=b, tau=tau, A=0.85)
    rng = np.random.default_rng(0)
    rows: Table = [("pool", "unique_samples", "samples_seen", "imagenet_error")]
    for name, weights in zip(_POOLS, np.eye(len(_POOLS)), strict=True):
        for length in range(6_400_000, 128_000_000, 12_800_000):
            run = planted_run(truth, weights, length, noise=0.001 * rng.standard_normal())
            rows.append((name, run.unique_samples, length, round(run.error, 4)))
    return rows


def study() -> Table:
    """Two architectures on three data sets at three lengths, and a model of other data; three tasks each."""
    columns = sorted({column for column, _ in _TASKS.values()})
    rows: Table = [
        ("arch", "samples_seen", "gmacs", "upstream_dataset", "downstream_dataset", *columns, "name")
    ]
    truth = _of_many_sizes(b=-0.25, A=0.5, d=0.05, size=0.2)
    for arch, gmacs in _ARCHITECTURES.items():
        for length in (34e9, 13e9, 3e9):
            for data, unique in _DATA.items():
                run = planted_run(truth, [1.0], int(length), unique=unique, params=gmacs * 1e7)
                name = f"{arch}_{data}_{length / 1e9:.0f}B.pt"
                rows += [
                    (arch, length, gmacs, data, task, *_results(columns, task, run.error), name)
                    for task in _TASKS
                ]
        rows += [
            (arch, 12.8e9, gmacs, "CLIP-WIT", task, *_results(columns, task, 0.35), "x") for task in _TASKS
        ]
    return rows


def repeated() -> Table:
    """Models of three sizes on texts of four lengths, some of them trained up to four times."""
    truth = _of_many_sizes(b=-0.2, A=3.0, d=1.7, n0=1e8, size=0.5)
    rng = np.random.default_rng(1)
    rows: Table = [("name", "params", "tokens", "unique_tokens", "val_loss")]
    for params in (146e6, 1.1e9, 2.8e9):
        for place, unique in enumerate((1e9, 4e9, 9e9, 55e9)):
            for seed in range(1 + place % 4):
                run = planted_run(
                    *(truth, [1.0], 55_000_000_000),
                    unique=int(unique),
                    params=params,
                    metric="val_loss",
                    noise=0.003 * rng.standard_normal(),
                    seed=seed,
                )
                name = f"{params / 1e6:.0f}m55b{unique / 1e9:.0f}b"
                rows.append((name, params, 55e9, unique, round(run.error, 6)))
    return rows


TABLES = {BUCKETS: buckets, STUDY: study, REPEATED: repeated}


def _of_many_sizes(*, b: float, **shared: float) -> Parameters:
    return parameters(b=(b,), tau=(6.0,), sized=True, **{"n0": 1e8, "gamma": 0.6, **shared})


def _results(columns: Sequence[str], task: str, error: float) -> list[object]:
    """The cells of a task: one holds its result, the others are empty."""
    own, harder = _TASKS[task]
    return [round(1 - error - harder, 4) if column == own else "" for column in columns]


def main(folder: Path) -> None:
    for name, make in TABLES.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(make())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
