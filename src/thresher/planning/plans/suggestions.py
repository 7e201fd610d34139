"""Suggested runs: which one to make next, or that none is worth it, as a result that shows itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from thresher.budget import epochs
from thresher.planning.plans.next_run import Suggestion, verdict
from thresher.tables import (
    Block,
    Columns,
    columns_of_rows,
    gap_text,
    html_of,
    percent,
    sentences,
    table,
    text_of,
    to_pandas,
    to_polars,
)

_SHOWN = 10
_HEADER = ("run", "regret falls by", "variance falls by", "costs", "worth it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """Runs that could be made next, the one that helps most for its cost first; a sequence of `Suggestion`.

    Attributes:
        budgets: Samples seen of the runs that are planned.
        loss: Whether the error is a loss.
    """

    runs: tuple[Suggestion, ...]
    budgets: tuple[int, ...]
    loss: bool

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, place: int) -> Suggestion:
        return self.runs[place]

    def __repr__(self) -> str:
        return f"<{len(self.runs)} suggested runs, first {self.runs[0].about}>"

    def __str__(self) -> str:
        return text_of(suggestions_blocks(self.runs, loss=self.loss))

    def _repr_html_(self) -> str:
        return html_of(suggestions_blocks(self.runs, loss=self.loss))

    def to_polars(self) -> Any:
        """The suggestions as a `polars.DataFrame`, one row a run."""
        return to_polars(table_of_suggestions(self.runs))

    def to_pandas(self) -> Any:
        """The suggestions as a `pandas.DataFrame`, one row a run."""
        return to_pandas(table_of_suggestions(self.runs))


def suggestions_blocks(found: Sequence[Suggestion], *, loss: bool) -> list[Block]:
    """The verdict and the leading runs; costs are shares of the largest budget."""
    rows = [
        (
            suggestion.about,
            gap_text(suggestion.regret_fall, loss),
            percent(suggestion.variance_fall, 0),
            percent(suggestion.cost_share),
            "yes" if suggestion.worth else "no",
        )
        for suggestion in found[:_SHOWN]
    ]
    return [sentences(verdict(found, loss=loss)), table(_HEADER, rows)]


def table_of_suggestions(found: Sequence[Suggestion]) -> Columns:
    """One row a run that could be made, in order."""
    header = (
        *("pools", "samples_seen", "unique_samples", "passes", "flops", "regret_fall", "variance_fall"),
        *("cost_share", "worth"),
    )
    rows = []
    for one in found:
        run, unique = one.candidate, sum(one.candidate.num_unique.values())
        passes = epochs(run.samples_seen, unique)
        rows.append(
            (
                *(" + ".join(run.weights), run.samples_seen, unique, passes, float(run.flops)),
                *(one.regret_fall, one.variance_fall, one.cost_share, one.worth),
            )
        )
    return columns_of_rows(header, rows)
