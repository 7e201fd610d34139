"""FLOPs of a model, counted on a real pass."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from thresher.models.towers import Towers


def forward_flops(towers: Towers, num_tokens: int) -> float:
    """FLOPs of embedding one pair (a multiply-add counts as two)."""
    images = torch.zeros(1, 3, towers.spec.size, towers.spec.size, device=towers.device)
    tokens = torch.ones(1, num_tokens, dtype=torch.long, device=towers.device)
    training, fast = towers.model.training, torch.backends.mha.get_fastpath_enabled()
    towers.model.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # attention in one kernel, which the counter does not know
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            towers.model(images, tokens)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        towers.model.train(training)
    return float(counter.get_total_flops())


def training_flops(towers: Towers, num_tokens: int) -> float:
    """FLOPs of one training step a pair: forward 1, backward 2."""
    return 3 * forward_flops(towers, num_tokens)
