"""64-bit keys of uids, which order the candidates and seed their noise; sizes of sub-batch and chunks."""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

import torch

HEX_DIGITS = 32


def uid_keys(uids: Sequence[str]) -> torch.Tensor:
    """A key for every uid, int64 [B]; the same uid gives the same key on every machine.

    The two halves of 32 hexadecimal digits are folded by exclusive or; any other string is hashed first.

    >>> uid_keys(["0" * 31 + "1", "0" * 31 + "2"]).tolist()
    [1, 2]
    """
    return torch.tensor([signed(_fold(uid)) for uid in uids], dtype=torch.int64)


def _fold(uid: str) -> int:
    try:
        words = bytes.fromhex(uid) if len(uid) == HEX_DIGITS else b""
    except ValueError:
        words = b""
    if len(words) != HEX_DIGITS // 2:
        words = hashlib.blake2b(uid.encode(), digest_size=16).digest()
    return int.from_bytes(words[:8], "big") ^ int.from_bytes(words[8:], "big")


def signed(word: int) -> int:
    """The int64 with the bits of a number below 2^64."""
    return word - (1 << 64) if word >> 63 else word


class TooFewCandidates(ValueError):
    """More pairs are asked for than there are candidates with different keys."""


def sub_batch_size(super_batch: int, filter_ratio: float) -> int:
    """Pairs chosen from `super_batch` candidates, `(1 - filter_ratio) * super_batch` to the nearest integer.

    The ratio is read as the decimal number that it prints as, so that 0.9 drops nine tenths exactly.

    Raises:
        ValueError: the ratio lies outside [0, 1), or nothing would be chosen.

    >>> sub_batch_size(327_680, 0.9), sub_batch_size(16_384, 0.8)
    (32768, 3277)
    """
    if not 0 <= filter_ratio < 1:
        raise ValueError(f"filter_ratio is {filter_ratio}; take a share from 0 (keep all) to below 1")
    size = math.floor(super_batch * (1 - Fraction(str(filter_ratio))) + Fraction(1, 2))
    if size < 1:
        raise ValueError(f"filter_ratio {filter_ratio} leaves nothing of {super_batch} candidates")
    return size


def chunk_sizes(size: int, chunks: int) -> list[int]:
    """Pairs that each chunk brings; they differ by at most one and add up to `size` exactly.

    >>> chunk_sizes(10, 4), chunk_sizes(2, 4)
    ([3, 3, 2, 2], [1, 1])
    """
    if chunks < 1:
        raise ValueError(f"chunks is {chunks}; take at least 1")
    whole, rest = divmod(size, chunks)
    return [whole + (place < rest) for place in range(min(chunks, size))]
