"""The quarantine in short: how much went at which stage for which reason, with some of them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from thresher.data.quarantine import reason_kind
from thresher.report.tally import batches
from thresher.report.wording import cut_caption

MAX_REASONS = 25
MAX_ROWS = 20
REASON_LIMIT = 160


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rejects:
    """A quarantine in short.

    `num_shards` of the rows stand for a shard and not for a pair: all of it, or what follows a damaged place.
    `reasons` holds (stage, reason, count), most frequent first; `rows` holds (shard, key, stage, reason).
    """

    num_rows: int
    num_shards: int
    reasons: list[tuple[str, str, int]]
    num_reasons: int
    rows: list[tuple[str, str, str, str]]


def rejects(*paths: Path) -> Rejects:
    """The summary of quarantine tables; reasons that differ in numbers and names alone count together.

    Raises:
        InputError: a table has not the columns of a quarantine.
    """
    counts: dict[tuple[str, str], int] = {}
    examples: dict[tuple[str, str], set[str]] = {}
    rows: list[tuple[str, str, str, str]] = []
    num_shards = 0
    for path in paths:
        for row in _rows(path):
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
    return Rejects(
        num_rows=sum(counts.values()),
        num_shards=num_shards,
        reasons=named[:MAX_REASONS],
        num_reasons=len(named),
        rows=rows,
    )


def _rows(path: Path) -> Iterator[dict[str, str | None]]:
    for batch in batches(path, ("shard", "key", "stage", "reason")):
        yield from batch.to_pylist()
