from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import POOL_SIZE, parameters, planted_run, planted_runs
from thresher.errors import InputError
from thresher.planning.laws import descent
from thresher.planning.laws.fit import fit
from thresher.planning.runs.ledger import read_runs

FIVE_POOLS = parameters(
    b=(-0.16, -0.125, -0.10, -0.085, -0.05),
    tau=(6.727272727, 8.545454545, 5.272727273, 2.272727273, 3.0),
    A=0.9,
)
TWO_POOLS = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))


def fit_utility(runs, *, num_draws=0, **options):
    return fit(runs, law="utility", num_draws=num_draws, **options)


def values(laws, kind):
    return [pool.values[kind] for pool in laws.pools]


@pytest.fixture(scope="module")
def noisy():
    runs = planted_runs(FIVE_POOLS, noise=0.004, seed=3)
    checks = [
        planted_run(FIVE_POOLS, [1 / count] * count + [0] * (5 - count), length, role="check")
        for count in (2, 3, 5)
        for length in (48_000_000, 200_000_000)
    ]
    return fit_utility([*runs, *checks], num_draws=200, fixed={"mixing": 0.0})


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_gamma_comes_back_when_a_pool_was_run_at_two_sizes(gamma):
    truth = parameters(b=(-0.2, -0.12), tau=(5.0, 3.0), gamma=gamma)
    quarter = [
        planted_run(truth, [1.0, 0.0], length, unique=POOL_SIZE // 4, run="quarter")
        for length in (16_000_000, 64_000_000)
    ]
    laws = fit_utility([*planted_runs(truth), *quarter])
    assert laws.best.shared["gamma"] == pytest.approx(gamma, abs=1e-3)
    assert [pool.num_unique for pool in laws.pools] == [POOL_SIZE, POOL_SIZE]
    assert not any("gamma was held" in sentence for sentence in laws.best.status)


def test_gamma_is_one_and_said_to_be_without_two_sizes(noisy):
    assert noisy.best.shared["gamma"] == 1.0
    assert "gamma" not in noisy.best.intervals
    assert any("gamma was held at 1" in sentence for sentence in noisy.best.status)


def test_a_mix_among_the_fit_runs_teaches_about_its_pools():
    truth = parameters(b=(-0.2, -0.08), tau=(5.0, 3.0))
    mixes = [planted_run(truth, [0.5, 0.5], length) for length in (16_000_000, 90_000_000)]
    alone = planted_runs(truth, lengths=(8_000_000, 20_000_000, 60_000_000, 120_000_000, 240_000_000))
    laws = fit_utility([*alone, *mixes], fixed={"mixing": 0.0})
    np.testing.assert_allclose(values(laws, "tau"), [5, 3], rtol=1e-3)
    assert laws.best.shared["gamma"] == pytest.approx(
        1, abs=1e-3
    )  # a mix repeats its pools at other intervals
    assert len(laws.points) == 12


def test_intervals_cover_the_truth_and_check_mixes_beat_the_mean(noisy):
    covered = [
        noisy.best.intervals[name][0] < value < noisy.best.intervals[name][1]
        for name, value in {"A": 0.9, "n0": 4e6, "d": 0.1}.items()
    ]
    for pool, b, tau in zip(noisy.pools, FIVE_POOLS.worth_P, FIVE_POOLS.tau_P, strict=True):
        covered.append(pool.intervals["b"][0] < b < pool.intervals["b"][1])
        covered.append(pool.intervals["tau"][0] < tau < pool.intervals["tau"][1])
    assert sum(covered) >= 10  # of 13, each a 90% interval
    assert 0.001 < noisy.noise < 0.01
    assert len(noisy.check.points) == 6
    assert noisy.check.mae < 0.01
    assert noisy.check.mae < noisy.check.mae_of_mean / 2
    errors = np.array([point.run.error for point in noisy.check.points])
    assert noisy.check.mae_of_mean == pytest.approx(np.abs(errors - errors.mean()).mean())


def test_check_and_verify_runs_never_enter_the_fit():
    runs = planted_runs(FIVE_POOLS)
    nonsense = [replace(runs[0], role=role, error=0.01, run=role) for role in ("check", "verify")]
    alone, beside = fit_utility(runs), fit_utility([*runs, *nonsense])
    assert (alone.best.shared, alone.pools) == (beside.best.shared, beside.pools)
    assert [point.run.role for point in beside.check.points] == ["check"]


@pytest.mark.parametrize("law", ["auto", "utility"])
def test_the_same_runs_and_seed_give_the_same_fit(law):
    runs = planted_runs(TWO_POOLS, noise=0.004)
    one, two, other = (fit(runs, law=law, num_draws=8, seed=seed) for seed in (1, 1, 2))
    assert one.weights == two.weights == other.weights
    assert one.comparison == two.comparison
    for left, right, third in zip(one.fits, two.fits, other.fits, strict=True):
        assert (left.shared, left.pools) == (right.shared, right.pools)
        np.testing.assert_array_equal(left.draws_SX, right.draws_SX)
        assert left.shared == third.shared
        assert not len(left.draws_SX) or not np.array_equal(left.draws_SX, third.draws_SX)


def test_enough_runs_a_pool_are_resampled_and_cover_the_truth():
    lengths = tuple(int(length) for length in np.geomspace(6e6, 3e8, 10))
    laws = fit_utility(planted_runs(TWO_POOLS, noise=0.004, lengths=lengths, seed=1), num_draws=60)
    for pool, b in zip(laws.pools, TWO_POOLS.worth_P, strict=True):
        assert pool.intervals["b"][0] < b < pool.intervals["b"][1]


def test_one_outlier_moves_little_and_is_named():
    runs = planted_runs(FIVE_POOLS, noise=0.001)
    runs[12] = replace(runs[12], error=runs[12].error * 0.8, run="broken")
    laws = fit_utility(runs)
    clean = [point.residual for point in laws.points if point.run.run != "broken"]
    np.testing.assert_allclose(clean, 0, atol=0.004)
    assert any(sentence.startswith("Run broken") for sentence in laws.warnings)


def test_d_stays_between_zero_and_the_smallest_error():
    flat = [replace(run, error=0.9 + 1e-4 * number) for number, run in enumerate(planted_runs(FIVE_POOLS))]
    best = fit_utility(flat, num_draws=10).best
    draws = best.draws_SX[:, best.draw_names.index("d")]
    assert 0 <= best.shared["d"] < min(run.error for run in flat)
    assert (draws >= 0).all()
    assert (draws < 0.95).all()


def test_a_half_life_without_repetition_is_assumed_and_said_to_be():
    fresh = (5_000_000, 7_000_000, 9_000_000, 12_000_000)
    runs = [run for run in planted_runs(TWO_POOLS) if run.pool == "p0"]
    runs += [run for run in planted_runs(TWO_POOLS, lengths=fresh) if run.pool == "p1"]
    p0, p1 = fit_utility(runs, num_draws=40).pools
    assert p0.values["tau"] == pytest.approx(5.0, rel=1e-2)
    assert p1.values["tau"] == pytest.approx(p0.values["tau"], rel=1e-6)
    assert p1.intervals["tau"][1] / p1.intervals["tau"][0] > 5
    assert any(
        "half-life of p1 is not identified" in text and "at least 3 passes" in text for text in p1.status
    )
    assert not any("not identified" in text for text in p0.status)


def test_a_pool_that_teaches_nothing_is_named():
    runs = [
        run if run.pool == "p0" else replace(run, error=0.94 + 0.002 * number)
        for number, run in enumerate(planted_runs(TWO_POOLS))
    ]
    (_, idle) = fit_utility(runs).pools
    assert idle.values["b"] == pytest.approx(0.0, abs=0.01)
    assert any("p1 teaches nothing in these runs" in text for text in idle.status)


@pytest.mark.parametrize("law", ["utility", "effective-data", "data-constrained", "harmful"])
def test_one_pool_alone_cannot_tell_the_meeting_point(law):
    truth = parameters(law, b=(-0.2,), tau=(5.0,))
    runs = planted_runs(truth, law=law, lengths=(8_000_000, 16_000_000, 32_000_000, 64_000_000, 200_000_000))
    laws = fit(runs, law=law, num_draws=0)
    assert laws.best.shared["n0"] == pytest.approx(min(run.samples_seen for run in runs))
    assert any("meeting point is not identified" in sentence for sentence in laws.best.status)
    np.testing.assert_allclose([point.residual for point in laws.points], 0, atol=2e-3)


def test_runs_from_the_middle_of_a_schedule_are_counted():
    runs = planted_runs(FIVE_POOLS)
    runs[:4] = [replace(run, final=False) for run in runs[:4]]
    runs[4:7] = [replace(run, final=None) for run in runs[4:7]]
    warnings = fit_utility(runs).warnings
    assert any(text.startswith("4 of 25 points are not end-of-training") for text in warnings)
    assert any(text.startswith("3 of 25 points do not say") for text in warnings)
    assert not any("end-of-training" in text for text in fit_utility(planted_runs(FIVE_POOLS)).warnings)


@pytest.mark.parametrize("law", ["utility", "saturating"])
def test_a_lower_pool_that_teaches_more_is_named(law):
    truth = parameters(b=(-0.1, -0.2, -0.05), tau=(4.0, 4.0, 4.0))
    runs = planted_runs(truth, noise=0.002)
    worth = "b -0" if law == "utility" else "quality "
    laws = fit(runs, law=law, num_draws=20, pool_order=["p0", "p1", "p2"])
    (sentence,) = [text for text in laws.warnings if "order of utility" in text]
    assert f"p1 ({worth}" in sentence
    assert "than p0" in sentence
    in_order = fit(runs, law=law, num_draws=20, pool_order=["p1", "p0", "p2"])
    assert in_order.pool_names == ("p1", "p0", "p2")
    assert not any("order of utility" in text for text in in_order.warnings)
    unscored = fit(runs, law=law, num_draws=20)
    assert not any("order of utility" in text for text in unscored.warnings)


def test_many_runs_off_the_fit_are_no_slips_of_measuring():
    runs = planted_runs(FIVE_POOLS)
    one = [replace(run, error=run.error * 0.8) if number == 3 else run for number, run in enumerate(runs)]
    many = [
        replace(run, error=run.error * 0.8) if number % 5 == 3 else run for number, run in enumerate(runs)
    ]
    said = [[text for text in fit_utility(these).warnings if "off the fit" in text] for these in (one, many)]
    assert [len(texts) for texts in said] == [1, 1]
    assert "measure it again" in said[0][0]
    assert "too many to be slips of measuring" in said[1][0]


def test_models_of_known_sizes_are_one_family():
    runs = [
        replace(run, model=f"m{number % 2}", params=(1e7, 4e7)[number % 2])
        for number, run in enumerate(planted_runs(FIVE_POOLS))
    ]
    laws = fit_utility(runs)
    assert laws.best.num_params is not None
    assert laws.model is None
    with pytest.raises(InputError, match=r"mix 2 models .* or give the `params` of every run"):
        fit_utility([replace(run, params=None) for run in runs])


@pytest.mark.parametrize(
    ("name", "value"), [("recipe", "other"), ("model", "vit"), ("metric", "recall_error")]
)
def test_runs_that_one_law_cannot_describe_are_not_mixed(name, value):
    runs = [replace(run, recipe="a", model="m") for run in planted_runs(FIVE_POOLS)]
    mixed = [*runs, replace(runs[0], **{name: value})]
    with pytest.raises(InputError, match=rf"mix 2 {name}s .*choose one with {name}="):
        fit(mixed)
    chosen = getattr(runs[0], name)
    assert len(fit_utility(mixed, **{name: chosen}).points) == 25
    with pytest.raises(InputError, match=f"no run has the {name} 'none'"):
        fit(mixed, **{name: "none"})


def test_a_law_that_was_named_is_not_said_to_have_been_chosen():
    assert fit_utility(planted_runs(TWO_POOLS)).status == ()


def test_what_runs_mix_is_listed_in_alphabetical_order():
    names = [f"recipe-{letter}" for letter in "hcagfbed"]
    runs = [replace(run, recipe=name) for run in planted_runs(TWO_POOLS) for name in names]
    with pytest.raises(InputError, match=rf"mix 8 recipes \({', '.join(sorted(names))}\)"):
        fit(runs)


def test_a_missing_role_and_an_unknown_law_are_refused():
    runs = planted_runs(TWO_POOLS, lengths=(20_000_000, 60_000_000))
    with pytest.raises(InputError, match="no run has the role `fit`"):
        fit([replace(run, role="verify") for run in runs])
    with pytest.raises(InputError, match="no law 'cubic'; choose one of auto, utility, harmful"):
        fit(runs, law="cubic")


@pytest.mark.parametrize("law", ["auto", "utility", "saturating"])
def test_fewer_runs_than_parameters_give_wide_intervals_and_no_refusal(law):
    few, many = (
        fit(planted_runs(FIVE_POOLS, lengths=lengths, noise=0.002), law=law, num_draws=60)
        for lengths in (
            (20_000_000, 60_000_000),
            (6_000_000, 20_000_000, 60_000_000, 180_000_000, 360_000_000),
        )
    )
    assert len(few.points) == 10  # of five pools, which have a b or a quality and a half-life each
    low, high = few.best.intervals["d"]
    assert high - low > np.ptp(many.best.intervals["d"])
    assert all(abs(point.residual) < 0.025 for point in few.points)


def test_a_pool_of_one_length_and_a_single_run_have_a_law():
    truth = planted_runs(TWO_POOLS, lengths=(20_000_000, 60_000_000))
    laws = fit([run for run in truth if run.pool == "p0" or run.samples_seen == 60_000_000], num_draws=20)
    assert laws.pool_names == ("p0", "p1")
    (pool,) = fit_utility(truth[:1], num_draws=20).pools
    low, high = pool.intervals["b"]
    assert high - low > 0.1


def test_a_check_run_on_an_unknown_pool_is_left_out_aloud():
    strange = planted_run(FIVE_POOLS, [1.0, 0, 0, 0, 0], 50_000_000, role="check", run="odd")
    laws = fit_utility([*planted_runs(FIVE_POOLS), replace(strange, pool="p9")])
    assert laws.check.points == ()
    assert laws.check.mae is None
    assert any("Check run odd was left out: no fit run holds p9" in text for text in laws.warnings)


def test_the_baseline_without_repetition_fits_worn_pools_worse():
    laws = fit(planted_runs(FIVE_POOLS), law="power", num_draws=3)
    assert laws.noise > 0.005
    assert all("tau" not in pool.values and "tau" not in pool.intervals for pool in laws.pools)
    assert not any("half-life" in text for pool in laws.pools for text in pool.status)


def test_a_joint_fit_looks_at_the_runs_a_few_hundred_times(monkeypatch):
    looks = []
    count = descent.residuals
    monkeypatch.setattr(descent, "residuals", lambda *given: looks.append(1) or count(*given))
    fit_utility(planted_runs(FIVE_POOLS, noise=0.003))
    assert 0 < len(looks) < 600


def test_repetition_shows_in_the_pools_of_a_score(laws_tables):
    table = laws_tables / "datacomp_clip_buckets.csv"
    runs = [run for run in read_runs(table, error_column="imagenet_error") if run.samples_seen > 1e7]
    pools = list(dict.fromkeys(str(run.pool) for run in runs))
    utility = fit(runs, law="utility", num_draws=30, pool_order=pools)
    power = fit(runs, law="power", num_draws=0)
    assert utility.noise < 0.004
    assert utility.noise < 0.75 * power.noise
    assert all(2 < tau < 12 for tau in values(utility, "tau"))
    assert any("clip_10p_to_20p" in text and "order of utility" in text for text in utility.warnings)
    assert any(f"{len(runs)} of {len(runs)} points do not say" in text for text in utility.warnings)


@pytest.mark.parametrize(
    ("law", "fixed", "message"),
    [
        ("utility", {"b": -0.1}, "cannot hold 'b'; one of A, n0, d, gamma, mixing"),
        ("utility", {"harm": 0.1}, "cannot hold 'harm'; one of A, n0, d, gamma"),
        ("utility", {"size": 0.1}, "cannot hold 'size'; one of A, n0, d, gamma, mixing can"),
        ("bounded", {"A": 0.9}, "cannot hold 'A'; one of start, n0, d, gamma"),
        ("auto", {"quality": 1.0}, "cannot hold 'quality'"),
        ("auto", {"start": -1.0}, "start is held at -1.0; give a positive value"),
        ("utility", {"A": 0.0}, "A is held at 0.0; give a positive value"),
        ("utility", {"n0": float("nan")}, "n0 is held at nan; give a positive value"),
        ("utility", {"d": 0.99}, "d is held at 0.99; give a value from 0 to below the smallest error"),
        ("utility", {"gamma": 3.0}, "gamma is held at 3.0"),
        ("harmful", {"harm": -0.1}, "harm is held at -0.1"),
        ("saturating", {"b": 0.1}, "b is held at 0.1"),
        ("bounded", {"start": -1.0}, "start is held at -1.0; give a positive value"),
    ],
)
def test_a_value_that_cannot_be_held_is_named(law, fixed, message):
    runs = planted_runs(TWO_POOLS)
    with pytest.raises(InputError, match=message):
        fit(runs, law=law, fixed=fixed, num_draws=0)


def test_runs_of_one_model_name_it_though_some_do_not_tell_theirs():
    runs = [
        replace(run, model="m" if number % 2 else None) for number, run in enumerate(planted_runs(FIVE_POOLS))
    ]
    assert fit_utility(runs).model == "m"
