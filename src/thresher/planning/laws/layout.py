"""Coordinates of a fit: every free or held parameter of a law as one vector; and runs as a design.

First the shared parameters, then the worth and then the half-life of each pool, then what of `OWN` each pool
has of its own; those that must stay positive as natural logs. Axes: P pools, X = S + 2P + OP coordinates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from thresher.errors import InputError
from thresher.planning.laws.law import (
    LOGARITHMIC,
    OWN,
    Design,
    Floats,
    Law,
    Parameters,
    design,
    shared_names,
)
from thresher.planning.runs.record import Run, mix_unique, mix_weights


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each parameter stands in the vector."""

    shared: tuple[str, ...]
    worth: str
    pools: tuple[str, ...]
    own: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of coordinates X."""
        return len(self.shared) + (2 + len(self.own)) * len(self.pools)

    @cached_property
    def worths(self) -> slice:
        """The worth of each pool."""
        return slice(len(self.shared), len(self.shared) + len(self.pools))

    @cached_property
    def half_lives(self) -> slice:
        """The half-life of each pool."""
        return slice(self.worths.stop, self.worths.stop + len(self.pools))

    @cached_property
    def owned(self) -> dict[str, slice]:
        """By name, what each pool has of its own in place of a shared parameter."""
        first, count = self.half_lives.stop, len(self.pools)
        return {
            name: slice(first + number * count, first + (number + 1) * count)
            for number, name in enumerate(self.own)
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all coordinates: "d", "b:0-10%", "tau:0-10%", "d:0-10%"."""
        pools = (f"{kind}:{pool}" for kind in (self.worth, "tau", *self.own) for pool in self.pools)
        return (*self.shared, *pools)

    @cached_property
    def logs(self) -> NDArray[np.bool_]:
        """Which coordinates are logs, [X]."""
        kinds = [*self.shared]
        for kind in (self.worth, "tau", *self.own):
            kinds += [kind] * len(self.pools)
        return np.array([kind in LOGARITHMIC for kind in kinds])

    @cached_property
    def shared_places(self) -> dict[str, int]:
        """Place of each shared parameter by name."""
        return {name: place for place, name in enumerate(self.shared)}

    def place(self, name: str) -> int:
        """Place of a shared parameter."""
        return self.shared.index(name)


def layout_of(
    law: Law, pools: Sequence[str], *, sized: bool, crowded: bool = False, own: Sequence[str] = ()
) -> Layout:
    """The layout of a law for these pools, which have their own of what `own` names and the law has."""
    return Layout(
        shared=shared_names(law, sized=sized, crowded=crowded),
        worth=law.worth,
        pools=tuple(pools),
        own=tuple(name for name in OWN if name in own and name in law.shared),
    )


def to_natural(layout: Layout, coordinates: Floats) -> Floats:
    """Coordinates [..., X] with the logs taken back."""
    natural = np.array(coordinates)
    return np.exp(natural, out=natural, where=layout.logs)


def to_parameters(
    layout: Layout, natural: Floats, num_unique_P: Floats, num_params: float | None
) -> Parameters:
    """Natural values [..., X] as the parameters of a law; leading axes stay."""
    return Parameters(
        shared={name: natural[..., place] for place, name in enumerate(layout.shared)},
        worth_P=natural[..., layout.worths],
        tau_P=natural[..., layout.half_lives],
        num_unique_P=num_unique_P,
        num_params=num_params,
        own={name: natural[..., block] for name, block in layout.owned.items()},
    )


def pool_values(layout: Layout, natural_X: Floats, pool: int) -> Iterator[tuple[str, int, float]]:
    """Name, place and value of what one pool has of its own."""
    blocks = {layout.worth: layout.worths, "tau": layout.half_lives, **layout.owned}
    for kind, block in blocks.items():
        place = block.start + pool
        yield kind, place, float(natural_X[place])


def design_of(runs: Sequence[Run], pools: Sequence[str], *, sized: bool) -> Design:
    """What the runs train on, leading axis R; a pool that a run leaves out has 1 sample.

    Raises:
        InputError: naming a pool of a run that is not among `pools`, or a run without the size of its model.
    """
    column = {pool: number for number, pool in enumerate(pools)}
    weights_RP, unique_RP = np.zeros((len(runs), len(pools))), np.ones((len(runs), len(pools)))
    for row, run in enumerate(runs):
        unique = mix_unique(run)
        for pool, weight in mix_weights(run).items():
            if pool not in column:
                raise InputError(f"no law for pool {pool!r}; the fit has {', '.join(pools)}")
            weights_RP[row, column[pool]], unique_RP[row, column[pool]] = weight, unique[pool]
        if sized and run.params is None:
            raise InputError(
                f"run {run.run or row + 1} does not say how many parameters its model has (`params`); "
                f"other runs do, say it for all"
            )
    return design(
        [run.samples_seen for run in runs],
        weights_RP,
        unique_RP,
        num_params=[float(run.params or 0) for run in runs] if sized else None,
        replacement=[bool(run.replacement) for run in runs],
    )
