"""Sums over the rows of a tile of logits: of softplus, and of exponentials, without overflow.

Shapes: C rows of a tile, T columns. Logits are in units of log 2, as `exp2` is several times faster than
`exp`.

A sum of softplus terms is the logarithm of a product, `sum_i log(1 + a_i) = log prod_i (1 + a_i)` with
`a_i = e^(z_i)`. Rows are multiplied in pairs as `(1 + a)(1 + b) - 1 = a + b + a b`, which loses no digits
where `a` is small, so that a whole group of rows needs one `log1p`.
"""

import math
from dataclasses import dataclass

import torch

LINEAR = 20.0
"""Above it softplus(z) is z to one part in 10^9."""
GROUP = 85.0
"""Bound of the summed softplus of a group; e^85 is still an fp32 number."""
MAX_FOLDS = 4
ROOM = 1 << MAX_FOLDS
"""Rows that `softplus_sum` may need behind its last one."""
PLAIN = 60.0
"""Exponentials of logits up to this size, and sums of them, stay well inside fp32."""
LOG2E = math.log2(math.e)


@dataclass(frozen=True, slots=True)
class Affine:
    """How logits come from the products in a tile, `(factor * product + bias) * log 2`."""

    factor: float
    bias: float
    bound: float  # no logit is larger than this, without the factor log 2


def _to_logits(products_CT: torch.Tensor, affine: Affine) -> torch.Tensor:
    if affine.factor != 1:
        products_CT.mul_(affine.factor)
    return products_CT.add_(affine.bias) if affine.bias else products_CT


def softplus_sum(buffer_CT: torch.Tensor, count: int, affine: Affine) -> torch.Tensor:
    """Sum of softplus over the logits of the first `count` rows, fp32 [T]; overwrites the buffer.

    Args:
        buffer_CT: products, and `ROOM` more rows with any content.
        count: rows of products.
        affine: turns products into logits.
    """
    logits_CT = _to_logits(buffer_CT[:count], affine)
    excess_T = None
    if affine.bound > LINEAR and float(logits_CT.max()) > LINEAR * LOG2E:
        excess_T = (logits_CT - LINEAR * LOG2E).clamp_(min=0).sum(0) / LOG2E
        logits_CT.clamp_(max=LINEAR * LOG2E)
    torch.exp2(logits_CT, out=logits_CT)
    folds = num_folds(affine.bound)
    height = -(-count >> folds)
    buffer_CT[count : height << folds].zero_()
    for fold in reversed(range(folds)):
        half = height << fold
        upper, lower = buffer_CT[:half], buffer_CT[half : 2 * half]
        upper.addcmul_(upper, lower).add_(lower)
    sum_T = buffer_CT[:height].log1p_().sum(0)
    return sum_T if excess_T is None else sum_T + excess_T


def num_folds(bound: float) -> int:
    """How often rows may be multiplied in pairs before the product of `1 + e^bound` leaves fp32."""
    largest = max(min(bound, LINEAR), 0.0) + math.log(2)
    return min(MAX_FOLDS, int(math.log2(GROUP / largest)))


def exp_sum(products_CT: torch.Tensor, affine: Affine) -> torch.Tensor:
    """Log-sum-exp over the logits of all rows, which have no bias, fp32 [T]; overwrites the products."""
    logits_CT = _to_logits(products_CT, affine)
    if affine.bound <= PLAIN:
        return logits_CT.exp2_().sum(0).log_()
    largest_T = logits_CT.amax(0)
    sum_T = logits_CT.sub_(largest_T).exp2_().sum(0)
    return sum_T.log2_().add_(largest_T).div_(LOG2E)
