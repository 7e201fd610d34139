"""Gumbel top-c: an exact draw without replacement that needs no `exp` of a logit.

Adding Gumbel noise to logits and taking the `c` largest draws `c` items one after another, each with
probability proportional to `exp(logit)` among those left (Vieira 2014; Kool et al., arXiv 1903.06059).
"""

import torch


def top_places(values_B: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the `count` largest values, ascending; of equal values the first ones."""
    least = values_B.topk(count, sorted=False).values.min()
    above = (values_B > least).nonzero().flatten()
    level = (values_B == least).nonzero().flatten()[: count - len(above)]
    return torch.cat([above, level]).sort().values


def drawn_order(values_c: torch.Tensor) -> torch.Tensor:
    """The order in which sequential sampling would have brought them: largest perturbed logit first."""
    return torch.sort(values_c, descending=True, stable=True).indices


def perturb(
    logits_B: torch.Tensor, noise_B: torch.Tensor, blocked_B: torch.Tensor, gain: float
) -> torch.Tensor:
    """`gain * logit + noise` in fp64; what is blocked cannot be drawn."""
    return (logits_B.double() * gain + noise_B).masked_fill(blocked_B, -torch.inf)
