"""Joint selection: the running logit of every candidate, given what has been chosen.

Shapes: B candidates, c pairs of a chunk.
"""

import torch
from torch.nn.functional import softplus

from thresher.selection.backends import Backend
from thresher.selection.criteria import Weighted, diagonal_score
from thresher.selection.embeddings import Embeddings, diagonal
from thresher.selection.threads import Workers


class Running:
    """Logits of the candidates, brought up to date chunk by chunk in O(B) memory.

    For the sigmoid loss `logit_j = s_jj + sum_{i in S} (s_ij + s_ji)`.

    For the softmax loss, with `T = S + {j}`, `L_j = 1/2 [LSE_{k in T} z_jk + LSE_{k in T} z_kj] - z_jj`;
    what `j` does to the denominators of `S` is left out, and with nothing chosen every `L_j` is 0. Kept are
    the two log-sum-exps over `S` alone: `LSE_{k in T} z_jk - z_jj = softplus(LSE_{k in S} z_jk - z_jj)`
    holds its digits where the loss is small.
    """

    def __init__(self, models: list[Weighted], loss: str, backend: Backend, workers: Workers) -> None:
        self.models, self.loss, self.backend, self.workers = models, loss, backend, workers
        self.flops = 0.0
        self._logit_B = diagonal_score(models, loss) if loss == "siglip" else torch.empty(0)
        self._diagonal = [diagonal(model.embeddings) for model in models] if loss == "clip" else []
        self._lse = [z_B.new_full((2, len(z_B)), -torch.inf, dtype=torch.float64) for z_B in self._diagonal]

    def logits(self) -> torch.Tensor:
        """Logit of every candidate, fp32 [B]; of those that were chosen it means nothing."""
        if self.loss == "siglip":
            return self._logit_B
        losses = [
            model.weight * softplus((lse_2B - diagonal_B).double()).mean(0)
            for model, lse_2B, diagonal_B in zip(self.models, self._lse, self._diagonal, strict=True)
        ]
        return torch.stack(losses).sum(0).float()

    def add(self, chunks: list[Embeddings]) -> None:
        """Count in a chunk that was chosen, given by each model's embeddings of it in a fixed order."""
        if self.loss == "siglip":
            self._logit_B += self.backend.sigmoid_sums(self.models, chunks, self.workers)
        else:
            for place, (model, chunk) in enumerate(zip(self.models, chunks, strict=True)):
                lse_2B = self.backend.softmax_sums(model.embeddings, chunk, self.workers).double()
                self._lse[place] = torch.logaddexp(self._lse[place], lse_2B)
        for model, chunk in zip(self.models, chunks, strict=True):
            rows, dim = model.embeddings.image_BD.shape
            self.flops += 4.0 * len(chunk) * rows * dim
