"""Digests: short texts that stand for settings or data, and are the same on every machine."""

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SIZE = 16
"""Bytes of a digest, 32 hexadecimal digits; other sizes are for names and numbers that users keep."""


def digest(*settings: object) -> str:
    """32 hexadecimal digits that stand for settings that JSON can hold (of others their text counts).

    >>> digest({"seed": 1, "lr": 0.1}) == digest({"lr": 0.1, "seed": 1})
    True
    """
    return hasher(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def hasher(*pieces: "ReadableBuffer", size: int = SIZE) -> hashlib.blake2b:
    """BLAKE2b of some pieces one after the other, which goes on with `update`.

    >>> hasher(b"a", b"cat").hexdigest() == hasher(b"acat").hexdigest()
    True
    """
    found = hashlib.blake2b(digest_size=size)
    for piece in pieces:
        found.update(piece)
    return found


def number_of(data: "ReadableBuffer") -> int:
    """A whole number below 2^64 that stands for some bytes.

    >>> number_of(b"a cat") == number_of(b"a cat") != number_of(b"a dog")
    True
    """
    return int.from_bytes(hasher(data, size=8).digest(), "big")
