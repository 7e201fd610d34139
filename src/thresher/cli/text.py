"""What commands print: results on stdout, remarks on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from thresher.budget import epochs, format_count
from thresher.cli.guard import UNDONE
from thresher.errors import printable
from thresher.planning.runs.record import Run, is_loss, mix_unique, mix_weights
from thresher.tables import columns, duration, error_text, passes_text, rate, size

if TYPE_CHECKING:
    from thresher.sharded.stage import Progress
    from thresher.sharded.summary import FolderSummary

SHOWN_REASONS = 12


def estimate_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """What every stage will cost, and the sum."""
    stages = list(rows)
    total = {key: sum(row[key] or 0 for row in stages) for key in ("seconds", "disk_bytes", "flops")}
    cells = [
        (row["stage"], *_costs(row), row["note"] or "")
        for row in [*stages, {"stage": "all", "note": "", **total}]
    ]
    table = columns(("stage", "time", "disk", "FLOPs"), [cell[:4] for cell in cells])
    notes = [f"{cell[0]}: {cell[4]}" for cell in cells if cell[4]]
    return "\n\n".join(["\n".join(part) for part in ([table], notes) if part])


def _costs(row: Mapping[str, Any]) -> Sequence[str]:
    flops = row["flops"] or 0
    return (duration(row["seconds"] or 0), size(row["disk_bytes"] or 0), f"{flops:.2g}" if flops else "")


def rate_of(progress: "Progress") -> str:
    """Pairs so far, and how many a second."""
    return f"{progress.pairs:,} pairs, {rate(progress.pairs, progress.seconds)}"


def folder_record(out: Path, summary: "FolderSummary") -> dict[str, object]:
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


def folder_text(out: Path, summary: "FolderSummary", *, have: str, did: str) -> str:
    """The summary for people: pairs `have` something, this run `did` something to pairs."""
    lines = [f"{summary.num_pairs:,} pairs of {summary.num_shards:,} shards have {have} in {out}"]
    if summary.new_shards:
        lines.append(
            f"this run {did} {summary.new_pairs:,} pairs of {summary.new_shards:,} shards in "
            f"{duration(summary.seconds)} ({rate(summary.new_pairs, summary.seconds)})"
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


def answer(
    record: object, text: str, as_json: bool, *, warnings: Iterable[str] = (), undone: bool = False
) -> None:
    """Print warnings on stderr, and on stdout what a command found.

    For programs that is `record` as JSON in ASCII, its keys in the order given, and for people `text`. Where
    something was left undone, the command ends with that exit code.
    """
    warn(warnings)
    typer.echo(json.dumps(record, indent=2, allow_nan=False, default=str) if as_json else printable(text))
    if undone:
        raise typer.Exit(UNDONE)


def remark(text: str) -> None:
    """A line on stderr; above the progress bar where there is one."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def warn(sentences: Iterable[str]) -> None:
    """A warning a sentence, on stderr."""
    for sentence in sentences:
        remark(f"warning: {sentence}")


def runs_text(runs: Sequence[Run]) -> str:
    """Pools and mixes with their runs: sizes, samples seen, passes and errors, each from least to most."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((" + ".join(mix_weights(run)), run.model or "", run.metric), []).append(run)
    header = ("pool", "model", "metric", "runs", "unique", "seen", "passes", "error")
    return columns(header, [(*group, *_cells(members)) for group, members in groups.items()])


def _cells(runs: Sequence[Run]) -> list[str]:
    unique = [sum(mix_unique(run).values()) for run in runs]
    seen = [run.samples_seen for run in runs]
    errors = [run.error for run in runs]
    passes = [epochs(count, size) for count, size in zip(seen, unique, strict=True)]
    return [
        str(len(runs)),
        _span([format_count(value) for value in (min(unique), max(unique))]),
        _span([format_count(value) for value in (min(seen), max(seen))]),
        _span([passes_text(value) for value in (min(passes), max(passes))]),
        _span([error_text(value, is_loss(runs[0].metric)) for value in (min(errors), max(errors))]),
    ]


def _span(ends: Sequence[str]) -> str:
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
