from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters
from thresher.errors import InputError
from thresher.planning.laws.law import Parameters, design, error, error_with_jacobian
from thresher.planning.laws.layout import Layout, layout_of, to_natural, to_parameters
from thresher.planning.laws.registry import LAWS

POOLS = ("a", "b", "c")
SIZES = (500.0, 800.0, 300.0)
REPEATING = [name for name, law in LAWS.items() if law.has_half_life]


def example(
    name: str, *, n0: float = 300.0, sized: bool = False, mixing: float | None = None, **changed
) -> Parameters:
    """Three pools, everything in it different from everything else."""
    own = {"b": (-0.3, -0.1, -0.02)} if LAWS[name].worth == "b" else {"quality": (1.0, 0.6, 0.07), "b": -0.25}
    shared = {"n0": n0, "d": 0.07, "gamma": 0.8, "tau": (3.0, 6.0, 1.2), "num_unique": SIZES, **own}
    if mixing is not None:
        shared["mixing"] = mixing
    return parameters(name, sized=sized, **{**shared, **changed})


def coordinates_of(layout: Layout, truth: Parameters):
    natural = np.concatenate([[truth.shared[name] for name in layout.shared], truth.worth_P, truth.tau_P])
    logs = layout.logs
    return np.where(logs, np.log(np.where(logs, natural, 1.0)), natural)


def repeating(name: str) -> Parameters:
    return example(name, tau=(2.0, 2.0, 2.0))


@pytest.mark.parametrize("name", sorted(LAWS))
@pytest.mark.parametrize("n0", [300.0, 2400.0])  # fresh for all pools, and after passes over them
@pytest.mark.parametrize("setting", ["exact", "sized", "replacement", "both"])
def test_the_jacobian_agrees_with_finite_differences(name, n0, setting):
    sized = setting == "sized"
    truth = example(name, n0=n0, sized=sized, mixing=0.4)
    drawn = {"exact": False, "sized": False, "replacement": True, "both": [True, False, True, False, True]}
    of = design(
        [1234.0, 45_678.0, 9_999.0, 250.0, 25_000.0],
        [[1, 0, 0], [0, 0, 1], [0.5, 0.2, 0.3], [0.7, 0.3, 0], [0.2, 0.5, 0.3]],
        [500.0, 2000.0, 350.0],
        num_params=[1e7, 1e8, 5e8, 3e8, 1e9] if sized else None,
        replacement=drawn[setting],
    )
    layout = layout_of(LAWS[name], POOLS, sized=sized)

    def errors(vector):
        natural = to_natural(layout, vector)
        made = to_parameters(layout, natural, truth.num_unique_P, truth.num_params)
        return error_with_jacobian(LAWS[name], made, of)

    point = coordinates_of(layout, truth)
    value, jacobian = errors(point)
    assert jacobian.shape == (5, layout.size)
    np.testing.assert_allclose(value, error(LAWS[name], truth, of), rtol=1e-12)
    step = 1e-5
    for place, called in enumerate(layout.names):
        shift = step * np.eye(layout.size)[place]
        slope = (errors(point + shift)[0] - errors(point - shift)[0]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, place], slope, atol=3e-8, rtol=1e-6, err_msg=called)
        if called in ("gamma", "harm", "mixing", "size", "alpha", "tau:b") and name in REPEATING:
            assert np.abs(slope).max() > 1e-4, called  # a slope of nothing would agree with anything


@pytest.mark.parametrize("name", sorted(LAWS))
@pytest.mark.parametrize("replacement", [False, True])
def test_without_wear_every_law_is_a_power_law(name, replacement):
    n = np.geomspace(40, 1e6, 9)
    weights = np.array([0.5, 0.2, 0.3])
    truth = example(name, tau=(1e9, 1e9, 1e9))
    shared = {key: float(value) for key, value in truth.shared.items()}
    predicted = error(LAWS[name], truth, design(n, weights, SIZES, replacement=replacement))
    if name == "saturating":  # pools add up as data of the mean quality, and nothing is wasted
        data = n * (weights @ truth.worth_P)
        expected = (shared["start"] - shared["d"]) * (1 + data / shared["n0"]) ** shared["b"]
    elif name == "bounded":  # in n + n0, so that nothing is infinite at n = 0
        expected = (shared["start"] - shared["d"]) * (1 + n / shared["n0"]) ** (weights @ truth.worth_P)
    else:
        expected = shared["A"] * (n / shared["n0"]) ** (weights @ truth.worth_P)
    np.testing.assert_allclose(predicted, shared["d"] + expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_within_the_first_pass_the_half_life_does_not_matter(name):
    n = np.geomspace(40, 999, 9)
    short, long = (example(name, n0=30.0, tau=(tau,) * 3) for tau in (0.5, 50.0))
    for weights in ([1, 0, 0], [0, 0.5, 0.5], [0.3, 0.4, 0.3]):
        of = design(n, weights, np.full(3, 1000.0))
        np.testing.assert_allclose(error(LAWS[name], short, of), error(LAWS[name], long, of), rtol=1e-13)


@pytest.mark.parametrize("name", REPEATING)
def test_repeated_samples_are_worth_less_than_fresh_ones(name):
    truth = repeating(name)
    small, large = (
        error(LAWS[name], truth, design(20_000, [0.4, 0.3, 0.3], np.full(3, size))) for size in (1e3, 1e5)
    )
    assert small > large + 0.01


@pytest.mark.parametrize("name", sorted(LAWS))
def test_a_longer_half_life_never_makes_a_prediction_worse(name):
    of = design(np.geomspace(400, 1e5, 7), [0.5, 0.2, 0.3], SIZES)
    errors = [error(LAWS[name], example(name, tau=(tau,) * 3), of) for tau in (0.5, 1, 2, 4, 8, 1e6)]
    assert (np.diff(errors, axis=0) < 1e-12).all()


@pytest.mark.parametrize("name", sorted(LAWS))
def test_draws_and_candidates_broadcast(name):
    one, other = example(name, sized=True), example(name, n0=900.0, sized=True, d=0.0, gamma=0.5)
    layout = layout_of(LAWS[name], POOLS, sized=True)
    natural = np.stack([to_natural(layout, coordinates_of(layout, truth)) for truth in (one, other)])
    both = to_parameters(layout, natural[:, None, None, :], one.num_unique_P, one.num_params)
    weights = np.array([[1, 0, 0], [0, 0.5, 0.5], [0.2, 0.3, 0.5]])
    n = np.array([[1000.0], [30_000.0]])
    together = error(LAWS[name], both, design(n, weights, SIZES, num_params=2e8))
    assert together.shape == (2, 2, 3)
    for number, truth in enumerate((one, other)):
        for row, samples in enumerate((1000.0, 30_000.0)):
            for column, drawn in enumerate(weights):
                alone = error(LAWS[name], truth, design(samples, drawn, SIZES, num_params=2e8))
                assert together[number, row, column] == pytest.approx(float(alone), rel=1e-13)


def test_the_size_term_adds_what_the_model_is_too_small_for():
    truth = example("utility", sized=True)
    without = replace(truth, num_params=None, shared={**truth.shared, "d": truth.shared["d"]})
    of = design(5000.0, [1, 0, 0], SIZES)
    sized = design(5000.0, [1, 0, 0], SIZES, num_params=[1e8, 2e8, 1e12])
    extra = error(LAWS["utility"], truth, sized) - error(LAWS["utility"], without, of)
    np.testing.assert_allclose(extra, 0.1 * np.array([1, 2, 1e4]) ** -0.35, rtol=1e-12)
    with pytest.raises(InputError, match="name the number of its parameters"):
        error(LAWS["utility"], truth, of)


def test_laws_are_registered_under_their_own_names():
    assert all(law.name == name for name, law in LAWS.items())
    assert all(law.about.endswith(".") for law in LAWS.values())


@pytest.mark.parametrize("name", sorted(LAWS))
def test_coordinates_and_parameters_are_the_same_thing(name):
    truth = example(name, sized=True)
    layout = layout_of(LAWS[name], POOLS, sized=True)
    back = to_parameters(
        layout,
        to_natural(layout, coordinates_of(layout, truth)),
        truth.num_unique_P,
        truth.num_params,
    )
    assert layout.names[-4:] == (f"{LAWS[name].worth}:c", "tau:a", "tau:b", "tau:c")
    assert len(layout.names) == layout.size
    np.testing.assert_allclose(back.worth_P, truth.worth_P)
    np.testing.assert_allclose(back.tau_P, truth.tau_P)
    assert {key: float(value) for key, value in back.shared.items()} == pytest.approx(
        {key: float(value) for key, value in truth.shared.items()}
    )
