import hashlib

from thresher.data.digests import digest, hasher, number_of


def test_settings_of_other_values_or_order_have_other_digests() -> None:
    assert len(digest("a", 1)) == 32
    assert digest("a", 1) == digest("a", 1)
    assert len({digest("a", 1), digest(1, "a"), digest("a1"), digest(["a", 1]), digest("a", "1")}) == 5


def test_pieces_count_as_one_text() -> None:
    found = hasher(b"one", b" ")
    found.update(b"two")
    assert found.hexdigest() == hashlib.blake2b(b"one two", digest_size=16).hexdigest()


def test_a_number_is_that_of_eight_bytes_the_highest_first() -> None:
    assert number_of(b"a") == int.from_bytes(hashlib.blake2b(b"a", digest_size=8).digest(), "big") < 2**64
