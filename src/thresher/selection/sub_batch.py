"""One sub-batch out of a super-batch.

Shapes: B candidates, b chosen.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from thresher.selection.backends import BACKENDS, make_backend
from thresher.selection.choices import CRITERIA, LOSSES, METHODS
from thresher.selection.criteria import Weighted, diagonal_score, weighted_models
from thresher.selection.embeddings import Embeddings, take
from thresher.selection.joint import Running
from thresher.selection.keys import TooFewCandidates, chunk_sizes
from thresher.selection.noise import drawn_order, gumbel, perturb, top_places
from thresher.selection.threads import tile_workers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The chosen pairs, in the order in which they were drawn."""

    places_b: torch.Tensor  # int64, rows of the super-batch as it was given
    score_B: torch.Tensor  # fp32, score s_jj of every candidate by itself
    logit_b: torch.Tensor  # fp32, logit of each chosen pair when it was drawn
    flops: float  # of the selection's matrix products


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """What the methods share: candidates in order of their keys, and the noise."""

    keys_B: torch.Tensor
    blocked_B: torch.Tensor
    size: int
    chunks: int
    gain: float
    step: int
    seed: int

    @classmethod
    def of(
        cls, keys_B: torch.Tensor, *, size: int, chunks: int, gain: float, step: int, seed: int
    ) -> "_Draw":
        """A draw from candidates in order of their keys; of equal keys all but the first are blocked."""
        blocked_B = torch.zeros_like(keys_B, dtype=torch.bool)
        blocked_B[1:] = keys_B[1:] == keys_B[:-1]
        available = int((~blocked_B).sum())
        if not 1 <= size <= available:
            raise TooFewCandidates(f"size is {size}; take from 1 to the {available} different candidates")
        return cls(
            keys_B=keys_B, blocked_B=blocked_B, size=size, chunks=chunks, gain=gain, step=step, seed=seed
        )


def select(
    learner: Embeddings | None,
    reference: Embeddings | None,
    keys_B: torch.Tensor,
    *,
    size: int,
    step: int,
    seed: int,
    method: str = "joint",
    criterion: str = "learnability",
    loss: str = "siglip",
    chunks: int = 16,
    gain: float = 1.0,
    backend: str = "auto",
) -> Selection:
    """Choose `size` of the candidates.

    The choice depends on the embeddings, the keys, `seed` and `step`, not on the order of the candidates. Of
    candidates with one key only the first can be chosen.

    Args:
        learner: embeddings by the model in training, scored without gradient; `None` where the criterion
            does without.
        reference: embeddings by the reference model, likewise.
        keys_B: a key for each candidate, from `uid_keys`.
        size: pairs to choose, exactly.
        step: of the training; another step brings other noise.
        seed: of the noise.
        method: `joint`, `independent` (scores of pairs by themselves) or `uniform`.
        criterion: `learnability`, `easy-reference` or `hard-learner`.
        loss: whose pair losses are the scores, `siglip` (sigmoid) or `clip` (softmax).
        chunks: steps in which joint selection draws; 16 in the paper.
        gain: factor of the logits, 1 in the paper; 0 draws uniformly, large values draw greedily.
        backend: how the sums are computed, `auto`, `tiles`, `compile` or `triton`; changes the speed only.

    Raises:
        ValueError: an unknown name, embeddings that are absent, of another shape or not finite, or fewer
            different candidates than `size`.

    >>> import torch
    >>> x = torch.eye(8)
    >>> learner = Embeddings(image_BD=x, text_BD=x.flip(0), scale=10.0, bias=-2.0)
    >>> reference = Embeddings(image_BD=x, text_BD=x, scale=10.0, bias=-2.0)
    >>> len(select(learner, reference, torch.arange(8), size=3, step=0, seed=0).places_b)
    3
    """
    check_names(method=method, criterion=criterion, loss=loss, backend=backend)
    models = [] if method == "uniform" else weighted_models(criterion, learner, reference, len(keys_B))
    if models:
        keys_B = keys_B.to(models[0].embeddings.image_BD.device)
    with torch.no_grad(), tile_workers(keys_B.device) as workers:
        order_B = torch.sort(keys_B, stable=True).indices
        models = [_in_order(model, order_B) for model in models]
        score_B = diagonal_score(models, loss) if models else torch.zeros_like(keys_B, dtype=torch.float32)
        draw = _Draw.of(keys_B[order_B], size=size, chunks=chunks, gain=gain, step=step, seed=seed)
        if method == "joint":
            running = Running(models, loss, make_backend(backend, score_B.device), workers)
            places_b, logit_b, flops = _joint(draw, running)
        else:
            places_b, logit_b, flops = _by_score(draw, score_B)
        return Selection(
            places_b=order_B[places_b],
            score_B=torch.empty_like(score_B).index_copy_(0, order_B, score_B),
            logit_b=logit_b,
            flops=flops,
        )


def check_names(**given: str) -> None:
    """Refuse a method, criterion, loss or backend that does not exist."""
    known: dict[str, Collection[str]] = {
        "method": METHODS,
        "criterion": CRITERIA,
        "loss": LOSSES,
        "backend": ("auto", *BACKENDS),
    }
    for what, name in given.items():
        if name not in known[what]:
            raise ValueError(f"{what} {name!r} is unknown; take one of {', '.join(known[what])}")


def _joint(draw: _Draw, running: Running) -> tuple[torch.Tensor, torch.Tensor, float]:
    blocked_B, places, logits = draw.blocked_B.clone(), [], []
    sizes = chunk_sizes(draw.size, draw.chunks)
    for chunk, count in enumerate(sizes):
        logit_B = running.logits()
        places_c, order_c = _top(draw, logit_B, blocked_B, count, chunk)
        blocked_B[places_c] = True
        places.append(places_c[order_c])
        logits.append(logit_B[places[-1]])
        if chunk + 1 < len(sizes):
            running.add([take(model.embeddings, places_c) for model in running.models])
    return torch.cat(places), torch.cat(logits), running.flops


def _by_score(draw: _Draw, score_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Independent selection, and uniform selection where all scores are zero: one draw, no pairs of pairs."""
    places_c, order_c = _top(draw, score_B, draw.blocked_B, draw.size, 0)
    places_b = places_c[order_c]
    return places_b, score_B[places_b], 0.0


def _in_order(model: Weighted, order_B: torch.Tensor) -> Weighted:
    if bool((order_B[1:] > order_B[:-1]).all()):
        return model
    return Weighted(weight=model.weight, embeddings=take(model.embeddings, order_B))


def _top(
    draw: _Draw, logit_B: torch.Tensor, blocked_B: torch.Tensor, count: int, chunk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    noise_B = gumbel(draw.keys_B, seed=draw.seed, step=draw.step, chunk=chunk)
    values_B = perturb(logit_B, noise_B, blocked_B, draw.gain)
    places_c = top_places(values_B, count)
    return places_c, drawn_order(values_B[places_c])
