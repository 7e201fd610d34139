"""Which laws, where a table holds models of many sizes: the runs that repeat most, held out and predicted.

There the longest runs are those of the largest model, which say nothing about another one, and what a plan
wants to know is what more passes do. So the quarter of the settings that repeat most is held out. Errors on
them are of all kinds, and laws that are near copies of each other would outvote one that differs; so laws are
not weighed by how likely each is, but get the shares with which they predict the held-out runs best together
(stacking, arXiv 1704.02030): a copy adds nothing to a share, and two laws that err on opposite sides stand
half and half. Axes: H runs that were held out, L laws.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from thresher.planning.laws.law import Floats
from thresher.planning.runs.record import Run, mix_unique, mix_weights

_HELD_SHARE = 0.25
_ENOUGH_SETTINGS = 10
"""Settings that must be held out: shares of seven laws are not told by fewer."""
_SUM_TO_ONE = 1e4
"""Weight of the row that makes shares sum to one, against rows of relative errors."""


def most_repeated(runs: Sequence[Run]) -> tuple[list[Run], list[Run]] | None:
    """The runs that repeat less, and the quarter of the settings that repeats most.

    None where the models are all of one size, or where fewer than ten settings would be held out: then the
    longest runs are held out instead (`choice.py`).
    """
    if len({run.params for run in runs} - {None}) < 2:
        return None
    settings = {_setting(run): _passes(run) for run in runs}
    cut = float(np.quantile(list(settings.values()), 1 - _HELD_SHARE))
    if cut <= 1 or sum(passes > cut for passes in settings.values()) < _ENOUGH_SETTINGS:
        return None
    return [run for run in runs if _passes(run) <= cut], [run for run in runs if _passes(run) > cut]


def stacked(ratio_of_law: Mapping[str, Floats], held: Sequence[Run]) -> dict[str, float]:
    """Shares that sum to 1, by name, with which laws together lie least off the held-out runs.

    Least squares of the relative error, seeds of one setting counted as one run.

    Args:
        ratio_of_law: Predicted over measured error of each held-out run, [H], by the name of the law.
        held: Those runs.
    """
    from scipy.optimize import nnls

    names = list(ratio_of_law)
    settings = [_setting(run) for run in held]
    weight_H = np.sqrt([1 / settings.count(setting) for setting in settings])
    ratio_HL = np.array([ratio_of_law[name] for name in names]).T
    rows = np.vstack([weight_H[:, None] * ratio_HL, np.full(len(names), _SUM_TO_ONE)])
    share_L, _ = nnls(rows, np.append(weight_H, _SUM_TO_ONE))
    return {name: float(share) for name, share in zip(names, share_L / share_L.sum(), strict=True)}


def _setting(run: Run) -> tuple[object, ...]:
    mix = tuple(sorted(mix_weights(run).items()))
    return mix, tuple(sorted(mix_unique(run).items())), run.samples_seen, run.params


def _passes(run: Run) -> float:
    """Over the pool that the run repeats most."""
    unique = mix_unique(run)
    return max(run.samples_seen * weight / unique[pool] for pool, weight in mix_weights(run).items())
