"""Counts that were written in millions or billions among counts that were not."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from thresher.run_record import Run

_SHORT = 20_000
_LONG = 1_000_000
_GAP = 1_000
_REACH = 30
_FEWEST_EPOCHS = 2e-4
_MOST_EPOCHS = 1e4
_UNITS = {"M": 10**6, "B": 10**9}


def unit_slip(runs: Sequence[Run]) -> tuple[int, str] | None:
    """Number of the first run whose counts cannot be in the same unit as the others, and why; else None.

    A count is taken for millions (or billions) only where it is below 20,000, others of its column are at
    least 1,000,000, none lies between them for a factor of 1,000, and as millions it would lie within 30
    times of the others; or where a run would have made fewer than 0.0002 or more than 10,000 passes over its
    samples.
    """
    for name in ("unique_samples", "samples_seen"):
        found = _slip_in_column(
            name, [(place, count) for place, run in enumerate(runs) for count in _counts(run, name)]
        )
        if found is not None:
            return found
    for place, run in enumerate(runs):
        sentence = _slip_in_run(run)
        if sentence is not None:
            return place, sentence
    return None


def _slip_in_column(name: str, counts: list[tuple[int, int]]) -> tuple[int, str] | None:
    values = sorted({count for _, count in counts})
    for low, high in itertools.pairwise(values):
        if low < _SHORT and high >= max(_LONG, _GAP * low):
            break
    else:
        return None
    for suffix, factor in _UNITS.items():
        if high / _REACH <= low * factor and values[0] * factor <= values[-1] * _REACH:
            place, count = next((place, count) for place, count in counts if count <= low)
            return place, (
                f"`{name}` is {count} where other rows have {high} and more; if it counts in "
                f"{'millions' if suffix == 'M' else 'billions'}, write {count}{suffix}"
            )
    return None


def _slip_in_run(run: Run) -> str | None:
    unique, seen = sum(_counts(run, "unique_samples")), run.samples_seen
    epochs = seen / unique
    short = min(seen, unique)
    if short >= _SHORT or max(seen, unique) < _LONG or _FEWEST_EPOCHS <= epochs <= _MOST_EPOCHS:
        return None
    name = "samples_seen" if seen < unique else "unique_samples"
    return (
        f"`samples_seen` is {seen} and `unique_samples` {unique}, that is {epochs:.2g} passes; if `{name}` "
        f"counts in millions, write {short}M"
    )


def _counts(run: Run, name: str) -> Iterator[int]:
    value = getattr(run, name)
    yield from value.values() if isinstance(value, Mapping) else (value,)
