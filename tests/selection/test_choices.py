"""What the criteria mean, said without the table that defines them."""

import torch
from torch.nn.functional import softplus

from tests.selection.made import made
from thresher.selection.choices import CRITERIA
from thresher.selection.criteria import diagonal_score, weighted_models
from thresher.selection.embeddings import Embeddings


def own_loss(model: Embeddings) -> torch.Tensor:
    """Sigmoid loss of every pair as a positive, [B]."""
    logit_B = (model.image_BD.double() * model.text_BD.double()).sum(1) * model.scale + model.bias
    return softplus(-logit_B)


def test_learnable_is_what_the_learner_finds_hard_and_the_reference_easy() -> None:
    learner, reference = made(40, seed=1), made(40, seed=2, noise=0.2)
    meant = {
        "learnability": own_loss(learner) - own_loss(reference),
        "easy-reference": -own_loss(reference),
        "hard-learner": own_loss(learner),
    }
    assert set(meant) == set(CRITERIA)
    for criterion, score_B in meant.items():
        models = weighted_models(criterion, learner, reference, 40)
        torch.testing.assert_close(diagonal_score(models, "siglip").double(), score_B, rtol=1e-5, atol=1e-5)


def test_a_model_with_which_a_criterion_does_nothing_need_not_be_given() -> None:
    model = made(8)
    assert [used.weight for used in weighted_models("hard-learner", model, None, 8)] == [1]
    assert [used.weight for used in weighted_models("easy-reference", None, model, 8)] == [-1]
