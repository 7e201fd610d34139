import numpy as np
import pytest

from tests.planning.shares.made import measured, mixes
from thresher.errors import InputError
from thresher.planning.shares.design import choose_runs
from thresher.planning.shares.inputs import Inputs
from thresher.planning.shares.model import fit_shares
from thresher.planning.shares.tuning import prior


def bare(shares):
    return Inputs(shares, np.empty((len(shares), 0)))


def left_variance(theta, bought, targets):
    """Mean posterior variance, by the textbook formula."""
    from thresher.planning.shares.kernel import covariance
    from thresher.planning.shares.solving import noisy_covariance

    towards = covariance(theta, targets, bought)
    explained = towards @ np.linalg.solve(noisy_covariance(theta, bought), towards.T)
    return np.trace(covariance(theta, targets, targets) - explained)


def test_each_run_is_the_one_that_leaves_least_variance():
    candidates, targets = bare(mixes(15)), bare(mixes(10, seed=2))
    theta = prior(candidates)[0]
    chosen = choose_runs(candidates, targets, 4)
    for step in range(4):
        left = [
            left_variance(theta, candidates.rows(np.array([*chosen[:step], one])), targets)
            for one in range(15)
        ]
        assert chosen[step] == int(np.argmin(left))


def test_chosen_runs_beat_random_ones():
    pool, targets = mixes(120), mixes(60, seed=5)
    losses, truth = measured(pool), measured(targets, noise=0)
    by_design = choose_runs(bare(pool), bare(targets), 14)

    def missed(rows):
        found, _ = fit_shares(pool[rows], losses[rows]).predict(targets)
        return ((np.log(found) - np.log(truth)) ** 2).mean()

    at_random = [missed(np.random.default_rng(seed).permutation(120)[:14]) for seed in range(5)]
    assert missed(by_design) < np.mean(at_random)


def test_what_was_bought_is_not_bought_again():
    pool, targets = bare(mixes(30)), bare(mixes(20, seed=5))
    whole = choose_runs(pool, targets, 6)
    rest = np.setdiff1d(np.arange(30), whole[:3])
    later = choose_runs(pool.rows(rest), targets, 3, bought=pool.rows(whole[:3]))
    assert rest[later].tolist() == whole[3:].tolist()
    assert len(set(whole.tolist())) == 6


def test_a_dear_run_is_put_off():
    pool, targets = bare(mixes(30)), bare(mixes(20, seed=5))
    first = choose_runs(pool, targets, 1)[0]
    cost = np.ones(30)
    cost[first] = 100
    assert choose_runs(pool, targets, 1, cost=cost)[0] != first


def test_more_runs_than_there_are_and_free_runs_are_refused():
    pool = bare(mixes(5))
    with pytest.raises(InputError, match="6 runs cannot be chosen from 5"):
        choose_runs(pool, pool, 6)
    with pytest.raises(InputError, match="costs are positive"):
        choose_runs(pool, pool, 1, cost=np.zeros(5))
