import numpy as np
import pytest

from tests.planning.shares.made import exact, mixes
from thresher.planning.shares.inputs import Inputs
from thresher.planning.shares.law import fit_law, law_logarithms
from thresher.planning.shares.left_out import law_share
from thresher.planning.shares.model import fit_shares

PLANTED = np.array([0.5, -0.3, -0.1, -2.0, 0.4, 0.1, -0.5])


def test_a_planted_law_is_recovered():
    inputs = Inputs(mixes(80), np.random.default_rng(0).standard_normal((80, 1)))
    found = fit_law(inputs, law_logarithms(PLANTED, inputs), 1e-3)
    new = Inputs(mixes(50, seed=4), np.zeros((50, 1)))
    assert law_logarithms(found, new) == pytest.approx(law_logarithms(PLANTED, new), abs=2e-3)


def test_the_law_gets_the_weight_where_it_holds_and_not_where_it_does_not():
    shares = mixes(60)
    bare = Inputs(shares, np.empty((60, 0)))
    lawful = np.exp(law_logarithms(np.delete(PLANTED, 2), bare))
    losses = np.column_stack([lawful, exact(shares)[:, 0]])
    losses *= np.exp(0.003 * np.random.default_rng(1).standard_normal(losses.shape))
    share = fit_shares(shares, losses).law_share
    assert share[0] > 0.5 > share[1]


def test_the_weight_leaves_less_error_than_either_alone():
    generator = np.random.default_rng(0)
    process, law = generator.standard_normal((2, 300, 1))
    share = law_share(process, law, np.arange(300))
    both = (1 - share) * process + share * law
    assert (both**2).sum() < min((process**2).sum(), (law**2).sum())
    assert law_share(process, 100 * law, np.arange(300))[0] < 0.01
