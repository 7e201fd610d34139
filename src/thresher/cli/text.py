"""Estimates as plain text for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thresher.display.blocks import columns


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
