import numpy as np
import pytest

from tests.planning.laws.planted import parameters
from thresher.planning.laws.law import design, error
from thresher.planning.laws.registry import LAWS

SATURATING = LAWS["saturating"]


def truth(**changed):
    fields = {"b": -0.25, "quality": (1.0, 0.4), "tau": (3.0, 5.0), "n0": 300, "num_unique": 1000}
    return parameters("saturating", **{**fields, **changed})


def pool_by_pool(made, n, weights, sizes):
    """arXiv 2605.12715: D = sum of q w n r_eff / r, with r passes over each pool."""
    shared = {name: float(value) for name, value in made.shared.items()}
    data, wasted = 0.0, 0.0
    for w, q, tau, size, reference in zip(
        weights, made.worth_P, made.tau_P, sizes, made.num_unique_P, strict=True
    ):
        if w > 0:
            r = w * n / size
            R = tau * (size / w / reference) ** shared["gamma"] / np.log(2)
            r_eff = r if r <= 1 else 1 + R * (1 - np.exp(-(r - 1) / R))
            data += q * w * n * r_eff / r
            wasted += w * np.log(r / r_eff)
    fall = (1 + data / shared["n0"]) ** shared["b"] * np.exp(shared["harm"] * wasted)
    return shared["d"] + (shared["start"] - shared["d"]) * fall


@pytest.mark.parametrize("gamma", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("weights", [(1, 0), (0, 1), (0.3, 0.7), (0.9, 0.1)])
def test_it_is_the_published_sum_over_pools(gamma, weights):
    made, sizes = truth(gamma=gamma), (400.0, 2000.0)
    for n in (50.0, 390.0, 1000.0, 1e4, 3e5):
        found = error(SATURATING, made, design(n, weights, sizes))
        assert found == pytest.approx(pool_by_pool(made, n, weights, sizes), rel=1e-12)


def test_before_any_sample_every_mix_has_the_known_error():
    of = design([1e-6, 1e-9], [0.5, 0.5], [1000, 1000])
    np.testing.assert_allclose(error(SATURATING, truth(start=0.99), of), 0.99, rtol=1e-8)


def test_noise_costs_its_share_of_the_samples_and_nothing_more():
    made = truth(quality=(1.0, 1e-15), tau=(3.0, 1e9))
    mixed = error(SATURATING, made, design(10_000, [0.5, 0.5], [1e5, 1e9]))
    alone = error(SATURATING, made, design(5_000, [1.0, 0.0], [1e5, 1e9]))
    assert mixed == pytest.approx(float(alone), rel=1e-12)


def test_noise_spoils_what_others_teach_where_pools_mix_as_a_geometric_mean():
    weights, sizes = [0.5, 0.5], [1e9, 1e9]
    of = design(10_000, weights, sizes)
    errors = [
        float(error(SATURATING, truth(quality=(1.0, 0.01), tau=(1e9, 1e9), mixing=mixing), of))
        for mixing in (1.0, 0.5, 0.05)
    ]
    geometric = error(SATURATING, truth(quality=(0.1, 0.1), tau=(1e9, 1e9)), of)
    assert errors[0] < errors[1] < errors[2] < float(geometric)
    assert errors[2] == pytest.approx(float(geometric), rel=0.04)


def test_quality_moves_a_curve_along_the_samples():
    made, n = truth(), np.geomspace(50, 900, 6)
    good = error(SATURATING, made, design(0.4 * n, [1, 0], [1e4, 1e4]))
    np.testing.assert_allclose(error(SATURATING, made, design(n, [0, 1], [1e4, 1e4])), good, rtol=1e-13)


def test_harm_turns_the_error_up_once_repeats_are_wasted():
    n = np.arange(1000.0, 200_000.0, 1000.0)
    of = design(n, [1.0, 0.0], [1000, 1000])
    harmless, harmful = (error(SATURATING, truth(harm=harm), of) for harm in (0.0, 0.1))
    assert (np.diff(harmless) < 1e-13).all()
    least = int(harmful.argmin())
    assert 3 < least < 100
    assert (np.diff(harmful)[:least] < 0).all()
    assert (np.diff(harmful)[least:] > 0).all()
