"""What a folder filled from shards holds, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from thresher.data.files.quarantine import counts_by_reason, read_quarantine
from thresher.sharded.parts import list_parts, list_quarantines


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSummary:
    """Counts over a whole folder of scores or embeddings, and how this run went.

    Attributes:
        num_shards: Shards of the run.
        num_pairs: Rows of all parts.
        num_quarantined: Pairs (and whole shards) that were refused.
        quarantine: Kind of reason -> how many, most frequent first.
        unreadable: Shard -> why nothing of it is in the table; the next run tries it again.
        new_shards: Shards that this run did; the others were finished before.
        new_pairs: Rows that this run added.
        seconds: Time of the work, without the opening of models.
        waited_seconds: Part of `seconds` in which the scorers waited for pairs; on Ray all workers together.
        deaths: A sentence for every worker process that died and was replaced.
        status: Sentences on what needs attention.
    """

    num_shards: int
    num_pairs: int
    num_quarantined: int
    quarantine: Mapping[str, int]
    unreadable: Mapping[str, str]
    new_shards: int = 0
    new_pairs: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    deaths: tuple[str, ...] = ()
    status: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether a shard, or everything, is missing."""
        return bool(self.unreadable) or not self.num_pairs


def count_folder(folder: Path) -> tuple[int, int, dict[str, int]]:
    """Rows of all parts, rows of all quarantine tables, and the kinds of reason with their counts."""
    num_pairs = sum(int(pq.read_metadata(part).num_rows) for part in list_parts(folder))
    reasons: Counter[str] = Counter()
    for path in list_quarantines(folder):
        reasons.update(counts_by_reason(read_quarantine(path)))
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return num_pairs, sum(ordered.values()), ordered


def status_of(summary: FolderSummary, done: str) -> tuple[str, ...]:
    """A sentence for each thing that a reader of the summary should act on; `done` is what was done."""
    sentences: list[str] = []
    if summary.unreadable:
        shard, reason = next(iter(summary.unreadable.items()))
        sentences.append(
            f"{len(summary.unreadable)} of {summary.num_shards} shards gave no pairs, the first is {shard} "
            f"({reason}); mend them and run again"
        )
    if summary.num_pairs == 0:
        sentences.append(f"no pair was {done}; look at the quarantine for the reasons")
    if summary.deaths:
        sentences.append(
            f"{len(summary.deaths)} worker processes died and were replaced, the last: {summary.deaths[-1]}"
        )
    return tuple(sentences)
