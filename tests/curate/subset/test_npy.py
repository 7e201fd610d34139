from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.small_pool import uid
from thresher.curate.subset.npy import read_npy_subset, write_npy
from thresher.errors import InputError


def test_an_independent_reading_of_the_dtype_finds_the_same_pairs(tmp_path: Path) -> None:
    uids = [uid(n) for n in range(20)] + ["0" * 32, "f" * 32, "8" + "0" * 31]
    repeats = np.arange(1, len(uids) + 1) % 3 + 1
    write_npy(tmp_path / "subset.npy", pa.array(uids), repeats)
    array = np.load(tmp_path / "subset.npy")
    assert array.dtype == np.dtype("u8,u8")
    assert array.dtype.descr == [("f0", "<u8"), ("f1", "<u8")]
    expected = sorted(
        (int(u[:16], 16), int(u[16:32], 16)) for u, k in zip(uids, repeats, strict=True) for _ in range(k)
    )
    assert array.tolist() == expected
    # as DataComp's resharder looks a uid up
    wanted = np.array([divmod(int(uids[4], 16), 2**64)], np.dtype("u8,u8"))[0]
    assert np.searchsorted(array, wanted, "right") - np.searchsorted(array, wanted, "left") == repeats[4]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    uids = sorted(uid(n) for n in range(50))
    repeats = np.asarray([n % 4 + 1 for n in range(50)])
    write_npy(tmp_path / "subset.npy", pa.array(uids[::-1]), repeats[::-1])
    assert read_npy_subset(tmp_path / "subset.npy").to_pydict() == {"uid": uids, "repeats": repeats.tolist()}


def test_an_empty_subset_is_read_back(tmp_path: Path) -> None:
    write_npy(tmp_path / "subset.npy", pa.array([], pa.string()), np.empty(0, np.int64))
    assert read_npy_subset(tmp_path / "subset.npy").num_rows == 0


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match="has dtype float64 and shape"):
        read_npy_subset(tmp_path / "other.npy")
    np.save(tmp_path / "objects.npy", np.asarray([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"objects.npy is not a .npy file that can be read"):
        read_npy_subset(tmp_path / "objects.npy")
    with pytest.raises(InputError, match="absent"):
        read_npy_subset(tmp_path / "absent.npy")
