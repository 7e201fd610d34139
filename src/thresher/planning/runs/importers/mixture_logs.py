"""Logs of mixture runs whose names hold their shares: a line a run, step and domain (arXiv 2403.16952).

A line is `FOLDER/RUN/STEP DOMAIN LOSS`, parted by white space, such as

    runs/mix_7-0.5-0.25-0.25/30000 valid/books.jsonl 3.21

The domain is the name of the file without its folder and ending.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thresher.budget import parse_count
from thresher.errors import InputError
from thresher.planning.runs.importers.mixtures import shares_in_name
from thresher.planning.runs.importers.records import printable
from thresher.planning.runs.mixture_table import Floats, MixtureTable
from thresher.planning.runs.table_file import MAX_BYTES

_MOST_DIGITS = 18

_Losses = dict[str, dict[int, dict[str, float]]]
"""Run to step to domain to loss."""


def read_mixture_log(source: Path, *, step: int | None = None, size: int | str | None = None) -> MixtureTable:
    """The runs of a log, at one step.

    Args:
        source: The text file.
        step: At which the losses are taken; the last that all runs have otherwise.
        size: Parameters of all models, such as `70M`.

    Raises:
        InputError: naming file, line and remedy: a line is of another form, a run's name holds no shares, the
            runs have no step in common, a run lacks the loss of a domain.
    """
    if not source.is_file():
        raise InputError(f"there is no log at {source}; name a text file")
    found = _read(source)
    chosen = _common_step(source.name, found) if step is None else step
    domains, shares = _shares(source.name, list(found))
    metrics = sorted({domain for steps in found.values() for held in steps.values() for domain in held})
    losses = []
    for run, steps in found.items():
        missing = next((domain for domain in metrics if domain not in steps.get(chosen, {})), None)
        if missing is not None:
            raise InputError(
                f"{source.name}: run {printable(run)!r} has no loss of {missing!r} at step {chosen}; name "
                "another step, or remove the run"
            )
        losses.append([steps[chosen][domain] for domain in metrics])
    return MixtureTable(
        runs=tuple(printable(run) for run in found),
        domains=domains,
        metrics=tuple(metrics),
        shares=shares,
        losses=np.array(losses),
        sizes=None if size is None else np.full(len(found), float(parse_count(size))),
    )


def _shares(name: str, runs: Sequence[str]) -> tuple[tuple[str, ...], Floats]:
    domains: tuple[str, ...] = ()
    shares = []
    for run in runs:
        held = shares_in_name(run)
        if held is None or (domains and held[0] != domains):
            why = "holds no shares" if held is None else "has other domains than the first run"
            raise InputError(
                f"{name}: the name of run {printable(run)!r} {why}; name runs like mix-0.75-0.25"
            )
        domains = held[0]
        shares.append(held[1])
    array = np.array(shares)
    return domains, array / array.sum(1, keepdims=True)


def _read(source: Path) -> _Losses:
    data = source.read_bytes() if source.stat().st_size <= MAX_BYTES else None
    if data is None:
        raise InputError(f"{source.name} is larger than {MAX_BYTES >> 20} MiB; keep the last steps")
    found: _Losses = {}
    for row, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        cells = line.split()
        path = cells[0].strip("/").split("/")
        try:
            loss = float(cells[2]) if len(cells) == 3 else math.nan
        except ValueError:
            loss = math.nan
        counted = path[-1].isdecimal() and len(path[-1]) <= _MOST_DIGITS
        if len(path) < 2 or not counted or not (math.isfinite(loss) and loss > 0):
            raise InputError(
                f"{source.name}, row {row}: {printable(line)[:60]!r} is not of the form RUN/STEP DOMAIN "
                "LOSS with a loss above 0; mend or remove the line"
            )
        domain = printable(cells[1].split("/")[-1].rsplit(".", 1)[0])
        held = found.setdefault(path[-2], {}).setdefault(int(path[-1]), {})
        if held.setdefault(domain, loss) != loss:
            raise InputError(
                f"{source.name}, row {row}: run {printable(path[-2])!r} has two losses of {domain!r} at step "
                f"{path[-1]}; remove one"
            )
    if not found:
        raise InputError(f"{source.name} is empty; it has to hold lines like RUN/STEP DOMAIN LOSS")
    return found


def _common_step(name: str, found: _Losses) -> int:
    common = set.intersection(*(set(steps) for steps in found.values()))
    if not common:
        raise InputError(f"{name}: no step is common to all runs; keep runs of one length")
    return max(common)
