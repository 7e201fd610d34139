"""Gumbel noise that is a function of (seed, step, chunk, uid), and the draw of the largest c by it.

The bits come from the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) in int64 arithmetic, which
wraps alike on every device. So the noise of a pair does not depend on which other pairs stand in the
super-batch, on their order, on the rank that holds it, or on what was drawn before a resume.

Adding Gumbel noise to logits and taking the `c` largest draws `c` items one after another, each with
probability proportional to `exp(logit)` among those left (Vieira 2014; Kool et al., arXiv 1903.06059): an
exact draw without replacement that needs no `exp` of a logit.
"""

import torch

from thresher.selection.keys import signed

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def gumbel(keys_B: torch.Tensor, *, seed: int, step: int, chunk: int) -> torch.Tensor:
    """Standard Gumbel noise for every key, fp64 [B]."""
    word = 0
    for number in (seed, step, chunk):
        word = _mix_number((word + GOLDEN) & MASK ^ (number & MASK))
    bits = _mix(_mix(keys_B + signed(GOLDEN)) ^ signed(word))
    uniform = (_shift_right(bits, 11).double() + 0.5) * 2.0**-53
    return -torch.log(-torch.log(uniform))


def _mix_number(word: int) -> int:
    word = (word ^ word >> 30) * MIX[0] & MASK
    word = (word ^ word >> 27) * MIX[1] & MASK
    return word ^ word >> 31


def _mix(words: torch.Tensor) -> torch.Tensor:
    words = (words ^ _shift_right(words, 30)) * signed(MIX[0])
    words = (words ^ _shift_right(words, 27)) * signed(MIX[1])
    return words ^ _shift_right(words, 31)


def _shift_right(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift: int64 has only the arithmetic one, which copies the sign."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def largest_places(values_B: torch.Tensor, keys_B: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the `count` largest values, the largest first; of equal ones those with the lower keys."""
    least = values_B.topk(count, sorted=False).values.min()
    candidates = (values_B >= least).nonzero().flatten()
    return candidates[by_value(values_B[candidates], keys_B[candidates])[:count]]


def by_value(values_n: torch.Tensor, keys_n: torch.Tensor) -> torch.Tensor:
    """The order of falling values, equal ones by rising keys."""
    by_key = torch.sort(keys_n, stable=True).indices
    return by_key[torch.sort(values_n[by_key], descending=True, stable=True).indices]


def perturb(
    logits_B: torch.Tensor, noise_B: torch.Tensor, blocked_B: torch.Tensor, gain: float
) -> torch.Tensor:
    """`gain * logit + noise` in fp64; what is blocked cannot be drawn."""
    return (logits_B.double() * gain + noise_B).masked_fill(blocked_B, -torch.inf)
