"""Scores by rank: what part of all pairs a pair is better than, and how well that tells good pairs from bad.

The latter is the AUC, with its standard error where pairs share an image. Shapes: n pairs, k knots, G groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from thresher.errors import InputError

KNOTS = 1000

Shares = npt.NDArray[np.float64]


def rank_shares(values_n: npt.NDArray[np.float32]) -> Shares:
    """Share of the pairs below each, those that tie counted half, float64 [n] in (0, 1).

    >>> rank_shares(np.array([0.1, 0.3, 0.3, 0.2], dtype=np.float32)).tolist()
    [0.125, 0.75, 0.75, 0.375]
    """
    order = np.argsort(values_n, kind="stable")
    rising = values_n[order]
    first = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
    counts = np.diff(np.append(first, len(rising)))
    shares = np.empty(len(values_n))
    shares[order] = np.repeat((first + counts / 2) / max(len(values_n), 1), counts)
    return shares


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Some rising values of a column, and the share of pairs below each; shares between them are straight.

    With these a model that learned from ranks in one table can be applied to another one, or to one pair.
    """

    values: tuple[float, ...]
    shares: tuple[float, ...]

    def shares_of(self, values_n: npt.NDArray[np.floating]) -> Shares:
        """Share of the pairs below each, float64 [n]; beyond the ends that of the end."""
        return np.interp(values_n.astype(np.float64), self.values, self.shares)


def quantiles(values_n: npt.NDArray[np.float32], knots: int = KNOTS) -> Quantiles:
    """Quantiles of a column without NaN; every value of a column of few different ones is a knot."""
    shares_n = rank_shares(values_n)
    different, places = np.unique(values_n, return_index=True)
    if len(different) > knots:
        chosen = np.unique(np.round(np.linspace(0, len(different) - 1, knots)).astype(np.int64))
        different, places = different[chosen], places[chosen]
    return Quantiles(tuple(different.astype(np.float64).tolist()), tuple(shares_n[places].tolist()))


def normal_scores(shares_n: Shares) -> Shares:
    """Where in a normal distribution a share lies: 0 for the middle, 1.64 for the best 5%.

    >>> normal_scores(np.array([0.5, 0.95])).round(2).tolist()
    [0.0, 1.64]
    """
    found: Shares = ndtri(shares_n)
    return found


def columns_of(values_nC: npt.NDArray[np.float32]) -> Sequence[npt.NDArray[np.float32]]:
    """The columns of a table of scores, each contiguous."""
    return list(np.ascontiguousarray(values_nC.T))


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
