"""Sums of pair losses between all candidates and a chunk, in tiles that stay in a cache.

Shapes: B candidates, T of them in a tile, c pairs of a chunk, r of them in a part, D dimensions. A tile of
logits has 2r rows: r texts against the tile's images, then r images against its texts. Tiles and parts
depend on the sizes alone, and the last tile is filled up, so every logit comes out alike wherever its
candidate stands.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from thresher.selection.criteria import Weighted
from thresher.selection.embeddings import Embeddings, logit_bound
from thresher.selection.folding import LOG2E, ROOM, Affine, exp_sum, softplus_sum
from thresher.selection.threads import Workers


@dataclass(frozen=True, slots=True)
class Shape:
    """Candidates of a tile, and the most pairs of a chunk that it takes at once."""

    candidates: int
    rows: int


SHAPES = {"cpu": Shape(1024, 256)}
"""Two megabytes of logits for a core, near enough to it, and products large enough to be quick."""
LARGE = Shape(4096, 1024)
"""On an accelerator: about what its shared cache holds."""
HALF_PRODUCTS = hasattr(torch.ops.aten.mm, "dtype")
"""Does this torch multiply half types into fp32?"""
SigmoidReduce = Callable[[torch.Tensor, int, Affine], torch.Tensor]
SoftmaxReduce = Callable[[torch.Tensor, Affine], torch.Tensor]


def sigmoid_sums(
    models: list[Weighted],
    chunks: list[Embeddings],
    workers: Workers,
    reduce: SigmoidReduce = softplus_sum,
) -> torch.Tensor:
    """`sum_i (s_ij + s_ji)` of every candidate `j` over the pairs `i` of a chunk, fp32 [B].

    Both terms are those of negatives, `l_ij = softplus(scale * image_i . text_j + bias)`. Candidates that are
    themselves in the chunk get a term with themselves too; the caller has no use for them.

    Args:
        models: learner and reference with their signs, all candidates.
        chunks: the same models' embeddings of the chunk.
        workers: threads that share the tiles.
        reduce: sums softplus over the rows of a tile, as `softplus_sum` does.
    """
    jobs = [
        (model, _Tiles(model.embeddings, chunk, model.embeddings.bias))
        for model, chunk in zip(models, chunks, strict=True)
    ]
    images_BD = models[0].embeddings.image_BD
    num_rows, shape = len(images_BD), _shape(images_BD.device)
    total_B = images_BD.new_zeros(num_rows, dtype=torch.float32)

    def work(first: int, step: int) -> None:
        buffer_CT = images_BD.new_empty((2 * shape.rows + ROOM, shape.candidates), dtype=torch.float32)
        for start in range(first * shape.candidates, num_rows, step * shape.candidates):
            sums_T = total_B[start : start + shape.candidates]
            for model, tiles in jobs:
                for count in tiles.products(buffer_CT, start):
                    part_T = reduce(buffer_CT, 2 * count, tiles.affine)
                    sums_T.add_(part_T[: len(sums_T)], alpha=model.weight)

    workers.spread(work)
    return total_B


def softmax_sums(
    model: Embeddings, chunk: Embeddings, workers: Workers, reduce: SoftmaxReduce = exp_sum
) -> torch.Tensor:
    """Log-sum-exp of the logits of every candidate over a chunk, fp32 [2, B].

    First of each candidate's image against the chunk's texts, then of its text against the chunk's images.
    The bias is left out; it cancels from the loss.
    """
    tiles = _Tiles(model, chunk, bias=0.0)
    num_rows, shape = len(model), _shape(model.image_BD.device)
    out_2B = model.image_BD.new_full((2, num_rows), -torch.inf, dtype=torch.float32)

    def work(first: int, step: int) -> None:
        buffer_CT = model.image_BD.new_empty((2 * shape.rows, shape.candidates), dtype=torch.float32)
        for start in range(first * shape.candidates, num_rows, step * shape.candidates):
            lse_2T = out_2B.new_full((2, shape.candidates), -torch.inf)
            for count in tiles.products(buffer_CT, start):
                for side, side_T in enumerate(lse_2T):
                    part_T = reduce(buffer_CT[side * count : (side + 1) * count], tiles.affine)
                    torch.logaddexp(side_T, part_T, out=side_T)
            out_2B[:, start : start + shape.candidates] = lse_2T[:, : num_rows - start]

    workers.spread(work)
    return out_2B


class _Tiles:
    """Products of one model between candidates and a chunk, and how they become logits.

    The factor of the logits goes into the chunk where that is fp32; half types would round it.
    """

    def __init__(self, candidates: Embeddings, chunk: Embeddings, bias: float) -> None:
        self.candidates, self.shape = candidates, _shape(candidates.image_BD.device)
        factor, image_cD, text_cD = candidates.scale * LOG2E, chunk.image_BD, chunk.text_BD
        if image_cD.dtype == torch.float32:
            image_cD, text_cD, factor = image_cD * factor, text_cD * factor, 1.0
        self.affine = Affine(factor, bias * LOG2E, logit_bound(candidates) + bias)
        num_parts = math.ceil(len(chunk) / self.shape.rows)
        self.image_rD, self.text_rD = image_cD.tensor_split(num_parts), text_cD.tensor_split(num_parts)

    def products(self, buffer_CT: torch.Tensor, start: int) -> Iterator[int]:
        """Put the products of one part after another into a buffer, for the tile that begins at `start`.

        Yields:
            r, pairs in the part; 2r rows are filled.
        """
        width = self.shape.candidates
        image_DT = _filled(self.candidates.image_BD[start : start + width], width).T
        text_DT = _filled(self.candidates.text_BD[start : start + width], width).T
        for image_rD, text_rD in zip(self.image_rD, self.text_rD, strict=True):
            count = len(image_rD)
            _multiply(text_rD, image_DT, buffer_CT[:count])
            _multiply(image_rD, text_DT, buffer_CT[count : 2 * count])
            yield count


def _multiply(left_rD: torch.Tensor, right_DT: torch.Tensor, out_rT: torch.Tensor) -> None:
    """Matrix product in fp32, of half types too."""
    if left_rD.dtype == torch.float32:
        torch.mm(left_rD, right_DT, out=out_rT)
    elif HALF_PRODUCTS:
        out_rT.copy_(torch.mm(left_rD, right_DT, out_dtype=torch.float32))
    else:
        torch.mm(left_rD.float(), right_DT.float(), out=out_rT)


def _shape(device: torch.device) -> Shape:
    return SHAPES.get(device.type, LARGE)


def _filled(rows_TD: torch.Tensor, width: int) -> torch.Tensor:
    if len(rows_TD) == width:
        return rows_TD
    return torch.nn.functional.pad(rows_TD, (0, 0, 0, width - len(rows_TD)))
