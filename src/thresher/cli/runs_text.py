"""Runs as plain text for a terminal: a line a pool and model."""

from collections.abc import Sequence

from thresher.budget import epochs, format_count
from thresher.display.blocks import columns
from thresher.runs import Run, mix_unique, mix_weights


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
