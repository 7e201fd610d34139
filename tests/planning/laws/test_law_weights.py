from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run, planted_runs
from tests.planning.laws.test_recovery import LENGTHS, drawn_truth
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.law_weights import (
    AUTO,
    LawTrial,
    candidates,
    hold_out,
    log_evidence,
    most_repeated,
    try_law,
    weights_of,
)
from thresher.planning.laws.problem import build_problem
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.solve import solve
from thresher.planning.runs.record import Run

TWO_POOLS = parameters(b=(-0.2, -0.1), tau=(5.0, 3.0))
POOLS = ("p0", "p1")


def test_the_longest_runs_of_each_pool_and_mix_are_held_out():
    runs = planted_runs(TWO_POOLS, lengths=(8_000_000, 32_000_000, 64_000_000))
    seeds = [replace(runs[2], seed=1), replace(runs[0], seed=1)]
    mix = [planted_run(TWO_POOLS, [0.5, 0.5], length) for length in (16_000_000, 90_000_000)]
    shorter, longest = hold_out([*runs, *seeds, *mix])
    assert longest == [runs[2], runs[5], seeds[0]]
    assert shorter == [*runs[:2], *runs[3:5], seeds[1], *mix]  # two lengths of the mix: none is spared


def test_a_mix_is_held_out_in_whatever_order_its_pools_are_named():
    first, second, third = (planted_run(TWO_POOLS, [0.5, 0.5], length) for length in LENGTHS[:3])
    turned = replace(second, weights=dict(reversed(second.weights.items())))
    assert hold_out([first, turned, third]) == ([first, turned], [third])


def test_lengths_within_a_tenth_of_each_other_count_as_one():
    runs = [planted_run(TWO_POOLS, [1.0, 0.0], length) for length in (10_000_000, 11_000_000, 50_000_000)]
    assert hold_out(runs) == (runs, [])
    between = planted_run(TWO_POOLS, [1.0, 0.0], 12_000_000)
    assert hold_out([*runs, between]) == ([*runs[:2], between], runs[2:])


def test_among_models_of_many_sizes_a_mix_repeats_as_often_as_the_pool_that_it_repeats_most():
    unique, lengths = (100_000_000, 1_000_000), range(10_000_000, 130_000_000, 10_000_000)
    pure, mixed = (
        [
            planted_run(TWO_POOLS, weights, length, unique=unique, pool_samples=pool_samples, params=params)
            for params in (10_000_000, 100_000_000)
            for length in lengths
        ]
        for weights, pool_samples in (([1.0, 0.0], 100_000_000), ([0.9, 0.1], None))
    )
    fewer, most = most_repeated([*pure, *mixed])  # a tenth of a mix passes over the small pool 1 to 12 times
    assert most == [run for run in mixed if run.samples_seen > 60_000_000]
    assert len(fewer) + len(most) == len(pure) + len(mixed)


def test_a_law_is_judged_by_runs_that_it_has_not_seen():
    runs = planted_runs(TWO_POOLS, lengths=LENGTHS)
    longest = [run for run in runs if run.samples_seen == max(LENGTHS)]
    moved = [replace(run, error=run.error + 0.02) if run in longest else run for run in runs]
    right, off = (try_law(LAWS["utility"], these, POOLS, {}) for these in (runs, moved))
    assert right.mae < 1e-6
    assert off.mae == pytest.approx(0.02, rel=1e-3)


def tried(*, mean_square=0.0):
    """What a law made of four pools' longest runs."""
    return LawTrial(
        mae=0.0, mean_square=mean_square, noise=0.003, num_groups=4, ratio_H=np.ones(4), solved=None
    )


EVEN = {"power": 0.0, "utility": 0.0}


def test_of_laws_with_equal_evidence_the_one_that_predicts_the_longest_runs_better_weighs_more():
    trials = {"power": tried(mean_square=0.003**2), "utility": tried()}
    # twice the square that is expected, in four pools: (1 / 2) ** (4 / 2) as likely
    found = weights_of(trials, EVEN, {}, 0.003)
    assert found == pytest.approx({"utility": 0.8, "power": 0.2})
    assert list(found) == ["utility", "power"]
    untried = {"power": None, "utility": tried()}
    assert weights_of(untried, EVEN, {}, 0.003) == pytest.approx({"power": 0.5, "utility": 0.5})


def test_check_runs_count_as_two_pools_do():
    checks = {"power": 0.003**2, "utility": 0.0}
    expected = {"utility": 2 / 3, "power": 1 / 3}  # twice the square: (1 / 2) ** (2 / 2) as likely
    assert weights_of(dict.fromkeys(EVEN), EVEN, checks, 0.003) == pytest.approx(expected)


def test_evidence_is_bounded_so_that_runs_held_out_and_check_runs_overrule_it():
    sure = {"power": 500.0, "utility": 0.0}
    alone = weights_of(dict.fromkeys(sure), sure, {}, 0.003)
    assert list(alone) == ["power"]
    trials = {"power": tried(mean_square=(10 * 0.003) ** 2), "utility": tried()}
    assert weights_of(trials, sure, {}, 0.003)["utility"] > 0.9


def test_laws_with_less_than_three_hundredths_are_left_out_and_the_others_share_what_they_had():
    shares = {"utility": 0.75, "harmful": 0.205, "power": 0.035, "bounded": 0.01}
    # n times the square that is expected, in four pools: n^(-4 / 2) as likely
    squares = {name: 0.003**2 * (np.sqrt(0.75 / share) - 1) for name, share in shares.items()}
    trials = {name: tried(mean_square=square) for name, square in squares.items()}
    found = weights_of(trials, dict.fromkeys(shares, 0.0), {}, 0.003)
    assert found == pytest.approx({name: shares[name] / 0.99 for name in ("utility", "harmful", "power")})


def test_a_parameter_that_the_runs_say_nothing_about_changes_no_evidence():
    runs = planted_runs(TWO_POOLS, lengths=LENGTHS, noise=0.003)
    problem, solution = solve(build_problem(LAWS["utility"], runs, POOLS, {}))
    gamma = problem.layout.place("gamma")
    free_X = problem.free_X.copy()
    free_X[gamma] = True  # one size of each pool: no run depends on it, and it stands where its prior does
    assert not problem.free_X[gamma]
    assert log_evidence(replace(problem, free_X=free_X), solution) == pytest.approx(
        log_evidence(problem, solution), abs=1e-9
    )


def test_runs_of_two_lengths_judge_no_law():
    assert try_law(LAWS["utility"], planted_runs(TWO_POOLS, lengths=LENGTHS[:2]), POOLS, {}) is None


def test_a_law_that_no_run_could_test_is_said_to_be_untested():
    runs = planted_runs(TWO_POOLS, lengths=(8_000_000, 64_000_000))
    laws = fit([*runs, *(replace(run, seed=1) for run in runs)], num_draws=0)
    assert all(score.heldout_mae is None for score in laws.comparison)
    assert any("was taken untested" in text and "runs of three lengths" in text for text in laws.status)


def test_laws_share_the_predictions_by_weight_the_heaviest_first():
    laws = fit(planted_runs(TWO_POOLS, lengths=LENGTHS, noise=0.003), num_draws=0)
    assert len(laws.fits) > 1  # so much noise tells none from all others
    assert sum(laws.weights) == pytest.approx(1)
    assert list(laws.weights) == sorted(laws.weights, reverse=True)
    assert min(laws.weights) > 0.02
    shares = {score.law: score.weight for score in laws.comparison if score.weight > 0}
    assert shares == {one.law: weight for one, weight in zip(laws.fits, laws.weights, strict=True)}


@pytest.mark.parametrize("name", ["utility", "harmful", "effective-data", "saturating", "bounded"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_planted_law_weighs_much_or_the_chosen_ones_predict_as_well(name, seed):
    truth = drawn_truth(name, seed)
    runs = planted_runs(truth, law=name, lengths=LENGTHS, noise=3e-4, seed=seed)
    later = [
        planted_run(truth, weights, 500_000_000, law=name)
        for weights in ([1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5])
    ]
    measured = np.array([run.error for run in later])
    chosen, alone = (fit(runs, law=law, num_draws=0) for law in ("auto", name))
    weight = dict(zip((one.law for one in chosen.fits), chosen.weights, strict=True)).get(name, 0.0)
    off, off_alone = (np.abs(predict_runs(laws, later) - measured).mean() for laws in (chosen, alone))
    assert weight > 0.5 or off < off_alone + 0.003
    assert off < 0.01


def test_the_table_of_laws_holds_all_that_were_tried():
    laws = fit(planted_runs(drawn_truth("saturating", 0), law="saturating", lengths=LENGTHS), num_draws=0)
    assert [score.law for score in laws.comparison] == [*AUTO, "power"]
    scores = {score.law: score for score in laws.comparison}
    assert laws.best.law == "saturating"
    assert scores["saturating"].weight > 0.9
    assert scores["saturating"].heldout_mae < 1e-6 < scores["utility"].heldout_mae
    assert scores["power"].weight == 0
    assert scores["power"].heldout_mae > scores["utility"].heldout_mae
    assert {score.heldout_runs for score in laws.comparison} == {3}
    assert scores["power"].num_parameters == 6  # A, n0, d and one b a pool
    assert scores["utility"].num_parameters == 9
    assert sum(score.weight for score in laws.comparison) == pytest.approx(1)
    (sentence,) = laws.status
    assert sentence.startswith(
        "Fitted to the shorter runs, the saturating law predicted the 3 longest within"
    )


def test_a_named_law_stands_alone_beside_the_baseline():
    laws = fit(planted_runs(TWO_POOLS, lengths=LENGTHS), law="bounded", num_draws=0)
    assert [one.law for one in laws.fits] == ["bounded"]
    assert laws.weights == (1.0,)
    assert [score.law for score in laws.comparison] == ["bounded", "power"]
    assert laws.status == ()


def test_the_harmful_law_takes_part_where_finished_runs_can_show_harm():
    runs = planted_runs(TWO_POOLS)
    unfinished = [replace(run, final=False) for run in runs]
    assert candidates(runs, {}) == AUTO
    assert "harmful" not in candidates(unfinished, {})
    assert candidates(unfinished, {"harm": 0.1}) == AUTO


def test_errors_at_the_edge_of_a_double_leave_weights_that_sum_to_one():
    far = (("p1", 157_346, 1e-12), ("p0", 30_705_690, 0.5043857850640368))
    runs = [
        Run(pool=pool, unique_samples=unique, samples_seen=340_753_396, error=error)
        for pool, unique, error in far
    ]
    assert sum(fit(runs, num_draws=0).weights) == pytest.approx(1.0)
