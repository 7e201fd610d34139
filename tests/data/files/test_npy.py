import io
import tokenize
from pathlib import Path

import numpy as np
import pytest

from thresher.data.files.npy import BadArray, load_array, read_header


def npy(header: str, version: bytes = b"\x01\0") -> bytes:
    head = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(head).to_bytes(2, "little") + head + bytes(64)


DAMAGED = {
    "open bracket": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, }"),
    "more than there is memory": npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 16), }"
    ),
    "no such type": npy("{'descr': 3, 'fortran_order': False, 'shape': (3,), }"),
    "many digits": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }"),
    "nothing": b"",
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("mapped", [False, True])
def test_damage_is_one_short_line(tmp_path: Path, data: bytes, mapped: bool) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(BadArray) as refusal:
        load_array(tmp_path / "a.npy", mapped=mapped)
    assert "\n" not in str(refusal.value)
    assert 0 < len(str(refusal.value)) <= 200


def test_a_header_that_numpy_cannot_split_is_damage() -> None:
    data = DAMAGED["open bracket"]
    with pytest.raises(tokenize.TokenError):
        np.lib.format.read_array(io.BytesIO(data))
    file = io.BytesIO(data)
    with pytest.raises(BadArray):
        read_header(file)


def test_an_archive_is_no_array(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(BadArray, match="archive of several arrays"):
        load_array(tmp_path / "a.npy")


def test_an_array_comes_back(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float16).reshape(3, 2)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(load_array(tmp_path / "a.npy", mapped=True), array)
    with (tmp_path / "a.npy").open("rb") as file:
        assert read_header(file) == ((3, 2), False, array.dtype)
