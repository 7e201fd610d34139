"""FLOPs of a model, counted on a real pass."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from thresher.models.towers import Towers


def forward_flops(towers: Towers, num_tokens: int) -> float:
    """FLOPs of embedding one pair (a multiply-add counts as two)."""
    return _count(towers, num_tokens, backward=False)


def training_flops(towers: Towers, num_tokens: int) -> float:
    """FLOPs of one training step a pair, forward and backward; the loss, which depends on the batch, apart.

    Close to three times the forward pass: nothing flows back into the pixels.
    """
    return _count(towers, num_tokens, backward=True)


def loss_flops(batch_size: int, dim: int) -> float:
    """FLOPs of the loss of a batch: its similarities, and their gradients with respect to both sides."""
    return 6.0 * batch_size**2 * dim


def _count(towers: Towers, num_tokens: int, *, backward: bool) -> float:
    model = towers.model
    images = torch.zeros(1, 3, towers.spec.size, towers.spec.size, device=towers.device)
    tokens = torch.ones(1, num_tokens, dtype=torch.long, device=towers.device)
    training, fast = model.training, torch.backends.mha.get_fastpath_enabled()
    model.eval()  # in which no dropout draws and no batch norm keeps statistics
    torch.backends.mha.set_fastpath_enabled(False)  # attention in one kernel, which the counter does not know
    try:
        # With gradients in both: without, the counter fails in the attention of timm's SigLIP towers.
        with FlopCounterMode(display=False) as counter, torch.enable_grad():
            output = model(images, tokens)
            if backward:
                first, second = list(output.values() if isinstance(output, dict) else output)[:2]
                (first.sum() + second.sum()).backward()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        model.train(training)
        if backward:
            model.zero_grad()
    return float(counter.get_total_flops())
