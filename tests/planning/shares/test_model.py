import numpy as np
import pytest

from tests.planning.shares.made import exact, measured, mixes
from thresher.errors import InputError
from thresher.planning.shares.model import fit_shares


@pytest.fixture(scope="module")
def fitted():
    shares = mixes(60)
    return fit_shares(shares, measured(shares))


@pytest.fixture(scope="module")
def sized():
    shares, sizes = mixes(60), np.resize([1e8, 4e8, 1.6e9], 60)
    return fit_shares(shares, measured(shares, sizes=sizes), covariates=np.log(sizes)[:, None])


def test_losses_of_unseen_mixes_are_predicted_within_their_doubt(fitted):
    new = mixes(200, seed=7)
    found, doubt = fitted.predict(new)
    off = found - exact(new)
    assert np.all(1 - (off**2).mean(0) / exact(new).var(0) > 0.97)
    assert 0.8 < (np.abs(off) < 1.645 * doubt).mean() <= 1


def test_a_mix_far_from_all_runs_is_in_more_doubt(fitted):
    inside = fitted.inputs.shares.mean(0, keepdims=True)
    _, near = fitted.predict(inside)
    _, far = fitted.predict(np.array([[0.0, 0.0, 0.0, 1.0]]))
    assert np.all(far > 2 * near)


def test_leaving_out_a_domain_that_no_run_left_out_is_in_doubt():
    shares = 0.02 + 0.92 * mixes(50)
    fit = fit_shares(shares, measured(shares))
    _, known = fit.predict(np.array([[0.02, 0.32, 0.33, 0.33]]))
    _, unknown = fit.predict(np.array([[0.0, 0.33, 0.33, 0.34]]))
    assert unknown[0, 0] > 3 * known[0, 0]


def test_sizes_seen_together_tell_about_each(sized):
    new = mixes(100, seed=9)
    for size in (1e8, 1.6e9):
        found, _ = sized.predict(new, np.full((100, 1), np.log(size)))
        truth = exact(new, np.full(100, size))
        assert np.all(1 - ((found - truth) ** 2).mean(0) / truth.var(0) > 0.95)


def test_draws_have_the_mean_and_the_doubt_of_the_prediction(fitted):
    new = mixes(6, seed=8)
    found, doubt = fitted.predict(new)
    draws = fitted.draws(new, None, 4000, np.random.default_rng(0))
    assert draws.shape == (4000, *found.shape)
    assert np.median(draws, 0) == pytest.approx(found, rel=0.01)
    assert draws.std(0) == pytest.approx(doubt, rel=0.15)
    again = fitted.draws(new, None, 4000, np.random.default_rng(0))
    assert np.array_equal(draws, again)


def test_errors_that_go_together_widen_the_doubt_of_the_mean():
    shares = mixes(60)
    common = np.random.default_rng(3).standard_normal((60, 1))
    own = np.random.default_rng(4).standard_normal((60, 3))
    apart = fit_shares(shares, exact(shares) * np.exp(0.02 * own))
    together = fit_shares(shares, exact(shares) * np.exp(0.02 * np.broadcast_to(common, own.shape)))
    above = np.triu_indices(3, 1)
    assert together.correlation[above].min() > 0.7
    assert np.abs(apart.correlation[above]).max() < 0.5


def test_noise_is_found(fitted):
    assert np.all((fitted.noise > 0.001) & (fitted.noise < 0.01))


def test_runs_left_out_are_predicted_worse_than_seen(fitted):
    seen, _ = fitted.predict(fitted.inputs.shares)
    truth = measured(fitted.inputs.shares)
    assert ((fitted.left_out - truth) ** 2).sum() > ((seen - truth) ** 2).sum()
    assert 0.5 <= fitted.widening <= 5


def test_more_runs_than_are_tuned_to_are_all_used(monkeypatch):
    monkeypatch.setattr("thresher.planning.shares.left_out.MOST_TUNED", 40)
    shares = mixes(120)
    fit = fit_shares(shares, measured(shares)[:, :1])
    new = mixes(100, seed=7)
    off = fit.predict(new)[0] - exact(new)[:, :1]
    assert fit.solved.shape == (1, 120)
    assert 1 - (off**2).mean() / exact(new)[:, :1].var() > 0.97


@pytest.mark.parametrize(
    ("shares", "losses", "said"),
    [
        (mixes(3), measured(mixes(3)), "3 runs say nothing"),
        (2 * mixes(8), measured(mixes(8)), "shares of run 0"),
        (mixes(8), -measured(mixes(8)), "has to be positive"),
        (mixes(8), np.ones((8, 2)), "the same in all runs"),
        (mixes(8), np.ones((7, 2)), "for 8 runs"),
        (mixes(8)[[0] * 8], measured(mixes(8)), "all runs have the same shares"),
    ],
)
def test_tables_that_tell_nothing_are_refused(shares, losses, said):
    with pytest.raises(InputError, match=said):
        fit_shares(shares, losses)


def test_new_runs_of_another_kind_are_refused(fitted):
    with pytest.raises(InputError, match="have 3 shares"):
        fitted.predict(np.full((1, 3), 1 / 3))
    with pytest.raises(InputError, match="covariates have the shape"):
        fitted.predict(mixes(2), np.ones((2, 1)))
