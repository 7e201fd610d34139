import multiprocessing
import os
import pickle
import threading
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.bad_pool import OK, jpeg, pair_members, write_tar
from tests.watching import watched
from thresher.data.index import Index, build_index
from thresher.data.pairs import Pair
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs
from thresher.data.uids import uid_bytes
from thresher.errors import InputError


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Three shards of four pairs; the first and the last pair of the second stand in other shards as well."""
    uids = [[f"{10 * shard + number:032x}" for number in range(4)] for shard in range(3)]
    uids[1][0], uids[1][3] = uids[0][2], uids[2][1]
    paths = []
    for number, shard_uids in enumerate(uids):
        members = [
            member
            for place, uid in enumerate(shard_uids)
            for member in pair_members(
                f"{number}-{place}", jpeg(10 * number + place), f"words {place}", uid=uid
            )
        ]
        write_tar(tmp_path / f"{number}.tar", members)
        paths.append(str(tmp_path / f"{number}.tar"))
    return paths


def test_random_access_gives_the_bytes_of_sequential_reading(shards):
    index = build_index(shards[::2], cache=None)
    pairs = [item for shard in shards[::2] for item in read_pairs(shard) if isinstance(item, Pair)]
    assert [pair.uid for pair in pairs] == index.table.column("uid").to_pylist()
    for row in (7, 0, 3, 4, 0):
        assert index.image_bytes(row) == pairs[row].image_bytes
        assert index.members(row) == pairs[row].members
        assert [index.member_bytes(member) for member in index.members(row)][1] == pairs[row].caption.encode()


def test_every_bad_input_is_a_row_or_a_reject(bad_pool):
    folder, expected = bad_pool
    index = build_index(expand(str(folder)), cache=None)
    keys = set(index.table.column("key").to_pylist())
    assert {case for case, outcome in expected.items() if outcome == OK} <= keys
    rejected = {row["key"] or Path(row["shard"]).name for row in index.rejects.to_pylist()}
    assert keys | rejected == set(expected)
    assert not keys & rejected


def test_of_pairs_in_several_shards_the_first_stays(shards):
    index = build_index(shards, cache=None)
    assert len(index) == 10
    found = {row["key"]: (row["uid"], row["stage"], row["reason"]) for row in index.rejects.to_pylist()}
    assert found == {
        "1-0": (f"{2:032x}", "index", f"duplicate uid: '0-2' of {shards[0]} has it"),
        "2-1": (f"{21:032x}", "index", f"duplicate uid: '1-3' of {shards[1]} has it"),
    }
    turned = build_index(shards[::-1], cache=None)
    assert set(turned.rejects.column("key").to_pylist()) == {"0-2", "1-3"}


def test_excluded_pairs_are_rejected_and_make_room_for_their_repeats(shards):
    out = f"{2:032x}"
    index = build_index(shards, cache=None, exclude=frozenset({out, "f" * 32}))
    assert out not in index.table.column("uid").to_pylist()
    stages = sorted((row["key"], row["stage"]) for row in index.rejects.to_pylist())
    assert stages == [("0-2", "exclude"), ("1-0", "exclude"), ("2-1", "index")]


def test_rows_follow_the_uids_asked_for(shards):
    index = build_index(shards, cache=None)
    uids = index.table.column("uid").to_pylist()
    order = [7, 0, 7, 3]
    asked = [uids[row] for row in order]
    for form in (asked, pa.array(asked), pa.chunked_array([asked[:1], asked[1:]]), (uid for uid in asked)):
        rows = index.rows(form)
        assert rows.dtype == np.int64
        assert rows.tolist() == order
    assert index.rows([]).tolist() == []
    absent = "ab" * 15 + "00"
    with pytest.raises(InputError, match=f"1 of 2 uids are not among the 10 pairs.*{absent}"):
        index.rows([uids[0], absent])
    with pytest.raises(InputError, match="'no uid' is not a uid"):
        index.rows(["no uid"])


def test_an_unchanged_shard_is_not_read_again_and_a_changed_one_is(shards, tmp_path):
    def read() -> tuple[Index, list[str]]:
        with watched("open") as opened:
            index = build_index(shards, cache=tmp_path / "cache")
        return index, [shard for shard in shards if shard in opened]

    first, opened = read()
    assert opened == shards
    second, opened = read()
    assert opened == []
    assert second.table.equals(first.table)
    assert second.rejects.equals(first.rejects)
    assert build_index(shards, cache=None).table.equals(first.table)
    write_tar(Path(shards[1]), pair_members("new", jpeg(77), "fresh"))
    third, opened = read()
    assert third.table.column("key").to_pylist()[4] == "new"
    assert opened == [shards[1]]


def test_a_damaged_cache_is_read_anew(shards, tmp_path):
    first = build_index(shards, cache=tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert build_index(shards, cache=tmp_path / "cache").table.equals(first.table)


def test_the_cache_of_a_shard_that_vanished_is_not_believed(shards, tmp_path):
    build_index(shards[:1], cache=tmp_path / "cache")
    Path(shards[0]).unlink()
    index = build_index(shards[:1], cache=tmp_path / "cache")
    assert len(index) == 0
    assert "No such file" in index.rejects.column("reason")[0].as_py()


def test_a_file_that_vanished_or_shrank_is_named(shards):
    index = build_index(shards[:2], cache=None)
    Path(shards[0]).unlink()
    os.truncate(shards[1], 600)
    for row, reason in ((0, r"0\.tar cannot be read any more"), (5, r"1\.tar is shorter")):
        with pytest.raises(InputError, match=reason):
            index.image_bytes(row)


def _first_image(index: Index) -> bytes:
    return index.image_bytes(0)


def test_workers_and_threads_read_for_themselves(shards):
    index = build_index(shards, cache=None)
    data = index.image_bytes(0)
    copy = pickle.loads(pickle.dumps(index))
    assert copy.image_bytes(3) == index.image_bytes(3)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first_image, (index,)) == data
    found: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(
                index.image_bytes(row % 10) == copy.image_bytes(row % 10) for row in range(50)
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 200


def _num_open() -> int:
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


def test_open_files_stay_few(tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"{number}.txt").write_text(f"{number}", encoding="utf-8")
    index = build_index([str(tmp_path)], cache=None)
    before = _num_open()
    for row in range(len(index)):
        index.image_bytes(row)
    assert _num_open() <= before + 64


def test_tables_and_remote_files_are_reached_too(tmp_path, shards):
    pq.write_table(
        pa.table({"image": [jpeg(1), jpeg(2)], "caption": ["a", "b"]}),
        tmp_path / "t.parquet",
        row_group_size=1,
    )
    url = f"memory://{uuid.uuid4().hex}/x.tar"
    fsspec.filesystem("memory").pipe(url, Path(shards[2]).read_bytes())
    index = build_index([str(tmp_path / "t.parquet"), url], cache=tmp_path / "cache")
    assert index.table.column("image_length").to_pylist()[:2] == [-1, -1]
    assert [index.image_bytes(row) for row in (1, 0, 4)] == [jpeg(2), jpeg(1), jpeg(22)]
    again = build_index([str(tmp_path / "t.parquet"), url], cache=tmp_path / "cache")
    assert again.table.equals(index.table)


def test_an_index_of_nothing_is_empty():
    index = build_index([], cache=None)
    assert len(index) == 0
    assert index.rows([]).tolist() == []


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20))
def test_uid_bytes_keep_equality_and_order(raw):
    uids = [data.hex() for data in raw]
    keys = uid_bytes(uids)
    assert [key.ljust(16, b"\0").hex() for key in keys.tolist()] == uids
    assert [uids[place] for place in np.argsort(keys, kind="stable")] == sorted(uids)
