from pathlib import Path

import numpy as np

from thresher.data.files.spill import Spill, bucket_bits

ROW = np.dtype([("number", "<u8"), ("flag", "u1")])


def test_a_bucket_holds_its_rows_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    buckets = random.integers(0, 5, 1000)
    rows = np.zeros(1000, ROW)
    rows["number"], rows["flag"] = np.arange(1000), buckets
    with Spill(tmp_path, ROW, 7, run_rows=64) as spill:
        for start in range(0, 1000, 90):
            spill.add(buckets[start : start + 90], rows[start : start + 90])
        for number in range(7):
            assert spill.bucket(number)["number"].tolist() == np.flatnonzero(buckets == number).tolist()
        assert list(tmp_path.iterdir()) == []  # the file has no name that a killed process could leave


def test_rows_come_back_while_more_are_added(tmp_path: Path) -> None:
    with Spill(tmp_path, "<i8", 2) as spill:
        spill.add(np.array([0, 1]), np.array([10, 11]))
        assert spill.bucket(1).tolist() == [11]
        spill.add(np.array([1]), np.array([12]))
        assert spill.bucket(1).tolist() == [11, 12]


def test_buckets_stay_about_as_large_however_many_rows_there_are() -> None:
    assert [bucket_bits(10**power) for power in (3, 6, 8, 9)] == [0, 2, 9, 12]
