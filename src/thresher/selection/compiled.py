"""Sums over the rows of a tile, each by one kernel that torch.compile makes."""

from collections.abc import Callable
from functools import cache

import torch
from torch.nn.functional import softplus

from thresher.selection.folding import LOG2E, Affine

_Sum = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def softplus_sum(buffer_CT: torch.Tensor, count: int, affine: Affine) -> torch.Tensor:
    """As `thresher.selection.folding.softplus_sum`."""
    return _kernels()[0](buffer_CT[:count], *_natural(buffer_CT, affine))


def exp_sum(products_CT: torch.Tensor, affine: Affine) -> torch.Tensor:
    """As `thresher.selection.folding.exp_sum`."""
    return _kernels()[1](products_CT, *_natural(products_CT, affine))


@cache
def _kernels() -> tuple[_Sum, _Sum]:
    return torch.compile(_softplus_sum, dynamic=True), torch.compile(_exp_sum, dynamic=True)


def _softplus_sum(products_CT: torch.Tensor, factor: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return softplus(products_CT * factor + bias).sum(0)


def _exp_sum(products_CT: torch.Tensor, factor: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(products_CT * factor + bias, 0)


def _natural(like: torch.Tensor, affine: Affine) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and bias in natural units; as tensors, since a new number would be compiled again."""
    return like.new_tensor(affine.factor / LOG2E), like.new_tensor(affine.bias / LOG2E)
