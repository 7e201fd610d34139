"""Damage to bytes, as disks, networks and other programs do it."""

from random import Random

ODD = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"9" * 5000,
    b"\xed\xa0\x80",
)


def damaged(random: Random, data: bytes, times: int | None = None) -> bytes:
    """The bytes with a few changes: bits flipped, runs overwritten, cut out or inserted, an end cut off."""
    held = bytearray(data)
    for _ in range(times or random.choice((1, 1, 1, 2, 3, 8))):
        if not held:
            break
        place = random.randrange(len(held))
        length = random.choice((1, 1, 2, 4, 16, 512))
        match random.randrange(9):
            case 0 | 1:
                held[place] ^= 1 << random.randrange(8)
            case 2:
                held[place] = random.randrange(256)
            case 3:
                held[place : place + length] = random.randbytes(length)
            case 4:
                del held[place : place + length]
            case 5:
                held[place:place] = held[place : place + length] * random.choice((1, 1, 3))
            case 6:
                held[place:place] = random.choice(ODD)
            case 7:
                odd = random.choice(ODD[:6])
                held[place : place + len(odd)] = odd
            case 8:
                del held[place:]
    return bytes(held)
