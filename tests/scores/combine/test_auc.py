"""The AUC, and how far it may be off."""

import numpy as np
import pytest

from thresher.errors import InputError
from thresher.scores.combine.rank_shares import auc, gain


def alone(count: int) -> np.ndarray:
    return np.arange(count)


def test_it_counts_the_pairs_of_pairs_that_are_in_order() -> None:
    draw = np.random.default_rng(0)
    scores, good = draw.integers(0, 9, 60).astype(np.float32), draw.random(60) < 0.4
    wins = [float(a > b) + 0.5 * float(a == b) for a in scores[good] for b in scores[~good]]
    assert auc(scores, good, alone(60)).value == pytest.approx(np.mean(wins))


def test_a_score_that_is_right_or_constant_or_wrong() -> None:
    good = np.array([True, True, False, False])
    for scores, value in (([4, 3, 2, 1], 1.0), ([1, 1, 1, 1], 0.5), ([1, 2, 3, 4], 0.0)):
        assert auc(np.array(scores, dtype=np.float32), good, alone(4)).value == value


def sample(draw: np.random.Generator, groups: int, of_group: float) -> tuple[np.ndarray, ...]:
    """Six pairs a group, three good; what they have in common moves the scores of a group together."""
    number = np.repeat(np.arange(groups), 6)
    good = np.tile([True, True, True, False, False, False], groups)
    turn = draw.choice([-1.0, 1.0], groups)[number]  # in some groups scores mean the opposite
    scores = of_group * turn * np.where(good, 1.0, -1.0) + 0.5 * good + draw.standard_normal(len(number))
    return scores, good, number


@pytest.mark.parametrize("of_group", [0.0, 0.5])
def test_its_standard_error_is_how_much_it_differs_from_sample_to_sample(of_group: float) -> None:
    draw = np.random.default_rng(1)
    found = [auc(*sample(draw, 60, of_group)) for _ in range(300)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.1)


def test_a_gain_over_the_same_pairs_is_surer_than_both() -> None:
    draw = np.random.default_rng(2)
    scores, good, number = sample(draw, 200, 0.0)
    better = scores + 0.3 * good
    one, other = auc(better, good, number), auc(scores, good, number)
    difference, error = gain(one, other)
    assert difference == pytest.approx(one.value - other.value)
    assert 0 < error < 0.5 * min(one.standard_error, other.standard_error)
    assert gain(one, one) == (0.0, 0.0)


def test_one_kind_alone_has_no_auc() -> None:
    with pytest.raises(InputError, match="3 good and 0 bad pairs"):
        auc(np.arange(3.0), np.ones(3, dtype=bool), alone(3))
