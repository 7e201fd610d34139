"""Searching subsets where there are too many of them to compare all.

Subsets are grown pool by pool, in the order that helps most and in the order of the best free weights; the
best one is then changed by one pool, or by one pool for another, as long as that helps. Axes: N subsets, P
pools.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from thresher.laws.law import Floats
from thresher.plans.mixes import uniform_weights

Members = NDArray[np.bool_]
_MOST_CHANGES = 30


def search_subsets(
    mean_errors: Callable[[Floats], Floats], size_P: Floats, weights_P: Floats, *, kept: int
) -> Members:
    """The best subsets that were met, [N, P], best first; at most `kept`.

    Args:
        mean_errors: Weights [N, P] to errors [N].
        size_P: Samples in each pool.
        weights_P: The best free weights: pools are tried in the order of how densely these draw on them.
        kept: How many to return.
    """
    met: dict[bytes, float] = {}

    def visit(member_NP: Members) -> Floats:
        known = [row.tobytes() for row in member_NP]
        fresh = {key: place for place, key in enumerate(known) if key not in met}
        if fresh:
            values = mean_errors(uniform_weights(member_NP[list(fresh.values())], size_P))
            met.update(zip(fresh, values.tolist(), strict=True))
        return np.array([met[key] for key in known])

    order_P = np.argsort(-weights_P / size_P, kind="stable")
    by_density_PP = np.zeros((len(size_P), len(size_P)), bool)
    for count in range(len(size_P)):
        by_density_PP[count:, order_P[count]] = True
    visit(np.concatenate([by_density_PP, np.tril(np.ones_like(by_density_PP))]))
    _grow(visit, len(size_P))
    start = np.frombuffer(min(met, key=lambda key: met[key]), bool)
    _improve(visit, start)
    best = sorted(met, key=lambda key: met[key])[:kept]
    return np.array([np.frombuffer(key, bool) for key in best])


def _grow(visit: Callable[[Members], Floats], pools: int) -> None:
    """Add the pool that helps most, until all are in."""
    member_P = np.zeros(pools, bool)
    for _ in range(pools):
        grown = member_P | np.eye(pools, dtype=bool)[~member_P]
        member_P = grown[visit(grown).argmin()]


def _improve(visit: Callable[[Members], Floats], member_P: Members) -> None:
    """Put in, take out or exchange a pool as long as that helps."""
    value = visit(member_P[None])[0]
    for _ in range(_MOST_CHANGES):
        changed = _neighbours(member_P)
        value_N = visit(changed)
        if value_N.min() >= value:
            return
        value, member_P = value_N.min(), changed[value_N.argmin()]


def _neighbours(member_P: Members) -> Members:
    one = np.eye(member_P.size, dtype=bool)
    flipped = member_P ^ one
    swapped = [
        member_P ^ one[i] ^ one[j] for i in np.flatnonzero(member_P) for j in np.flatnonzero(~member_P)
    ]
    found = np.array([*flipped, *swapped])
    return np.asarray(found[found.any(1)])
