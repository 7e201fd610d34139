"""Ranks as shares, and their form that can be kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thresher.scores.combine.rank_shares import quantiles, rank_shares


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_a_share_counts_the_pairs_below_and_half_of_those_that_tie(values: list[int]) -> None:
    scores = np.array(values, dtype=np.float32)
    slow = [(np.sum(scores < score) + np.sum(scores == score) / 2) / len(scores) for score in scores]
    np.testing.assert_allclose(rank_shares(scores), slow)
    np.testing.assert_allclose(quantiles(scores).shares_of(scores), slow)


def test_few_knots_keep_the_shares_of_many_values() -> None:
    scores = np.random.default_rng(0).standard_cauchy(20_000).astype(np.float32)
    kept = quantiles(scores, knots=500)
    assert len(kept.values) == 500
    assert np.abs(kept.shares_of(scores) - rank_shares(scores)).max() < 0.005


def test_values_that_were_never_seen_lie_between_their_neighbours_or_at_the_ends() -> None:
    kept = quantiles(np.array([1, 2, 2, 3], dtype=np.float32))
    assert kept.shares_of(np.array([0.0, 1.5, 9.0], dtype=np.float32)).tolist() == [0.125, 0.3125, 0.875]
