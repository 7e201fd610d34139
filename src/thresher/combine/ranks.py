"""Scores as shares: what part of all pairs a pair is better than.

Shapes: n pairs, k knots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

KNOTS = 1000

Values = npt.NDArray[np.floating]
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
        found: Shares = np.interp(values_n.astype(np.float64), self.values, self.shares)
        return found


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
