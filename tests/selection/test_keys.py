import hashlib

import pytest
import torch

from thresher.selection.keys import uid_keys


def test_halves_of_hexadecimal_digits_are_folded() -> None:
    assert uid_keys(["00000000000000ff" + "000000000000000f"]).tolist() == [0xF0]
    assert uid_keys(["ffffffffffffffff" + "0000000000000000"]).tolist() == [-1]


@pytest.mark.parametrize("uid", ["cat.jpg", "z" * 32, " " + "0" * 31, "0" * 31 + " ", "", "ü" * 32])
def test_any_other_string_is_hashed(uid: str) -> None:
    digest = hashlib.blake2b(uid.encode(), digest_size=16).hexdigest()
    assert torch.equal(uid_keys([uid]), uid_keys([digest]))


def test_keys_of_many_uids_differ() -> None:
    keys = uid_keys([f"{place:032x}" for place in range(10_000)])
    assert keys.dtype == torch.int64
    assert len(keys.unique()) == 10_000
