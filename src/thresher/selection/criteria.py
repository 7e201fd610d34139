"""How a pair is scored from the losses of a learner and a reference."""

from dataclasses import dataclass

import torch
from torch.nn.functional import softplus

from thresher.selection.choices import CRITERIA
from thresher.selection.embeddings import Embeddings, check, diagonal, prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A model's embeddings and the sign with which its loss enters the score."""

    weight: int
    embeddings: Embeddings


def weighted_models(
    criterion: str, learner: Embeddings | None, reference: Embeddings | None, num_rows: int
) -> list[Weighted]:
    """The models that the criterion needs, checked.

    Raises:
        ValueError: a model that is needed is absent, or its shape does not fit.
    """
    weights = CRITERIA[criterion]
    models = []
    for name, weight, given in (
        ("learner", weights.learner, learner),
        ("reference", weights.reference, reference),
    ):
        if not weight:
            continue
        if given is None:
            raise ValueError(f"criterion {criterion!r} needs the embeddings of the {name}; none were given")
        check(name, given, num_rows)
        models.append(Weighted(weight=weight, embeddings=prepared(given)))
    return models


def diagonal_score(models: list[Weighted], loss: str) -> torch.Tensor:
    """Score of every pair by itself, `s_jj`, fp32 [B].

    For the sigmoid loss the loss of the pair as a positive. For the softmax loss only the term that needs no
    other pair, minus the logit of the positive; the bias cancels from that loss and is left out.

    In fp64 before it is rounded, as vector and scalar code of fp32 functions differ in the last bit and a
    pair's place would decide which of the two it gets.
    """
    terms = []
    for model in models:
        logit_B = diagonal(model.embeddings).double()
        term_B = softplus(-logit_B - model.embeddings.bias) if loss == "siglip" else -logit_B
        terms.append(model.weight * term_B)
    return torch.stack(terms).sum(0).float()
