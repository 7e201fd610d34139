"""What the commands print that fill a folder from shards."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thresher.scores.fill import Progress
    from thresher.scores.summary import FolderSummary

SHOWN_REASONS = 12


def rate_of(progress: "Progress") -> str:
    """Pairs so far, and how many a second."""
    return f"{progress.pairs:,} pairs, {progress.pairs / max(progress.seconds, 1e-9):,.0f} pairs/s"


def record_of(out: Path, summary: "FolderSummary") -> dict[str, object]:
    """The summary for programs."""
    return {
        "out": str(out),
        "shards": summary.num_shards,
        "pairs": summary.num_pairs,
        "quarantined": summary.num_quarantined,
        "quarantine": dict(summary.quarantine),
        "unreadable": dict(summary.unreadable),
        "this_run": {
            "shards": summary.new_shards,
            "pairs": summary.new_pairs,
            "seconds": round(summary.seconds, 3),
            "waited_seconds": round(summary.waited_seconds, 3),
        },
        "status": list(summary.status),
    }


def text_of(out: Path, summary: "FolderSummary", *, have: str, did: str) -> str:
    """The summary for people: pairs `have` something, this run `did` something to pairs."""
    lines = [f"{summary.num_pairs:,} pairs of {summary.num_shards:,} shards have {have} in {out}"]
    if summary.new_shards:
        rate = summary.new_pairs / max(summary.seconds, 1e-9)
        lines.append(
            f"this run {did} {summary.new_pairs:,} pairs of {summary.new_shards:,} shards in "
            f"{summary.seconds:.1f} s ({rate:,.0f} pairs/s)"
        )
    lines += quarantine_lines(summary.num_quarantined, summary.quarantine)
    return "\n".join(lines)


def quarantine_lines(count: int, reasons: Mapping[str, int]) -> list[str]:
    """How many pairs are in quarantine and for what, the first reasons alone; nothing where none is."""
    if not count:
        return []
    shown = list(reasons.items())
    lines = [f"{count:,} in quarantine:", *(f"  {of:,}  {reason}" for reason, of in shown[:SHOWN_REASONS])]
    if len(shown) > SHOWN_REASONS:
        rest = sum(of for _, of in shown[SHOWN_REASONS:])
        lines.append(f"  {rest:,}  for {len(shown) - SHOWN_REASONS} other reasons")
    return lines
