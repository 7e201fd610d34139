import pytest

from thresher.errors import InputError
from thresher.train.recipe import Recipe
from thresher.train.schedule import (
    Branch,
    branches,
    filter_ratio,
    learning_rate,
    most_candidates,
    num_candidates,
    whole_steps,
)


def test_the_rate_rises_by_equal_steps_and_then_stays() -> None:
    rates = [learning_rate(step, 1.0, 4, None) for step in range(8)]
    assert rates == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]


def test_without_warm_up_the_rate_is_the_peak_at_once() -> None:
    assert learning_rate(0, 3e-4, 0, None) == 3e-4


def test_a_branch_comes_down_by_equal_steps_to_just_above_zero() -> None:
    branch = Branch(start=6, end=10)
    rates = [learning_rate(step, 1.0, 2, branch) for step in range(4, 10)]
    assert rates == pytest.approx([1, 1, 0.8, 0.6, 0.4, 0.2])


def test_a_branch_that_leaves_within_warm_up_goes_on_warming_up() -> None:
    branch = Branch(start=2, end=6)
    rates = [learning_rate(step, 1.0, 10, branch) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3 * 0.8, 0.4 * 0.6, 0.5 * 0.4, 0.6 * 0.2])


def test_branches_end_at_the_points_and_take_their_share_of_the_run() -> None:
    assert branches([640, 1280], 64, 0.2) == [Branch(start=8, end=10), Branch(start=16, end=20)]


def test_a_point_is_rounded_to_whole_steps_and_cools_down_for_at_least_one() -> None:
    assert branches([10, 100, 150], 64, 0.01) == [
        Branch(start=0, end=1),
        Branch(start=1, end=2),
        Branch(start=1, end=2),
    ]


def test_a_run_that_is_all_cool_down_starts_at_the_start() -> None:
    assert branches([640], 64, 1.0) == [Branch(start=0, end=10)]


def test_the_share_left_out_moves_from_one_value_to_the_other_and_no_further() -> None:
    recipe = Recipe(
        model="ViT-B-32",
        select="joint",
        batch_size=100,
        filter_ratio=0.8,
        filter_ratio_end=0.5,
        loss="siglip",
    )
    shares = [filter_ratio(recipe, seen, 1100) for seen in (0, 500, 1000, 1099, 1100)]
    assert shares == pytest.approx([0.8, 0.65, 0.5, 0.5, 0.0])


def test_only_a_step_that_selects_draws_more_than_its_batch() -> None:
    recipe = Recipe(model="ViT-B-32", select="joint", batch_size=100, filter_ratio=0.8, select_to=500)
    assert [num_candidates(recipe, step, 1100) for step in (0, 4, 5, 10)] == [500, 500, 100, 100]


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5])
@pytest.mark.parametrize("name", ["filter_ratio", "filter_ratio_end"])
def test_a_filter_ratio_leaves_something(name: str, ratio: float) -> None:
    recipe = Recipe(model="ViT-B-32", select="joint", **{name: ratio})
    with pytest.raises(InputError, match=r"is not in \[0, 1\)"):
        most_candidates(recipe)


@pytest.mark.parametrize("end", [300, 200])
def test_a_stretch_that_ends_where_it_begins_or_before_is_refused(end: int) -> None:
    recipe = Recipe(model="ViT-B-32", select="joint", select_from=300, select_to=end)
    with pytest.raises(InputError, match=f"select_to {end} is not above select_from 300"):
        most_candidates(recipe)


def test_numbers_in_the_message_count_whole_steps() -> None:
    """As many as training makes of a length, so that what is said beforehand is what is seen."""
    for samples in (1, 10, 32, 47, 49, 1000):
        (branch,) = branches([samples], 32, 0.2)
        assert whole_steps(samples, 32) == branch.end
    assert whole_steps(10, 32) == 1
