"""What a reader finds in a source: one measurement, as far as the source tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thresher.importers.metric import Metric

FIELDS = (
    *("pool", "weights", "unique_samples", "pool_samples", "samples_seen", "run", "role", "seed"),
    *("recipe", "model", "params", "flops", "final", "replacement"),
)
"""Fields of a run that a column may hold or a person may supply."""

COUNTED = ("step", "epoch")
"""What a column may hold in place of `samples_seen`, where the samples of one are known."""

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One measurement.

    Attributes:
        place: Where it stands, such as "export.csv, row 3".
        record: Fields of a run under their names in the ledger (`error` and `metric` always), and perhaps
            `step` or `epoch`.
        lacks: Field to a sentence that says why the source does not tell it.
    """

    place: str
    record: Mapping[str, Any]
    lacks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for in the sources.

    Attributes:
        metrics: What becomes the error; the first that a row has.
        metric_name: Its name in the ledger, where it is to have another.
        columns: Field of the ledger to the column that holds it.
        where: Conditions `COLUMN=VALUE` or `COLUMN!=VALUE` on the rows of a table.
        average_over: Column of the task names; the errors of one run are averaged over its tasks.
        all_points: Every measurement of a run, not only its last.
        samples_per_epoch: Length of an epoch, where the source does not tell it.
    """

    metrics: tuple[Metric, ...] = ()
    metric_name: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Sequence[str] = ()
    average_over: str | None = None
    all_points: bool = False
    samples_per_epoch: int | None = None


def printable(name: str) -> str:
    """A name from a source without control characters and at most 200 long, fit for a terminal."""
    return "".join(mark if mark.isprintable() else "?" for mark in name.strip())[:_LONGEST_NAME]
