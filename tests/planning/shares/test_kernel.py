import numpy as np
import pytest

from tests.planning.shares.made import mixes
from thresher.planning.shares.inputs import Inputs
from thresher.planning.shares.kernel import Gram, covariance, num_parameters, variance
from thresher.planning.shares.tuning import negative_evidence, prior


@pytest.fixture(params=[0, 1, 2])
def inputs(request):
    generator = np.random.default_rng(request.param)
    return Inputs(mixes(12, request.param), generator.standard_normal((12, request.param)))


def parameters(inputs, seed=0):
    centres, widths = prior(inputs)
    return centres + 0.3 * widths * np.random.default_rng(seed).standard_normal(len(centres))


def test_the_covariance_is_one_and_the_same_however_it_is_reached(inputs):
    theta = parameters(inputs)
    among = covariance(theta, inputs, inputs)
    assert len(theta) == num_parameters(inputs)
    assert Gram(theta, inputs).covariance == pytest.approx(among)
    assert variance(theta, inputs) == pytest.approx(np.diag(among))
    assert np.linalg.eigvalsh(among).min() > -1e-9


def test_the_pairs_are_the_sum_over_all_pairs_of_domains(inputs):
    theta = parameters(inputs)
    without = theta.copy()
    without[4] = -50
    bare = Inputs(inputs.shares, inputs.covariates[:, :0])
    cut = 6 + inputs.shares.shape[1]
    singles = []
    for domain in range(inputs.shares.shape[1]):
        alone = without[:cut].copy()
        alone[3] = -50
        alone[6:] = -50
        alone[6 + domain] = theta[6 + domain]
        singles.append(covariance(alone, bare, bare) - 4)
    pairs = sum(singles[i] * singles[j] for i in range(len(singles)) for j in range(i))
    found = covariance(theta[:cut], bare, bare) - covariance(without[:cut], bare, bare)
    assert found == pytest.approx(np.exp(2 * theta[4]) * pairs)


def test_slopes_of_the_evidence_are_those_of_differences(inputs):
    theta = parameters(inputs, 3)
    levels = np.random.default_rng(5).standard_normal(len(inputs))
    _, slopes = negative_evidence(theta, inputs, levels)
    for place in range(len(theta)):
        step = 1e-5 * np.eye(len(theta))[place]
        ahead, behind = (negative_evidence(theta + one, inputs, levels)[0] for one in (step, -step))
        assert slopes[place] == pytest.approx((ahead - behind) / 2e-5, rel=1e-4, abs=1e-5)
