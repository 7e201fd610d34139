from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import LENGTHS, POOL_SIZE, parameters, planted_run, planted_runs
from tests.planning.predicting import mix_error
from thresher.errors import InputError
from thresher.planning.laws.descent import descend
from thresher.planning.laws.fit import fit
from thresher.planning.laws.law import Parameters, design, error, error_with_jacobian
from thresher.planning.laws.laws_file import laws_to_record, load_laws, save_laws
from thresher.planning.laws.layout import layout_of, to_natural, to_parameters
from thresher.planning.laws.predict import error_as_published, predict_draws
from thresher.planning.laws.predict import parameters as fitted_parameters
from thresher.planning.laws.problem import build_problem, log_noise, residuals
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.solve import solve

POOLS = ("p0", "p1", "p2")
OWN_D, OWN_A = (0.05, 0.10, 0.16), (0.6, 0.7, 0.8)
SEVEN = (4_000_000, LENGTHS[0], 16_000_000, *LENGTHS[1:])


def truth_of(law: str = "utility", *, A: tuple[float, ...] = (), d: tuple[float, ...] = OWN_D) -> Parameters:
    own = {"b": (-0.22, -0.16, -0.12)} if LAWS[law].worth == "b" else {"quality": (1.0, 0.6, 0.3)}
    made = parameters(law, tau=(3.0, 6.0, 4.0), **({"A": 0.7} if "A" in LAWS[law].shared else {}), **own)
    values = {"A": A, "d": d}
    return replace(made, own={name: np.array(value) for name, value in values.items() if value})


@pytest.fixture(scope="module")
def found():
    checks = [planted_run(truth_of(A=OWN_A), [0.5, 0.3, 0.2], 90_000_000, role="check")]
    runs = planted_runs(truth_of(A=OWN_A), lengths=SEVEN, noise=0.002, seed=1)
    return fit([*runs, *checks], law="utility", own=("d", "A"), fixed={"mixing": 0.0}, num_draws=12)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_the_jacobian_agrees_with_finite_differences(name):
    own = ("A", "d") if "A" in LAWS[name].shared else ("d",)
    truth = truth_of(name, A=OWN_A if "A" in own else ())
    layout = layout_of(LAWS[name], POOLS, sized=False, own=("d", "A"))
    assert layout.own == own
    of = design(
        [9e6, 3e7, 2e8, 4e8], [[1, 0, 0], [0, 0.4, 0.6], [0.5, 0.2, 0.3], [0, 0, 1]], truth.num_unique_P
    )
    natural = [*truth.shared.values(), *truth.worth_P, *truth.tau_P, *(v for n in own for v in truth.own[n])]
    logs = layout.logs
    point = np.where(logs, np.log(np.where(logs, natural, 1.0)), natural)

    def errors(vector):
        made = to_parameters(layout, to_natural(layout, vector), truth.num_unique_P, None)
        return error_with_jacobian(LAWS[name], made, of)

    value, jacobian = errors(point)
    np.testing.assert_allclose(value, error(LAWS[name], truth, of), rtol=1e-12)
    step = 1e-5
    for place, called in enumerate(layout.names):
        shift = step * np.eye(layout.size)[place]
        slope = (errors(point + shift)[0] - errors(point - shift)[0]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, place], slope, atol=3e-8, rtol=1e-6, err_msg=called)
        if called in own:
            assert not slope.any()  # what pools have of their own leaves the shared value to the priors
        if called.startswith(("A:", "d:")):
            assert np.abs(slope).max() > 1e-4, called


@pytest.mark.parametrize("name", sorted(LAWS))
def test_pools_with_equal_values_are_pools_that_share_one(name):
    shared = truth_of(name, d=())
    same = {own: np.full(3, shared.shared[own]) for own in ("A", "d") if own in shared.shared}
    of = design([9e6, 2e8], [[1, 0, 0], [0.5, 0.2, 0.3]], shared.num_unique_P)
    np.testing.assert_allclose(
        error(LAWS[name], replace(shared, own=same), of), error(LAWS[name], shared, of), rtol=1e-12
    )


def test_the_noise_is_that_of_the_pools_and_not_of_the_law_that_they_would_share():
    runs = planted_runs(truth_of(A=OWN_A), lengths=SEVEN, noise=0.002, seed=1)
    shared, _ = solve(build_problem(LAWS["utility"], runs, POOLS, {}))
    problem, solution = solve(build_problem(LAWS["utility"], runs, POOLS, {}, ("d", "A")))
    assert problem.noise < 0.8 * shared.noise
    assert problem.noise == pytest.approx(log_noise(problem, solution.coordinates_X), rel=0.05)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_planted_d_of_each_pool_comes_back(name):
    runs = planted_runs(truth_of(name), law=name, lengths=SEVEN)
    laws = fit(runs, law=name, own=("d",), num_draws=0)
    np.testing.assert_allclose([pool.values["d"] for pool in laws.pools], OWN_D, rtol=1e-3)
    np.testing.assert_allclose([pool.values[LAWS[name].worth] for pool in laws.pools], truth_of(name).worth_P)
    assert min(OWN_D) < laws.best.shared["d"] < max(OWN_D)


def test_with_n0_held_planted_A_comes_back_too():
    runs = planted_runs(truth_of(A=OWN_A), lengths=SEVEN)
    laws = fit(runs, law="utility", own=("A", "d"), fixed={"n0": 4e6}, num_draws=0)
    np.testing.assert_allclose([pool.values["A"] for pool in laws.pools], OWN_A, rtol=1e-3)
    np.testing.assert_allclose([pool.values["d"] for pool in laws.pools], OWN_D, rtol=1e-3)


def test_noise_leaves_pools_nearer_to_each_other_than_the_noise_would(found):
    runs = planted_runs(truth_of(d=(0.1, 0.1, 0.1)), lengths=LENGTHS, noise=0.006, seed=5)
    values = [pool.values["d"] for pool in fit(runs, law="utility", own=("d",), num_draws=0).pools]
    assert np.ptp(values) < 0.03
    assert found.noise < 0.004


def test_without_own_nothing_is_changed():
    runs = planted_runs(truth_of(), noise=0.002, lengths=LENGTHS)
    plain, empty = fit(runs, num_draws=6), fit(runs, own=(), num_draws=6)
    assert laws_to_record(plain) == laws_to_record(empty)
    assert all("own" not in one for one in laws_to_record(plain)["fits"])
    assert plain.best.draw_names == tuple(
        name for name in plain.best.draw_names if not name.startswith(("A:", "d:"))
    )


def test_own_values_have_intervals_and_draws_within_their_bounds(found):
    best, least = found.best, {}
    for point in found.points:
        pool = point.run.pool
        least[pool] = min(least.get(pool, np.inf), point.run.error)
    for pool in found.pools:
        assert set(pool.values) == set(pool.intervals) == {"b", "tau", "A", "d"}
        draws = best.draws_SX[:, best.draw_names.index(f"d:{pool.name}")]
        assert ((draws >= 0) & (draws < least[pool.name])).all()
        assert 0 <= pool.values["d"] < least[pool.name]
    assert any("its own A and d" in sentence and "assumption" in sentence for sentence in best.status)
    assert found.check.mae < 0.02


def test_own_values_survive_their_file(found, tmp_path):
    for laws in (found, replace(found, fits=(replace(found.best, draws_SX=np.empty((0, 16))),))):
        save_laws(tmp_path / "laws.json", laws)
        loaded = load_laws(tmp_path / "laws.json")
        assert (loaded.best.own, loaded.pools) == (("A", "d"), laws.pools)
        mix = ([[0.3, 0.7, 0.0]], [[POOL_SIZE] * 3])
        predicted = predict_draws(laws, [9e7], *mix)
        np.testing.assert_array_equal(predict_draws(loaded, [9e7], *mix), predicted)
        save_laws(tmp_path / "again.json", loaded)
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "laws.json").read_bytes()


def test_a_pool_of_next_to_no_weight_changes_no_prediction(found):
    sizes = dict.fromkeys(POOLS, POOL_SIZE)
    without = mix_error(found, {"p0": 0.6, "p1": 0.4}, sizes, [9e7])
    beside = mix_error(found, {"p0": 0.6, "p1": 0.4, "p2": 1e-12}, sizes, [9e7])
    np.testing.assert_allclose(beside, without, rtol=1e-9)


def test_a_pool_split_in_halves_predicts_what_the_whole_does():
    whole = truth_of(A=OWN_A)
    halves = {name: np.append(value_P, value_P[0]) for name, value_P in whole.own.items()}
    split = replace(
        whole,
        worth_P=np.append(whole.worth_P, whole.worth_P[0]),
        tau_P=np.append(whole.tau_P, whole.tau_P[0]),
        num_unique_P=np.append(whole.num_unique_P, POOL_SIZE),
        own=halves,
    )
    one = design(2e8, [0.6, 0.3, 0.1], whole.num_unique_P)
    two = design(2e8, [0.3, 0.3, 0.1, 0.3], split.num_unique_P / [2, 1, 1, 2])
    np.testing.assert_allclose(error(LAWS["utility"], split, two), error(LAWS["utility"], whole, one))


def test_the_published_form_takes_the_values_of_the_mix(found):
    truth = fitted_parameters(found.best)
    of = design(8e6, [0.5, 0.5, 0.0], [POOL_SIZE] * 3)
    fresh = error_as_published(truth, 8e6, [0.5, 0.5, 0.0], POOL_SIZE)
    np.testing.assert_allclose(fresh, error(LAWS["utility"], truth, of), rtol=1e-6)


def test_the_prior_is_of_the_distance_to_the_shared_value():
    runs = planted_runs(truth_of(), noise=0.002)
    problem, solution = solve(build_problem(LAWS["utility"], runs, POOLS, {}, ("d",)))
    found = residuals(problem, solution.coordinates_X[None])
    block = problem.layout.owned["d"]
    offset_P = solution.coordinates_X[block] - solution.coordinates_X[problem.layout.place("d")]
    at_own = np.flatnonzero(problem.free_X) >= block.start
    sd = 0.1 * min(run.error for run in runs)
    np.testing.assert_allclose(found.priors[0][at_own], problem.noise * offset_P / sd)


@pytest.mark.parametrize("seed", range(3))
def test_no_better_fit_lies_near_the_planted_values(seed):
    truth = truth_of()
    runs = planted_runs(truth, noise=0.003, seed=seed, lengths=SEVEN)
    problem, solution = solve(build_problem(LAWS["utility"], runs, POOLS, {}, ("d",)))
    natural = np.array([*truth.shared.values(), *truth.worth_P, *truth.tau_P, *OWN_D])
    logs = problem.layout.logs
    planted_X = np.where(logs, np.log(np.where(logs, natural, 1.0)), natural)
    found = descend(problem, planted_X[None], solution.huber_scale, tolerance=1e-11, max_steps=300)
    assert solution.converged
    assert solution.cost <= found.cost_B[0] * (1 + 1e-6)


def test_profile_intervals_hold_the_values_of_each_pool():
    runs = planted_runs(truth_of(), noise=0.002, lengths=SEVEN, seed=2)
    laws = fit(runs, law="utility", own=("d",), num_draws=0, intervals="profile")
    assert all(pool.intervals["d"][0] < pool.values["d"] < pool.intervals["d"][1] for pool in laws.pools)


@pytest.mark.parametrize(
    ("law", "own", "fixed", "sentence"),
    [
        ("utility", ("n0",), {}, "n0 and A of one pool cannot be told apart"),
        ("bounded", ("A",), {}, "bounded law has no A"),
        ("saturating", ("d", "A"), {}, "saturating law has no A"),
        ("auto", ("gamma",), {}, "'gamma' cannot be each pool's own; choose A or d"),
        ("utility", ("d",), {"d": 0.1}, "d cannot be held and be each pool's own"),
    ],
)
def test_what_pools_cannot_have_is_refused_by_name(law, own, fixed, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(planted_runs(truth_of()), law=law, own=own, fixed=fixed, num_draws=0)


def test_one_pool_has_nothing_to_differ_from():
    runs = [run for run in planted_runs(truth_of()) if run.pool == "p0"]
    with pytest.raises(InputError, match="one pool shares d with no other"):
        fit(runs, own=("d",), num_draws=0)


def test_with_auto_laws_without_A_share_their_start():
    laws = fit(planted_runs(truth_of(), noise=0.002, lengths=SEVEN), own=("A",), num_draws=8)
    assert len(laws.fits) > 1
    assert all(one.own == (("A",) if "A" in one.shared else ()) for one in laws.fits)
