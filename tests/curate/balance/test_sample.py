import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.curate.balance.planted import planted_points
from thresher.curate.balance.balanced import draw_balanced, evenness, share_out
from thresher.curate.balance.points import Points
from thresher.curate.balance.tree import Tree, grow_tree
from thresher.errors import InputError


@pytest.fixture(scope="module")
def grown() -> tuple[Tree, Points]:
    points, _ = planted_points()
    return grow_tree(points, (150, 40, 10)), points


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.data())
def test_shares_are_exact_and_as_equal_as_can_be(most: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(most)))
    shares = share_out(np.array(most), total, np.random.default_rng(0))
    assert shares.sum() == total
    assert (shares <= most).all()
    open_shares = shares[shares < most]
    if len(open_shares):
        assert shares.max() <= open_shares.min() + 1


@pytest.mark.parametrize("size", [1, 7, 100, 2431, 4859, 4860])
def test_the_size_is_met_exactly_without_repeats(grown: tuple[Tree, Points], size: int) -> None:
    tree, points = grown
    drawn = draw_balanced(tree, points.words, size)
    assert drawn.sum() == size
    assert set(np.unique(drawn)) <= {0, 1}


@pytest.mark.parametrize("size", [1, 5000, 14_579, 14_580])
def test_with_repeats_none_is_drawn_more_often_than_allowed(grown: tuple[Tree, Points], size: int) -> None:
    tree, points = grown
    drawn = draw_balanced(tree, points.words, size, repeats=3)
    assert drawn.sum() == size
    assert drawn.max() <= 3
    for cluster in range(len(tree.sizes[0])):
        of_cluster = drawn[tree.labels == cluster]
        assert of_cluster.max() - of_cluster.min() <= 1


def test_branches_of_the_top_give_equally_until_they_are_used_up(grown: tuple[Tree, Points]) -> None:
    tree, points = grown
    top = tree.parents[1][tree.parents[0][tree.labels]]
    given_by = np.bincount(top, weights=draw_balanced(tree, points.words, 1000))
    used_up = given_by == tree.sizes[2]
    assert used_up.any()
    assert np.ptp(given_by[~used_up]) <= 1
    assert given_by[used_up].max() <= given_by[~used_up].min() + 1


def test_another_seed_draws_other_pairs(grown: tuple[Tree, Points]) -> None:
    tree, points = grown
    draws = [draw_balanced(tree, points.words, 500, seed=seed) for seed in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_a_size_above_the_pool_says_what_to_do(grown: tuple[Tree, Points]) -> None:
    tree, points = grown
    with pytest.raises(
        InputError, match="4861 is more than 4860 pairs drawn at most 1 times; lower the size"
    ):
        draw_balanced(tree, points.words, 4861)
    with pytest.raises(InputError, match="at least 1 of both"):
        draw_balanced(tree, points.words, 0)


def test_evenness_is_one_for_equal_shares_and_falls_with_the_tail() -> None:
    assert evenness(np.array([4, 4, 4])) == pytest.approx(1)
    assert 0 < evenness(np.array([100, 1, 1])) < evenness(np.array([10, 1, 1])) < 1
    assert evenness(np.array([3])) == 1
