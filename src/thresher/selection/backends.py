"""Ways to compute the sums of pair losses: on tiles, on tiles with a compiled kernel, fused on CUDA.

They differ in speed only.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch.nn.functional import softplus

from thresher.selection import pairwise
from thresher.selection.criteria import Weighted
from thresher.selection.embeddings import Embeddings
from thresher.selection.folding import LOG2E, Affine
from thresher.selection.threads import Workers

_Sum = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Sums over a chunk for each of the two losses; see `thresher.selection.pairwise`."""

    sigmoid_sums: Callable[[list[Weighted], list[Embeddings], Workers], torch.Tensor]
    softmax_sums: Callable[[Embeddings, Embeddings, Workers], torch.Tensor]


def _tiles(device: torch.device) -> Backend:
    """Plain operations on tiles."""
    del device
    return Backend(sigmoid_sums=pairwise.sigmoid_sums, softmax_sums=pairwise.softmax_sums)


def _compile(device: torch.device) -> Backend:
    """The same tiles, reduced by one compiled kernel; needs a C++ compiler on a CPU."""
    del device
    return Backend(
        sigmoid_sums=partial(pairwise.sigmoid_sums, reduce=softplus_sum),
        softmax_sums=partial(pairwise.softmax_sums, reduce=exp_sum),
    )


def _triton(device: torch.device) -> Backend:
    """One fused kernel for products and sums."""
    if importlib.util.find_spec("triton") is None:
        raise ValueError("backend 'triton' needs the package triton; take 'tiles' or 'auto'")
    from thresher.selection import triton_tiles

    if not triton_tiles.usable(device):
        raise ValueError(f"backend 'triton' needs a CUDA device, not {device}; take 'tiles' or 'auto'")
    return Backend(sigmoid_sums=triton_tiles.sigmoid_sums, softmax_sums=triton_tiles.softmax_sums)


BACKENDS: dict[str, Callable[[torch.device], Backend]] = {
    "tiles": _tiles,
    "compile": _compile,
    "triton": _triton,
}


def make_backend(name: str, device: torch.device) -> Backend:
    """The backend called `name`; `auto` takes the fastest that works on the device.

    Raises:
        ValueError: it does not work on this device or machine.
    """
    if name == "auto":
        fused = device.type == "cuda" and importlib.util.find_spec("triton") is not None
        name = "triton" if fused else "tiles"
    return BACKENDS[name](device)


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
