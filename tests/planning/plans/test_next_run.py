"""Which run to pay for next."""

import numpy as np
import pytest

from tests.planning.laws.planted import POOL_SIZE, parameters, planted_run, planted_runs
from tests.planning.plans.drawn import drawn_laws
from thresher.errors import InputError
from thresher.planning.laws.fit import fit
from thresher.planning.plans.next_run import CandidateRun, candidate_runs, describe, suggest, verdict

TRUTH = parameters(b=(-0.16, -0.125, -0.10, -0.085), tau=(6.7, 8.5, 5.3, 2.3))
BUDGETS = [128_000_000, 640_000_000]


def laws_of(runs, **given):
    return fit(runs, law="utility", num_draws=100, **given)


@pytest.fixture(scope="module")
def unworn():
    """Runs that hardly repeat anything: the half-lives, and so the large budget, are open."""
    lengths = (4_000_000, 8_000_000, 16_000_000)
    return laws_of(planted_runs(TRUTH, noise=0.002, lengths=lengths))


def test_where_wear_is_unknown_a_run_that_repeats_is_suggested(unworn):
    found = suggest(unworn, candidate_runs(unworn, BUDGETS), BUDGETS)
    best = found[0].candidate
    passes = best.samples_seen / sum(best.num_unique.values())
    assert passes > 2
    assert found[0].regret_fall > 0
    assert found[0].worth
    assert verdict(found, loss=False).startswith("The next run to make is")
    per_cost = [one.regret_fall / one.cost_share for one in found]
    assert per_cost == sorted(per_cost, reverse=True)


def test_a_suggested_run_lowers_the_doubt_as_expected(unworn):
    runs = planted_runs(TRUTH, noise=0.002, lengths=(4_000_000, 8_000_000, 16_000_000))
    """Of one pool, since that is what is planted here."""
    candidates = [run for run in candidate_runs(unworn, BUDGETS) if len(run.weights) == 1]
    best = suggest(unworn, candidates, BUDGETS)[0].candidate
    ((pool, unique),) = best.num_unique.items()
    weights = [float(pool == f"p{number}") for number in range(4)]
    more = [
        planted_run(TRUTH, weights, best.samples_seen, unique=unique, pool_samples=POOL_SIZE, seed=seed)
        for seed in (1, 2)
    ]
    before = suggest(unworn, [best], BUDGETS)[0]
    after = suggest(laws_of([*runs, *more]), [best], BUDGETS)[0]
    assert after.regret_fall < before.regret_fall


def test_runs_made_together_do_not_tell_the_same(unworn):
    candidates = candidate_runs(unworn, BUDGETS)
    alone = suggest(unworn, candidates, BUDGETS)
    found = suggest(unworn, candidates, BUDGETS, together=3)
    assert len(found) == len(alone)
    assert found[0] == alone[0]
    by_itself = {one.about: one.regret_fall for one in alone}
    assert found[1].regret_fall < max(one.regret_fall for one in alone)
    assert {one.about for one in found} == set(by_itself)
    twice = suggest(unworn, [alone[0].candidate] * 2, BUDGETS, together=2)
    assert twice[1].regret_fall < twice[0].regret_fall / 2
    assert 0 <= twice[1].variance_fall < twice[0].variance_fall / 2


def test_where_all_is_known_no_run_is_worth_it():
    truth = parameters(b=(-0.3, -0.05), tau=(50.0, 50.0))
    lengths = (8_000_000, 32_000_000, 128_000_000, 512_000_000)
    known = laws_of(planted_runs(truth, noise=0.0005, lengths=lengths))
    found = suggest(known, candidate_runs(known, [64_000_000]), [64_000_000])
    assert not any(one.worth for one in found)
    assert verdict(found, loss=False).startswith("No further run is worth it")


def test_candidates_cover_pools_and_their_mix_at_every_share_and_length(unworn):
    found = candidate_runs(unworn, BUDGETS, shares=(1.0, 0.25), lengths=(0.1, 0.2), longest=100_000_000)
    assert len(found) == 5 * 2  # four pools and all together; the longer length is above the longest
    assert {run.samples_seen for run in found} == {64_000_000}
    assert describe(found[0]) == "p0, 12.8M pairs of it, 64M samples seen (5 passes)"
    np.testing.assert_allclose([sum(run.weights.values()) for run in found], 1.0)


def test_no_run_is_proposed_on_an_empty_pool():
    found = candidate_runs(drawn_laws(), BUDGETS, sizes={"p0": 10_000_000, "p1": 0, "p2": 5_000_000})
    assert {tuple(run.weights) for run in found} == {("p0",), ("p2",), ("p0", "p2")}


def test_costs_are_shares_of_the_largest_budget(unworn):
    candidates = candidate_runs(unworn, BUDGETS, flops_per_sample=3e9, lengths=(1 / 64,), shares=(1.0,))
    found = suggest(unworn, candidates, BUDGETS, flops_per_sample=3e9)
    assert [one.cost_share for one in found] == pytest.approx([1 / 64] * len(found))


def test_what_cannot_be_asked_is_said(unworn):
    candidates = candidate_runs(unworn, BUDGETS)
    with pytest.raises(InputError, match="candidate runs and budgets"):
        suggest(unworn, [], BUDGETS)
    few = fit(planted_runs(TRUTH), law="utility", num_draws=10)
    with pytest.raises(InputError, match="10 draws, too few"):
        suggest(few, candidates, BUDGETS)
    strange = CandidateRun(weights={"x": 1.0}, num_unique={"x": 10}, samples_seen=10, flops=1.0)
    with pytest.raises(InputError, match="no law for pool 'x'"):
        suggest(unworn, [strange], BUDGETS)
