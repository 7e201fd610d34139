"""One sub-batch out of a super-batch.

Shapes: B candidates, b chosen.
"""

import torch

from thresher.selection.across_ranks import Selection, select_across
from thresher.selection.embeddings import Embeddings
from thresher.selection.exchange import Group


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
    return select_across(
        *(learner, reference, keys_B),
        size=size,
        step=step,
        seed=seed,
        method=method,
        criterion=criterion,
        loss=loss,
        chunks=chunks,
        gain=gain,
        backend=backend,
        process_group=Group(rank=0, world=1),
    )
