"""What commands print: results on stdout, remarks on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from thresher.budget import epochs, format_count
from thresher.planning.runs.record import Run, mix_unique, mix_weights
from thresher.tables import columns

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
    return (_time(row["seconds"] or 0), _size(row["disk_bytes"] or 0), f"{flops:.2g}" if flops else "")


def _time(seconds: float) -> str:
    """A duration in its largest two units.

    >>> _time(42), _time(754), _time(93_000)
    ('42 s', '13 min', '25 h 50 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _size(num_bytes: float) -> str:
    """Bytes in decimal units.

    >>> _size(0), _size(1_234_567), _size(5e12)
    ('0 B', '1.2 MB', '5 TB')
    """
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= factor:
            return (
                f"{num_bytes / factor:.2g} {unit}"
                if num_bytes < 100 * factor
                else f"{num_bytes / factor:.0f} {unit}"
            )
    return f"{num_bytes:.0f} B"


def rate_of(progress: "Progress") -> str:
    """Pairs so far, and how many a second."""
    return f"{progress.pairs:,} pairs, {progress.pairs / max(progress.seconds, 1e-9):,.0f} pairs/s"


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


def show(text: str) -> None:
    """A result for people, on stdout."""
    typer.echo(text)


def show_json(result: object) -> None:
    """A result for programs, on stdout: JSON in ASCII, keys in the order given."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False, default=str))


def remark(text: str) -> None:
    """A line on stderr; above the progress bar where there is one."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def warn(sentences: Iterable[str]) -> None:
    """A warning a sentence, on stderr."""
    for sentence in sentences:
        remark(f"warning: {sentence}")


def percent(error: float, *, loss: bool) -> str:
    """An error as people read it: per cent with one digit, a loss with four significant digits."""
    return f"{error:.4g}" if loss else f"{100 * error:.1f}%"


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
    passes = [epochs(count, size) for count, size in zip(seen, unique, strict=True)]
    return [
        str(len(runs)),
        _span([format_count(value) for value in (min(unique), max(unique))]),
        _span([format_count(value) for value in (min(seen), max(seen))]),
        _span([f"{value:.3g}" for value in (min(passes), max(passes))]),
        _span([f"{value:.4g}" for value in (min(run.error for run in runs), max(run.error for run in runs))]),
    ]


def _span(ends: Sequence[str]) -> str:
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
