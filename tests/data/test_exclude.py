import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.data.exclude import read_exclude
from thresher.errors import InputError

UIDS = ["0123456789abcdef" * 2, "ffffffffffffffff0000000000000001"]


def test_no_list_excludes_nothing():
    assert read_exclude(None) == frozenset()


def test_text_npy_and_parquet_hold_the_same_uids(tmp_path):
    (tmp_path / "a.txt").write_text(
        f"# opt-outs\n{UIDS[0].upper()}\n\n  {UIDS[1]}\r\n{UIDS[0]}\n", encoding="utf-8-sig"
    )
    pairs = [(int(uid[:16], 16), int(uid[16:], 16)) for uid in UIDS]
    np.save(tmp_path / "a.npy", np.array(pairs, dtype=np.dtype("u8,u8")))
    pq.write_table(pa.table({"uid": UIDS, "why": ["a", "b"]}), tmp_path / "a.parquet")
    for name in ("a.txt", "a.npy", "a.parquet"):
        assert read_exclude(tmp_path / name) == frozenset(UIDS)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", f"{UIDS[0]}\nhttp://example.com\n".encode(), "line 2 .* 'http://example.com', not a uid"),
        ("a.txt", b"\xff\xfe\x00", "line 1"),
        ("a.npy", b"no array", "not a readable .npy"),
        ("a.parquet", b"no table", "not a readable Parquet"),
    ],
)
def test_a_list_with_something_else_in_it_is_refused(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_exclude(tmp_path / name)


def test_wrong_columns_dtypes_and_paths_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    pq.write_table(pa.table({"id": UIDS}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"uid": [UIDS[0], None]}), tmp_path / "b.parquet")
    for name, reason in (
        ("a.npy", "dtype float64"),
        ("b.npy", "not a readable .npy"),
        ("a.parquet", "no column 'uid'; its columns are id"),
        ("b.parquet", "row 1"),
        ("absent.txt", "there is no exclude list"),
    ):
        with pytest.raises(InputError, match=reason):
            read_exclude(tmp_path / name)


def test_an_npy_with_a_damaged_header_and_an_archive_are_refused_in_a_sentence(tmp_path):
    np.save(tmp_path / "a.npy", np.array([(1, 2)], dtype="u8,u8"))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b")]", b"(("))
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    for name in ("a.npy", "b.npy"):
        with pytest.raises(InputError, match=r"is not a readable .npy file: "):
            read_exclude(tmp_path / name)


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.timestamp("us", "No/Where")])
def test_a_column_without_values_in_python_is_refused_in_a_sentence(tmp_path, kind):
    pq.write_table(pa.table({"uid": pa.array([2**62], pa.int64()).cast(kind)}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"exclude list .*a.parquet"):
        read_exclude(tmp_path / "a.parquet")
