"""What a run that is yet to be made would save."""

import numpy as np
import pytest

from thresher.planning.plans.reduction import expected_reduction


def test_a_run_that_tells_the_winner_saves_the_whole_regret_and_one_drowned_in_noise_none():
    winner_S = np.tile([0.0, 0.0, 1.0, 0.0, 0.0], 8)  # the second mix is better in one draw of five
    target_SC = np.stack([np.full(40, 0.5), np.where(winner_S > 0, 0.45, 0.55)], axis=1)
    regret = 0.05 / 5
    told = expected_reduction(target_SC[None], target_SC[:, [1]], 1e-6)
    assert told == pytest.approx((1.0, regret), rel=1e-6)
    assert expected_reduction(target_SC[None], target_SC[:, [1]], 1e6) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert expected_reduction(target_SC[None], np.empty((40, 0)), 0.01) == (0.0, 0.0)
