"""A mixture table: runs that differ in the shares of domains, and perhaps in size, with many losses each.

Nothing in such a table repeats: every run draws fresh samples of each domain.

Axes: R runs, D domains, M losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureTable:
    """Finished runs of a mixture table.

    Attributes:
        runs: Name of each run [R].
        domains: Names of the domains [D].
        metrics: Names of the losses [M].
        shares: Share of each domain in each run [R, D]; rows sum to 1.
        losses: What the runs gave [R, M]; positive.
        sizes: Parameters of each run's model [R]; None where the table does not tell.
        notes: Sentences on what was left out.
    """

    runs: tuple[str, ...]
    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    shares: Floats
    losses: Floats
    sizes: Floats | None = None
    notes: tuple[str, ...] = ()

    @property
    def covariates(self) -> Floats | None:
        """Logarithm of each run's size [R, 1]; None where sizes are unknown or all the same."""
        if self.sizes is None or np.ptp(self.sizes) == 0:
            return None
        return np.log(self.sizes)[:, None]


def stacked(tables: Sequence[MixtureTable]) -> MixtureTable:
    """One table of several, such as one for each size.

    Raises:
        InputError: a table has other domains or losses than the first, or only some tell their sizes.
    """
    first = tables[0]
    for table in tables[1:]:
        for kind, here, there in (
            ("domain", table.domains, first.domains),
            ("loss", table.metrics, first.metrics),
        ):
            odd = sorted(set(here) ^ set(there))
            if odd:
                raise InputError(f"not all tables have the {kind} {odd[0]!r}; leave it out of the others")
        if (table.sizes is None) != (first.sizes is None):
            raise InputError("only some of the tables tell the size of their models; say it for each")
    return MixtureTable(
        runs=tuple(run for table in tables for run in table.runs),
        domains=first.domains,
        metrics=first.metrics,
        shares=np.concatenate([table.shares[:, _order(table.domains, first.domains)] for table in tables]),
        losses=np.concatenate([table.losses[:, _order(table.metrics, first.metrics)] for table in tables]),
        sizes=None
        if first.sizes is None
        else np.concatenate([table.sizes for table in tables if table.sizes is not None]),
        notes=tuple(note for table in tables for note in table.notes),
    )


def _order(names: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    return [names.index(name) for name in wanted]
