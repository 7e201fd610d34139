import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import InputError
from thresher.planning.plans.mixes import (
    all_mixes,
    is_simple,
    mix_name,
    mix_pools,
    mix_weights,
    rounded,
    with_weights,
)

SIZES = {"a": 10, "b": 30, "c": 60}


def test_every_subset_is_there_once_drawn_uniformly_over_its_samples() -> None:
    mixes = all_mixes(list(SIZES), SIZES)
    found = [mix_pools(mixes, place) for place in range(len(mixes.weights_CP))]
    assert sorted(found) == sorted(c for size in (1, 2, 3) for c in itertools.combinations("abc", size))
    whole = found.index(("a", "b", "c"))
    assert mix_weights(mixes, whole) == pytest.approx({"a": 0.1, "b": 0.3, "c": 0.6})


def test_an_empty_pool_is_in_no_subset() -> None:
    mixes = all_mixes(["a", "b"], {"a": 0, "b": 5})
    assert [mix_name(mixes, place) for place in range(len(mixes.weights_CP))] == ["b"]
    with pytest.raises(InputError, match="every pool is empty"):
        all_mixes(["a"], {"a": 0})


def test_the_subsets_of_thirteen_pools_are_not_listed() -> None:
    names = [f"p{number}" for number in range(13)]
    with pytest.raises(InputError, match="13 pools have 8191 subsets"):
        all_mixes(names, dict.fromkeys(names, 5))


def test_free_weights_stand_in_the_name() -> None:
    mixes = with_weights(all_mixes(list(SIZES), SIZES), np.array([[0.625, 0.375, 0.0]]))
    last = len(mixes.weights_CP) - 1
    assert mix_name(mixes, last) == "0.625 x a + 0.375 x b"
    assert mix_pools(mixes, last) == ("a", "b")


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12))
def test_rounded_weights_sum_to_one_and_stay_near(weights: list[float]) -> None:
    exact_P = np.array(weights) / sum(weights)
    near_P = rounded(exact_P)
    assert near_P.sum() == pytest.approx(1.0, abs=1e-12)
    assert (near_P >= 0).all()
    assert np.abs(near_P - exact_P).max() < 1e-3 + 1e-12


def test_single_and_nested_mixes_are_simple() -> None:
    simple = [
        is_simple(np.array(row), [0, 1, 2]) for row in ([0, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1], [0, 1, 1])
    ]
    assert simple == [True, True, True, False, False]
