"""What a folder filled from shards holds, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.data.files.quarantine import counts_by_reason, read_quarantine
from thresher.errors import InputError
from thresher.sharded.parts import Stage, list_parts, list_quarantines, num_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSummary:
    """Counts over a whole folder of scores or embeddings, and how this run went.

    Attributes:
        num_shards: Shards (or files) of the run.
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
        folder: The folder.
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
    folder: Path = Path()

    @property
    def incomplete(self) -> bool:
        """Whether a shard, or everything, is missing."""
        return bool(self.unreadable) or not self.num_pairs

    def whole(self) -> Path:
        """The folder, if nothing is missing in it.

        Raises:
            InputError: a shard, or everything, is missing.
        """
        if self.incomplete:
            raise InputError(self.status[0])
        return self.folder

    def content(self) -> dict[str, Any]:
        """What a summary file says of the folder: nothing that depends on how often the run was stopped."""
        return {
            "shards": self.num_shards,
            "counts": {"pairs": self.num_pairs, "quarantined": self.num_quarantined},
            "quarantine": dict(self.quarantine),
            "unreadable": [{"shard": shard, "reason": reason} for shard, reason in self.unreadable.items()],
        }


def count_folder(folder: Path, stage: Stage) -> tuple[int, int, dict[str, int]]:
    """Rows of all parts, rows of all quarantine tables, and the kinds of reason with their counts."""
    num_pairs = sum(num_rows(part, stage) for part in list_parts(folder))
    reasons: Counter[str] = Counter()
    for path in list_quarantines(folder):
        reasons.update(counts_by_reason(read_quarantine(path)))
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return num_pairs, sum(ordered.values()), ordered


def status_of(summary: FolderSummary, stage: Stage) -> tuple[str, ...]:
    """A sentence for each thing that a reader of the summary should act on."""
    sentences: list[str] = []
    if summary.unreadable:
        source, reason = next(iter(summary.unreadable.items()))
        sentences.append(
            f"{len(summary.unreadable)} of {summary.num_shards} {stage.sources} {stage.unread} {source} "
            f"({reason}); mend them and run again"
        )
    if summary.num_pairs == 0:
        sentences.append(f"{stage.nothing} {stage.done}; look at the quarantine for the reasons")
    if summary.deaths:
        sentences.append(
            f"{len(summary.deaths)} worker processes died and were replaced, the last: {summary.deaths[-1]}"
        )
    return tuple(sentences)
