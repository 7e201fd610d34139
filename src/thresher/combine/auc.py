"""How well a score tells good pairs from bad ones: AUC, with its standard error when pairs share an image.

Shapes: n pairs, G groups.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Auc:
    """Chance that a good pair scores above a bad one, ties counted half.

    Attributes:
        value: From 0 to 1, .5 for chance.
        standard_error: Of `value`, groups taken as drawn independently.
        parts_G: What each group adds to the difference between this sample's value and the true one.
    """

    value: float
    standard_error: float
    parts_G: npt.NDArray[np.float64]


def auc(
    scores_n: npt.NDArray[np.floating], good_n: npt.NDArray[np.bool_], groups_n: npt.NDArray[np.int64]
) -> Auc:
    """The AUC of scores, with a standard error that takes the pairs of a group for one draw.

    Each pair's placement (share of the pairs of the other kind that it is on the right side of) is summed by
    group, as in Obuchowski, Biometrics 53 (1997) 567; with a pair a group it is DeLong's error.

    Args:
        scores_n: Higher is better.
        good_n: Which pairs are good.
        groups_n: Group of each pair, 0 to G - 1.

    Raises:
        InputError: there are no good pairs, or no bad ones.
    """
    num_good = int(good_n.sum())
    num_bad = len(good_n) - num_good
    if not num_good or not num_bad:
        raise InputError(
            f"{num_good} good and {num_bad} bad pairs are labelled; an AUC compares some of both kinds"
        )
    placed_n = np.where(good_n, _above(scores_n, scores_n[~good_n]), 1 - _above(scores_n, scores_n[good_n]))
    value = float(placed_n[good_n].mean())
    shares_n = (placed_n - value) / np.where(good_n, num_good, num_bad)
    parts_G: npt.NDArray[np.float64] = np.bincount(groups_n, weights=shares_n).astype(np.float64)
    return Auc(value, _spread(parts_G), parts_G)


def gain(one: Auc, other: Auc) -> tuple[float, float]:
    """Difference of two AUCs over the same pairs, first minus second, and its standard error."""
    return one.value - other.value, _spread(one.parts_G - other.parts_G)


def _above(scores_n: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Share of the others below each score, ties counted half."""
    rising = np.sort(others)
    below, not_above = (np.searchsorted(rising, scores_n, side=side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(rising))


def _spread(parts_G: npt.NDArray[np.float64]) -> float:
    count = len(parts_G)
    return float(np.sqrt(np.square(parts_G).sum() * count / max(count - 1, 1)))
