import numpy as np
import pytest

from tests.planning.laws.planted import parameters
from thresher.planning.laws.law import design, error
from thresher.planning.laws.registry import LAWS

BOUNDED = LAWS["bounded"]


def truth(**changed):
    return parameters(
        "bounded", **{"b": (-0.3, -0.1), "tau": (3.0, 5.0), "n0": 300, "num_unique": 1000, **changed}
    )


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("weights", [[1, 0], [0, 1], [0.2, 0.8]])
def test_before_any_sample_every_mix_has_the_known_error(replacement, weights):
    of = design([0.0, 1e-6], weights, [1000, 1000], replacement=replacement)
    np.testing.assert_allclose(error(BOUNDED, truth(start=0.999), of), 0.999, atol=1e-8)


def test_it_never_passes_its_floor_or_its_start():
    of = design(np.geomspace(1e-3, 1e12, 40), [0.5, 0.5], [1000, 1e12])
    predicted = error(BOUNDED, truth(start=0.97, d=0.2), of)
    assert (np.diff(predicted) < 1e-13).all()
    assert 0.2 < predicted.min() < predicted.max() < 0.97


def test_a_mix_is_the_integral_of_its_slope_step_by_step():
    made, weights, sizes = truth(), (0.3, 0.7), (400.0, 1500.0)
    n = np.linspace(0, 20_000, 1_000_001)
    middle, step = (n[1:] + n[:-1]) / 2, n[1] - n[0]
    slope = np.zeros(middle.size)
    for w, b, tau, size in zip(weights, made.worth_P, made.tau_P, sizes, strict=True):
        interval = size / w
        slope += w * b * 2.0 ** (-np.floor(middle / interval) / (tau * interval / 1000)) / (middle + 300)
    expected = 0.1 + 0.9 * np.exp(slope.sum() * step)
    found = error(BOUNDED, made, design(20_000, weights, sizes))
    assert found == pytest.approx(expected, abs=1e-7)


def test_well_past_the_onset_it_is_the_utility_law():
    made = truth(n0=1.0)
    utility = parameters("utility", b=(-0.3, -0.1), tau=(3.0, 5.0), n0=1.0, A=0.9, num_unique=1000)
    of = design([5e4, 1e5], [0.5, 0.5], [1000, 1000])
    np.testing.assert_allclose(error(BOUNDED, made, of), error(LAWS["utility"], utility, of), rtol=2e-3)
