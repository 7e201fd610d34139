"""Suggested runs as blocks: which one to make next, or that none is worth it, and the leading ones."""

from collections.abc import Iterator, Sequence

from thresher.display.blocks import Block, sentences, table, text_of
from thresher.plans.next_run import Suggestion, verdict
from thresher.plans.wording import gap_text

_SHOWN = 10
_HEADER = ("run", "regret falls by", "variance falls by", "costs", "worth it")


def suggestions_text(found: Sequence[Suggestion], *, loss: bool) -> str:
    """The verdict and the leading runs as text for a terminal."""
    return text_of(suggestions_blocks(found, loss=loss))


def suggestions_blocks(found: Sequence[Suggestion], *, loss: bool) -> list[Block]:
    """The verdict and the leading runs; costs are shares of the largest budget."""
    return [sentences(verdict(found, loss=loss)), table(_HEADER, _rows(found[:_SHOWN], loss))]


def _rows(found: Sequence[Suggestion], loss: bool) -> Iterator[tuple[str, ...]]:
    for suggestion in found:
        yield (
            suggestion.about,
            gap_text(suggestion.regret_fall, loss),
            f"{100 * suggestion.variance_fall:.0f}%",
            f"{100 * suggestion.cost_share:.2g}%",
            "yes" if suggestion.worth else "no",
        )
