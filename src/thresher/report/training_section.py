"""The section about training runs: what each selection method reached, cost and chose."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from thresher.budget import format_count
from thresher.report.gallery import cards, data_uri
from thresher.report.pool_stats import Shown, batches
from thresher.report.training_charts import by_method, by_samples
from thresher.report.wording import ABSENT, Scale, number_text, share_text
from thresher.report.workdir import TrainingRun
from thresher.train import picks

KINDS = ("train", "score", "reference", "select")
MATRIX_PIXELS = 384
LOW, MIDDLE, HIGH = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""Colours of the scores in the picture of a batch: below zero, zero, above zero."""


def training_section(
    runs: Sequence[TrainingRun],
    scale: Scale,
    *,
    table: Path | None,
    shards: Sequence[str] | None,
    planted: Mapping[str, str],
    gallery: int,
) -> dict[str, Any] | None:
    """The comparison of the methods, the picture of a batch, and pairs chosen most and least.

    Args:
        runs: from `read_training_runs`.
        scale: how errors are shown.
        table: the pool table, which knows where the pairs are; None shows no pairs.
        shards: as for `write_report`.
        planted: uid -> label.
        gallery: pairs shown of the most and of the least chosen.

    Returns:
        None where no run has finished.
    """
    if not runs:
        return None
    selected = next((run for run in runs if run.times_n is not None and run.times_n.any()), None)
    pictured = next((run for run in runs if run.matrix_bb is not None), None)
    groups, problems = _chosen(selected, table, shards, planted, gallery)
    return {
        "rows": [row for method, members in by_method(runs).items() for row in _rows(method, members, scale)],
        "matrix": None if pictured is None or pictured.matrix_bb is None else _matrix(pictured),
        "chosen": groups,
        "chosen_by": "" if selected is None else selected.method,
        "problems": problems,
    }


def _rows(method: str, members: Sequence[TrainingRun], scale: Scale) -> Iterator[tuple[str, ...]]:
    """One row for each number of samples seen, means over the seeds."""
    for seen, points in by_samples(members).items():
        errors = np.array([point.error for point in points])
        spread = scale.gap(float(errors.std(ddof=1) / np.sqrt(len(errors)))) if len(errors) > 1 else ABSENT
        spent = [float(np.mean([point.flops.get(kind, 0.0) for point in points])) for kind in KINDS]
        yield (
            method,
            format_count(seen),
            scale.text(float(errors.mean())),
            spread,
            str(len(points)),
            f"{sum(spent):.3g}",
            *(share_text(amount, sum(spent)) if amount else ABSENT for amount in spent),
        )


def _matrix(run: TrainingRun) -> dict[str, Any]:
    """The scores of a batch as a picture: red above zero, blue below."""
    assert run.matrix_bb is not None
    pixels = matrix_pixels(run.matrix_bb)
    image = Image.fromarray(pixels)
    side = max(1, MATRIX_PIXELS // len(pixels)) * len(pixels)
    image = image.resize((side, side), Image.Resampling.NEAREST)
    off = run.matrix_bb[~np.eye(len(pixels), dtype=bool)]
    return {
        "image": data_uri(image, "PNG"),
        "size": len(pixels),
        "method": run.method,
        "diagonal": number_text(float(np.diagonal(run.matrix_bb).mean())),
        "off": number_text(float(off.mean()) if off.size else 0.0),
    }


def matrix_pixels(matrix_bb: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """RGB of every score, uint8 [b, b, 3]; the diagonal and the rest are stretched each to its own range."""
    inside = np.eye(len(matrix_bb), dtype=bool)
    shares = np.zeros(matrix_bb.shape, np.float64)
    for part in (inside, ~inside):
        values = matrix_bb[part]
        shares[part] = values / max(float(np.quantile(np.abs(values), 0.98)) if values.size else 0.0, 1e-12)
    shares = np.clip(shares, -1, 1)[..., None]
    ends = np.where(shares < 0, np.array(LOW, float), np.array(HIGH, float))
    return np.rint(MIDDLE + np.abs(shares) * (ends - MIDDLE)).astype(np.uint8)


def _chosen(
    run: TrainingRun | None,
    table: Path | None,
    shards: Sequence[str] | None,
    planted: Mapping[str, str],
    count: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Cards of the pairs chosen most and least, and sentences on what could not be shown."""
    if run is None or run.times_n is None or count == 0:
        return [], []
    if table is None:
        return [], ["The pairs are not shown: there is no pools/pools.parquet that says where they are."]
    uids = picks.read_uids(run.folder)
    order = np.argsort(-run.times_n, kind="stable")
    groups = {"Chosen most": order[:count], "Chosen least": order[::-1][:count]}
    wanted = {name: [uids[int(row)].as_py() for row in rows] for name, rows in groups.items()}
    times = {uids[int(row)].as_py(): int(run.times_n[row]) for rows in groups.values() for row in rows}
    rows = _rows_of(table, [uid for found in wanted.values() for uid in found])
    shown = {
        name: [_shown(rows[uid], times[uid], planted) for uid in found if uid in rows]
        for name, found in wanted.items()
    }
    made, problems = cards(shown, shards)
    return [{"name": name, "cards": made[name]} for name in groups if made[name]], problems


def _rows_of(table: Path, uids: Sequence[str]) -> dict[str, dict[str, Any]]:
    wanted = pa.array(sorted(set(uids)), pa.string())
    found: dict[str, dict[str, Any]] = {}
    for part in batches(table, ("uid", "key", "shard", "caption")):
        for row in part.filter(pc.is_in(part["uid"], wanted)).to_pylist():
            found.setdefault(row["uid"], row)
    return found


def _shown(row: Mapping[str, Any], times: int, planted: Mapping[str, str]) -> Shown:
    return Shown(
        uid=row["uid"],
        key=row["key"],
        shard=row["shard"],
        caption=row["caption"],
        label=", ".join(text for text in (f"chosen {times:,} times", planted.get(row["uid"], "")) if text),
        scores={},
    )
