"""Which runs a fit takes, whether they are enough, and which parameters are held."""

from collections.abc import Mapping, Sequence

import numpy as np

from thresher.budget import format_count
from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.law import Law, shared_names
from thresher.laws.layout import layout_of
from thresher.laws.limits import hold
from thresher.runs import Run, mix_weights

_LENGTHS_ALONE = 3


def held_of(law: Law, fixed: Mapping[str, float]) -> dict[str, float]:
    """What of `fixed` this law has."""
    return {name: value for name, value in fixed.items() if name in shared_names(law, sized=True)}


def check_held(fixed: Mapping[str, float], names: Sequence[str], least_error: float) -> None:
    """Refuse a parameter that none of these laws has, or a value that one of them cannot take."""
    known = dict.fromkeys(held for name in names for held in shared_names(LAWS[name], sized=True))
    for held in fixed:
        if held not in known:
            raise InputError(f"cannot hold {held!r}; one of {', '.join(known)} can be held")
    for name in names:
        layout = layout_of(LAWS[name], (), sized=True)
        free_X = np.ones(layout.size, bool)
        hold(held_of(LAWS[name], fixed), layout, np.zeros(layout.size), free_X, least_error)


def comparable(runs: Sequence[Run], **wanted: str | None) -> list[Run]:
    """Runs of one metric, recipe and model, roles "fit" and "check"; refuses to mix them."""
    used = [run for run in runs if run.role in ("fit", "check")]
    for name, value in wanted.items():
        found = sorted({str(getattr(run, name)) for run in used if getattr(run, name) is not None})
        if value is not None:
            used = [run for run in used if getattr(run, name) == value]
            if not used:
                raise InputError(
                    f"no run has the {name} {value!r}; the runs have {', '.join(found) or 'none'}"
                )
        elif len(found) > 1:
            raise InputError(
                f"the runs mix {len(found)} {name}s ({', '.join(found)}), which one law cannot describe; "
                f"choose one with {name}={found[0]!r}"
            )
    return used


def check_lengths(runs: Sequence[Run], pools: Sequence[str]) -> None:
    """A pool needs runs of two lengths, a pool that is alone runs of four.

    Raises:
        InputError: naming the pool and the run that would help.
    """
    for pool in pools:
        lengths = sorted({run.samples_seen for run in runs if pool in mix_weights(run)})
        if len(lengths) == 1:
            raise InputError(
                f"pool {pool!r} has runs of one length ({format_count(lengths[0])} samples seen), and a law "
                f"needs two; add a run on it of another length, such as {format_count(4 * lengths[0])}, or "
                f"leave it out"
            )
        if len(pools) == 1 and len(lengths) < _LENGTHS_ALONE:
            raise InputError(
                f"all {len(runs)} runs are on pool {pool!r}, which has to identify the law alone; add runs "
                f"of {_LENGTHS_ALONE} lengths on it, or runs on a second pool"
            )


def ordered_pools(runs: Sequence[Run], pool_order: Sequence[str] | None) -> list[str]:
    """Pools of the runs in the given order, those that it leaves out last."""
    seen = list(dict.fromkeys(pool for run in runs for pool in mix_weights(run)))
    if pool_order is None:
        return seen
    return [pool for pool in pool_order if pool in seen] + [pool for pool in seen if pool not in pool_order]
