"""What became of the pairs: scores and planted labels by pool, and rejects by stage and reason.

Pools are counted in one pass over their table. A few pairs of each pool, and of the rejects, are kept to be
shown.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.curate.pools.record import Pools
from thresher.data.files.quarantine import reason_kind
from thresher.data.files.record_file import own_file
from thresher.errors import InputError
from thresher.report.wording import cut_caption
from thresher.report.workdir import Workdir, open_table

MIN_BINS, MAX_BINS = 16, 60
NUM_SHOWN = 8
SAMPLE = 512
BATCH_ROWS = 65_536
LEFT_OUT = "in no pool"
CLEAN = "clean"

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_REASONS = 25
MAX_ROWS = 20
REASON_LIMIT = 160


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A pair that the gallery shows; `scores` has one entry a scorer, the column of the cut first."""

    uid: str
    key: str
    shard: str
    caption: str
    label: str
    scores: dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts over a pool table.

    `counts[pool, label]` is a histogram over `edges`; pairs in no pool stand under
    `LEFT_OUT`, pairs without a planted label under the empty label. `shown[pool]` lists pairs, best score
    first.
    """

    pools: Pools
    edges: Floats
    counts: dict[tuple[str, str], Counts]
    shown: dict[str, list[Shown]]

    def share(self, pool: str, label: str) -> int:
        """Pairs of a pool that carry a label."""
        found = self.counts.get((pool, label))
        return 0 if found is None else int(found.sum())


def tally(workdir: Workdir, *, num_shown: int = NUM_SHOWN) -> Tally | None:
    """The counts of a workdir's pools, or None when it has none; memory does not grow with the pool.

    The pairs to show lie evenly over the score quantiles of a sample of each pool: the `SAMPLE` pairs whose
    uid, read backwards, is smallest, which is as good as random for hashed uids and even for counted ones.

    Raises:
        InputError: a column that the tables must have is missing.
    """
    if workdir.pools is None or workdir.pools_table is None:
        return None
    names = {pool.rank: pool.name for pool in workdir.pools.pools}
    by = workdir.pools.by
    parts = [path for path in workdir.score_parts if by in open_table(path).schema_arrow.names]
    edges = _edges(workdir.pools, parts, by)
    counts: dict[tuple[str, str], Counts] = {}
    samples: dict[int, pa.Table] = {}
    for rows in batches(workdir.pools_table, ("uid", "score", "pool", "key", "shard", "caption")):
        ranks = rows["pool"].to_numpy()
        labels = _labels(rows["uid"], workdir.planted)
        for rank in np.unique(ranks):
            inside = ranks == rank
            name = names.get(int(rank), LEFT_OUT)
            _count(counts, name, rows["score"].to_numpy()[inside], labels[inside], edges)
            if int(rank) in names:
                samples[int(rank)] = _sample(samples.get(int(rank)), rows.filter(pa.array(inside)))
    _count_left_out(counts, parts, by, edges, workdir.planted)
    picked = {names[rank]: _spread(samples[rank], num_shown) for rank in sorted(samples)}
    others = _other_scores(picked, workdir.score_parts, by)
    shown = {
        name: [_shown(row, by, others.get(row["uid"], {}), workdir.planted) for row in rows.to_pylist()]
        for name, rows in picked.items()
    }
    return Tally(pools=workdir.pools, edges=edges, counts=counts, shown=shown)


def labels_of(counted: Tally) -> list[str]:
    """The planted labels, good pairs first; empty where nothing is planted."""
    found = {label for _, label in counted.counts}
    if found <= {""}:
        return []
    return sorted(found, key=lambda label: (label != CLEAN, label == "", label))


def batches(path: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Some columns of a Parquet file, a bounded number of rows at a time.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    file = open_table(path)
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; make it again")
    with own_file(path, "make it again"):
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
            yield pa.Table.from_batches([batch])


def _edges(pools: Pools, parts: list[Path], by: str) -> Floats:
    """Bin edges over all finite scores; the ends come from `pools.json` and the statistics of the parts."""
    lows = [pool.score_min for pool in pools.pools]
    highs = [pool.score_max for pool in pools.pools]
    for path in parts:
        file = open_table(path)
        column = file.schema_arrow.names.index(by)
        for group in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(group).column(column).statistics
            if statistics is not None and statistics.has_min_max:
                lows.append(float(statistics.min))
                highs.append(float(statistics.max))
    num = sum(pools.sizes.values())
    low, high = min(lows, default=0.0), max(highs, default=1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, int(np.clip(math.sqrt(num), MIN_BINS, MAX_BINS)) + 1)


def _labels(uids: Any, planted: dict[str, str]) -> npt.NDArray[np.str_]:
    if not planted:
        return np.full(len(uids), "")
    return np.array([planted.get(uid, "") for uid in uids.to_pylist()])


def _count(
    counts: dict[tuple[str, str], Counts],
    pool: str,
    scores: npt.NDArray[Any],
    labels: npt.NDArray[np.str_],
    edges: Floats,
) -> None:
    clipped = np.clip(scores.astype(np.float64), edges[0], edges[-1])
    for label in np.unique(labels):
        found = np.histogram(clipped[labels == label], edges)[0]
        counts[pool, str(label)] = counts.get((pool, str(label)), 0) + found


def _count_left_out(
    counts: dict[tuple[str, str], Counts], parts: list[Path], by: str, edges: Floats, planted: dict[str, str]
) -> None:
    """Add what the score table holds beyond the pools: all scores minus those already counted."""
    if not parts or any(pool == LEFT_OUT for pool, _ in counts):
        return
    everything: dict[tuple[str, str], Counts] = {}
    for path in parts:
        for rows in batches(path, ("uid", by)):
            scores = rows[by].to_numpy()
            finite = np.isfinite(scores)
            labels = _labels(rows["uid"], planted)
            _count(everything, LEFT_OUT, scores[finite], labels[finite], edges)
    for (_, label), found in everything.items():
        pooled = sum((c for (_, other), c in counts.items() if other == label), np.zeros_like(found))
        rest = np.maximum(found - pooled, 0)
        if rest.any():
            counts[LEFT_OUT, label] = rest


def _sample(kept: pa.Table | None, rows: pa.Table) -> pa.Table:
    rows = rows.append_column("order", pc.utf8_reverse(rows["uid"]))
    table = rows if kept is None else pa.concat_tables([kept, rows])
    chosen = pc.select_k_unstable(table, k=min(SAMPLE, table.num_rows), sort_keys=[("order", "ascending")])
    return table.take(chosen)


def _spread(sample: pa.Table, num_shown: int) -> pa.Table:
    """Up to `num_shown` rows, evenly over the ranks of the sample, best score first, ties by uid."""
    ordered = sample.sort_by([("score", "descending"), ("uid", "ascending")])
    num = min(num_shown, ordered.num_rows)
    places = ((np.arange(num) + 0.5) * ordered.num_rows / max(num, 1)).astype(np.int64)
    return ordered.take(pa.array(places))


def _other_scores(
    picked: dict[str, pa.Table], parts: tuple[Path, ...], by: str
) -> dict[str, dict[str, float]]:
    """The further float columns of the score table for the picked uids."""
    uids = pa.array(sorted({uid for rows in picked.values() for uid in rows["uid"].to_pylist()}), pa.string())
    found: dict[str, dict[str, float]] = {}
    for path in parts:
        schema = open_table(path).schema_arrow
        extra = [field.name for field in schema if pa.types.is_floating(field.type) and field.name != by]
        if not extra or "uid" not in schema.names:
            continue
        for rows in batches(path, ("uid", *extra)):
            for row in rows.filter(pc.is_in(rows["uid"], uids)).to_pylist():
                found[row["uid"]] = {name: row[name] for name in extra if row[name] is not None}
    return found


def _shown(row: dict[str, Any], by: str, others: dict[str, float], planted: dict[str, str]) -> Shown:
    return Shown(
        uid=row["uid"],
        key=row["key"] or "",
        shard=row["shard"] or "",
        caption=row["caption"] or "",
        label=planted.get(row["uid"], ""),
        scores={by: row["score"], **others},
    )


def rejects(*paths: Path) -> dict[str, Any]:
    """The summary of quarantine tables; reasons that differ in numbers and names alone count together.

    `num_shards` of the rows stand for a shard and not for a pair: all of it, or what follows a damaged place.
    `reasons` holds (stage, reason, count), most frequent first; `rows` holds (shard, key, stage, reason).

    Raises:
        InputError: a table has not the columns of a quarantine.
    """
    counts: dict[tuple[str, str], int] = {}
    examples: dict[tuple[str, str], set[str]] = {}
    rows: list[tuple[str, str, str, str]] = []
    num_shards = 0
    for batch in (batch for path in paths for batch in batches(path, ("shard", "key", "stage", "reason"))):
        for row in batch.to_pylist():
            reason = cut_caption(row["reason"] or "", REASON_LIMIT)[0]
            num_shards += not row["key"]
            group = (row["stage"] or "", reason_kind(reason))
            counts[group] = counts.get(group, 0) + 1
            if len(examples.setdefault(group, set())) < 2:
                examples[group].add(reason)
            if counts[group] <= 3 and len(rows) < MAX_ROWS:
                shard = PurePosixPath(row["shard"] or "").name
                rows.append((shard, cut_caption(row["key"] or "")[0], row["stage"] or "", reason))
    ordered = sorted(counts, key=lambda group: (-counts[group], group))
    named = [(g[0], min(examples[g]) if len(examples[g]) == 1 else g[1], counts[g]) for g in ordered]
    return {
        "num_rows": sum(counts.values()),
        "num_shards": num_shards,
        "reasons": named[:MAX_REASONS],
        "num_reasons": len(named),
        "rows": rows,
    }
