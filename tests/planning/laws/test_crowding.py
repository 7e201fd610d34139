import numpy as np
import pytest

from tests.planning.laws.planted import parameters
from thresher.planning.laws.crowding import CROWDING, crowding_priors, crowding_term
from thresher.planning.laws.fit import fit
from thresher.planning.laws.law import Parameters, design, error, error_with_jacobian
from thresher.planning.laws.layout import layout_of, to_natural, to_parameters
from thresher.planning.laws.registry import LAWS
from thresher.planning.runs.record import Run

TRUTH = {"room": 4.0, "excess": 1.2, "onset": 60.0, "sharpness": 2.0}


def harm(params, seen, weights, unique, **changed):
    of = design(seen, weights, unique, num_params=params)
    shared = {name: np.asarray(value) for name, value in {**TRUTH, **changed}.items()}
    return crowding_term(shared, of.num_params, of.samples_seen, of.weights, of.interval)


def test_harm_is_nothing_in_the_first_pass_half_at_the_onset_and_whole_in_the_end():
    values = [float(harm(4e8, passes * 1e8, [1.0], [1e8])[0]) for passes in (0.5, 1.0, 61.0, 1e6)]
    assert values == pytest.approx([0.0, 0.0, 0.5, 1.0], abs=1e-6)


def test_harm_grows_as_a_power_of_the_parameters_per_unique_sample():
    assert harm(8e8, 1e12, [1.0], [1e8])[0] == pytest.approx(2**1.2, rel=1e-3)


def test_a_split_pool_is_harmed_as_the_whole_and_a_pool_without_weight_harms_nothing():
    whole, _ = harm(4e8, 3e9, [1.0], [1e8])
    split, _ = harm(4e8, 3e9, [0.25, 0.75], [2.5e7, 7.5e7])
    beside, slopes = harm(4e8, 3e9, [1.0, 0.0], [1e8, 1.0])
    assert split == pytest.approx(whole)
    assert beside == pytest.approx(whole)
    assert all(np.isfinite(slope) for slope in slopes.values())


@pytest.mark.parametrize("name", ["data-constrained", "utility", "saturating"])
def test_the_slopes_agree_with_finite_differences(name):
    law, of = LAWS[name], design([1e8, 3e9, 3e11], [[1.0]], [[1e8]], num_params=[1e7, 4e8, 2e9])
    layout = layout_of(law, ["text"], sized=True, crowded=True)
    given = {
        "A": 2.0,
        "start": 8.0,
        "n0": 1e7,
        "d": 2.0,
        "gamma": 0.1,
        "harm": 0.01,
        "tail": 0.3,
        "mixing": 0.5,
        "b": -0.3,
    }
    given |= {"size": 0.3, "alpha": 0.35, **TRUTH}
    natural = np.array(
        [*(given[name] for name in layout.shared), 1.0 if name == "saturating" else -0.3, 50.0]
    )
    point = np.where(layout.logs, np.log(np.where(layout.logs, natural, 1.0)), natural)

    def errors(coordinates):
        found = to_parameters(layout, to_natural(layout, coordinates)[None], np.array([1e9]), 1e8)
        return error_with_jacobian(law, found, of)

    value, slopes = errors(point)
    for called in CROWDING:
        place, step = layout.place(called), 1e-6
        moved = point.copy()
        moved[place] += step
        up = errors(moved)[0]
        np.testing.assert_allclose(slopes[:, place], (up - value) / step, rtol=1e-3, atol=1e-6)


def test_samples_that_are_no_tokens_have_room_for_other_numbers_of_parameters():
    assert crowding_priors(np.array([0.5, 2.0, 9.0]))["room"][0] == 4.0
    assert crowding_priors(np.array([500.0, 2000.0, 9000.0]))["room"][0] == 2000.0
    assert crowding_priors(np.array([0.01, 0.02]))["room"][0] == pytest.approx(0.08)


def dense_runs(truth: Parameters) -> list[Run]:
    """Runs of five sizes on three numbers of unique samples, up to 400 passes over them."""
    rows = [
        (params, unique, passes)
        for params in (1e7, 3e7, 1e8, 3e8, 1e9)
        for unique in (1e8, 1e9, 1e10)
        for passes in (1, 4, 40, 400)
    ]
    seen, unique = np.array([u * p for _, u, p in rows]), np.array([u for _, u, _ in rows])
    of = design(seen, np.ones((len(rows), 1)), unique[:, None], num_params=[row[0] for row in rows])
    noise = 1 + 0.002 * np.random.default_rng(0).standard_normal(len(rows))
    return [
        Run(
            pool="text",
            params=params,
            samples_seen=int(total),
            unique_samples=int(fresh),
            error=float(loss),
            metric="loss",
            final=True,
        )
        for (params, fresh, _), total, loss in zip(
            rows, seen, error(LAWS["data-constrained"], truth, of) * noise, strict=True
        )
    ]


def test_a_fit_to_dense_runs_finds_the_harm_of_crowding_and_a_fit_to_few_has_none():
    known = parameters(
        "data-constrained", b=[-0.3], tau=[150.0], A=1.5, n0=1e9, d=2.0, gamma=0.0, size=0.3, sized=True
    )
    planted = {name: np.asarray(value) for name, value in {**TRUTH, "room": 5.0}.items()}
    truth = Parameters(
        shared={**known.shared, **planted},
        worth_P=known.worth_P,
        tau_P=known.tau_P,
        num_unique_P=known.num_unique_P,
        num_params=known.num_params,
    )
    runs = dense_runs(truth)
    found = fit(runs, law="data-constrained", num_draws=0).best.shared
    assert found["room"] == pytest.approx(5.0, rel=0.1)
    assert found["onset"] == pytest.approx(60.0, rel=0.15)
    assert "room" not in fit(runs[:16], law="data-constrained", num_draws=0).best.shared
