import dataclasses

import pytest

from thresher.train.recipe import Recipe
from thresher.train.schedule import filter_ratio, most_candidates, num_candidates

RECIPE = Recipe(model="ViT-B-32", batch_size=32, select="joint", filter_ratio=0.9)
END = 32 * 100


def test_uniform_batches_have_no_candidates_beside_them() -> None:
    recipe = dataclasses.replace(RECIPE, select="uniform")
    assert filter_ratio(recipe, 0, END) == 0
    assert num_candidates(recipe, 0, END) == most_candidates(recipe) == 32


@pytest.mark.parametrize(("ratio", "count"), [(0.0, 32), (0.5, 64), (0.8, 160), (0.9, 320), (0.95, 640)])
def test_a_batch_is_what_the_ratio_leaves_of_the_candidates(ratio: float, count: int) -> None:
    recipe = dataclasses.replace(RECIPE, filter_ratio=ratio)
    assert num_candidates(recipe, 7, END) == most_candidates(recipe) == count


def test_candidates_divide_by_the_processes() -> None:
    recipe = dataclasses.replace(RECIPE, filter_ratio=0.7)
    assert num_candidates(recipe, 0, END) == 107
    assert num_candidates(recipe, 0, END, 4) == most_candidates(recipe, 4) == 108


def test_the_ratio_reaches_its_end_at_the_last_selected_step() -> None:
    recipe = dataclasses.replace(RECIPE, filter_ratio_end=0.5, select_from=320, select_to=640)
    ratios = [filter_ratio(recipe, 32 * step, END) for step in range(9, 21)]
    assert ratios[0] == ratios[-1] == 0
    assert (ratios[1], ratios[-2]) == (pytest.approx(0.9), pytest.approx(0.5))
    assert sorted(ratios[1:-1], reverse=True) == ratios[1:-1]


def test_a_rising_ratio_ends_with_the_largest_super_batch() -> None:
    recipe = dataclasses.replace(RECIPE, filter_ratio=0.5, filter_ratio_end=0.8)
    assert num_candidates(recipe, 99, END) == most_candidates(recipe) == 160


def test_a_ratio_whose_end_lies_beyond_the_run_moves_to_the_end_of_the_run() -> None:
    recipe = dataclasses.replace(RECIPE, filter_ratio_end=0.5, select_to=10 * END)
    assert filter_ratio(recipe, END - 32, END) == pytest.approx(0.5)
