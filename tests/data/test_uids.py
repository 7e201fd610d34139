import pyarrow as pa
import pytest

from tests.small_pool import uid
from thresher.data import uids as uids_module
from thresher.data.uids import uid_bytes, uid_order, uid_texts, uid_words
from thresher.errors import InputError

UIDS = [*(uid(n) for n in range(50)), "0" * 32, "f" * 32, "0123456789ABCDEFabcdef0123456789"]


def test_uids_are_the_numbers_that_python_reads() -> None:
    expected = [divmod(int(text, 16), 2**64) for text in UIDS]
    for column in (UIDS, pa.array(UIDS), pa.array(UIDS)[3:], pa.chunked_array([UIDS[:7], [], UIDS[7:]])):
        start = len(UIDS) - len(column)
        assert list(map(tuple, uid_words(column).tolist())) == expected[start:]
    assert [bytes(value).ljust(16, b"\0") for value in uid_bytes(UIDS)] == [bytes.fromhex(u) for u in UIDS]


def test_texts_of_uids_come_from_words_and_from_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uids_module, "_ONE_CHUNK", 20)
    texts = [text.lower() for text in UIDS]
    assert uid_texts(uid_words(UIDS)).to_pylist() == uid_texts(uid_bytes(UIDS)).to_pylist() == texts
    assert uid_texts(uid_bytes(UIDS)).num_chunks == 3
    assert uid_texts(uid_bytes([])).to_pylist() == []


def test_uids_are_sorted_as_their_texts_are_and_equal_ones_keep_their_order() -> None:
    texts = [text.lower() for text in [*UIDS, *UIDS[::-3], "0" * 16 + "f" * 16, "0" * 31 + "1"]]
    assert uid_order(uid_bytes(texts)).tolist() == sorted(range(len(texts)), key=texts.__getitem__)
    assert uid_order(uid_bytes(UIDS[:20])).tolist() == sorted(range(20), key=UIDS.__getitem__)
    assert uid_order(uid_bytes([])).tolist() == []


@pytest.mark.parametrize("bad", ["", "7", "g" * 32, "0" * 31 + "é", "0" * 33, "0" * 30 + "/:"])
def test_what_is_no_uid_is_shown(bad: str) -> None:
    with pytest.raises(InputError, match="is not a uid"):
        uid_bytes([uid(1), bad])
