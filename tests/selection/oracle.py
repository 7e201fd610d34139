"""The plain B x B version in fp64: every pair loss in one matrix, sums by masks. For tests only."""

import torch
from torch.nn.functional import softplus

from thresher.selection.choices import CRITERIA
from thresher.selection.embeddings import Embeddings


def pair_logits(model: Embeddings) -> torch.Tensor:
    """Logit of image i and text j, [B, B]."""
    return model.image_BD.double() @ model.text_BD.double().T * model.scale + model.bias


def score_matrix(learner: Embeddings, reference: Embeddings, criterion: str) -> torch.Tensor:
    """s_ij of the sigmoid loss, [B, B]."""
    weights = CRITERIA[criterion]
    sign = 1 - 2 * torch.eye(len(learner), dtype=torch.float64)
    losses = [softplus(sign * pair_logits(model)) for model in (learner, reference)]
    return weights.learner * losses[0] + weights.reference * losses[1]


def sigmoid_logits(scores_BB: torch.Tensor, chosen: list[int]) -> torch.Tensor:
    """`s_jj + sum over the chosen i of (s_ij + s_ji)`."""
    return scores_BB.diagonal() + scores_BB[chosen].sum(0) + scores_BB[:, chosen].sum(1)


def logits_after(
    learner: Embeddings, reference: Embeddings, criterion: str, loss: str, chosen: torch.Tensor
) -> torch.Tensor:
    """Logit of every candidate that is not chosen, once those in `chosen` are."""
    if loss == "siglip":
        return sigmoid_logits(score_matrix(learner, reference, criterion), chosen.tolist())
    weights = CRITERIA[criterion]
    total = torch.zeros(len(learner), dtype=torch.float64)
    for weight, model in ((weights.learner, learner), (weights.reference, reference)):
        z_BB = pair_logits(model)
        own_B = z_BB.diagonal()
        rows_B = torch.cat([z_BB[:, chosen], own_B[:, None]], dim=1).logsumexp(1)
        columns_B = torch.cat([z_BB[chosen], own_B[None]], dim=0).logsumexp(0)
        total += weight * ((rows_B + columns_B) / 2 - own_B)
    return total


def exact_softmax_loss(model: Embeddings, chosen: list[int]) -> torch.Tensor:
    """Summed softmax loss of a batch, each pair against all others of it."""
    z = pair_logits(model)[chosen][:, chosen]
    return ((z.logsumexp(1) + z.logsumexp(0)) / 2 - z.diagonal()).sum()
