"""Embeddings for tests: pairs that agree more or less, some of them near one another."""

import torch
from torch.nn.functional import normalize

from thresher.selection.embeddings import Embeddings


def made(
    num_pairs: int,
    dim: int = 32,
    *,
    seed: int = 0,
    scale: float = 10.0,
    bias: float = -10.0,
    noise: float = 0.5,
    dtype: torch.dtype = torch.float32,
) -> Embeddings:
    """Unit embeddings around a few topics; `noise` sets how far image and text of a pair lie apart."""
    draw = torch.Generator().manual_seed(seed)
    topics = torch.randn(max(2, num_pairs // 16), dim, generator=draw)
    topic = torch.randint(len(topics), (num_pairs,), generator=draw)
    pairs = topics[topic] + torch.randn(num_pairs, dim, generator=draw)
    apart = noise * torch.rand(num_pairs, 1, generator=draw) * torch.randn(num_pairs, dim, generator=draw)
    return Embeddings(
        image_BD=normalize(pairs, dim=1).to(dtype),
        text_BD=normalize(pairs + apart, dim=1).to(dtype),
        scale=scale,
        bias=bias,
    )


def keys(num_pairs: int, seed: int = 0) -> torch.Tensor:
    """Different keys in no order."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randperm(num_pairs, generator=draw) * 7919 - 31
