import pytest

from thresher.train.schedule import Branch, branches, learning_rate


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
