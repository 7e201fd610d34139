"""64-bit keys of uids: they order the candidates and seed their noise."""

import hashlib
from collections.abc import Sequence

import torch

HEX_DIGITS = 32


def uid_keys(uids: Sequence[str]) -> torch.Tensor:
    """A key for every uid, int64 [B]; the same uid gives the same key on every machine.

    The two halves of 32 hexadecimal digits are folded by exclusive or; any other string is hashed first.

    >>> uid_keys(["0" * 31 + "1", "0" * 31 + "2"]).tolist()
    [1, 2]
    """
    return torch.tensor([_signed(_fold(uid)) for uid in uids], dtype=torch.int64)


def _fold(uid: str) -> int:
    try:
        words = bytes.fromhex(uid) if len(uid) == HEX_DIGITS else b""
    except ValueError:
        words = b""
    if len(words) != HEX_DIGITS // 2:
        words = hashlib.blake2b(uid.encode(), digest_size=16).digest()
    return int.from_bytes(words[:8], "big") ^ int.from_bytes(words[8:], "big")


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
