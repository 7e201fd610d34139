"""Reading parts of files on web servers that answer byte ranges well, badly or not at all."""

import http.server
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.bad_pool import jpeg, write_tar
from tests.small_pool import uid, write_shards
from thresher.curate.subset.write import write_subset
from thresher.data.files.location import open_binary, read_bytes, read_ranges
from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.errors import InputError

DATA = os.urandom(3 * 2**20)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves byte ranges, `shift` bytes too late."""

    shift = 0

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        start = int(asked[1]) + self.shift
        part = data[start : int(asked[2]) + 1 + self.shift]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


class Shifted(Ranges):
    shift = 7


class Without(Ranges):
    """As Python's own server, which ignores ranges and sends the whole file."""

    def do_GET(self) -> None:
        http.server.SimpleHTTPRequestHandler.do_GET(self)


@contextmanager
def served(folder: Path, kind: type[Ranges]) -> Iterator[str]:
    def handler(*arguments: object) -> Ranges:
        return kind(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_ranges_of_a_server_that_has_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(DATA)
    with served(tmp_path, Ranges) as root:
        assert read_bytes(f"{root}/f.bin", 1000, 50) == DATA[1000:1050]
        assert read_bytes(f"{root}/f.bin") == DATA
        ranges = [(5, 10), (2 * 2**20, 3), (40, 1)]
        assert read_ranges(f"{root}/f.bin", ranges) == [DATA[start : start + size] for start, size in ranges]


@pytest.mark.parametrize("kind", [Without, Shifted])
def test_a_remote_range_answered_with_other_bytes_is_an_error(tmp_path: Path, kind: type[Ranges]) -> None:
    (tmp_path / "f.bin").write_bytes(DATA)
    with served(tmp_path, kind) as root:
        for read in (
            lambda: read_bytes(f"{root}/f.bin", 1000, 50),
            lambda: read_bytes(f"{root}/f.bin", 0, 50),
            lambda: read_ranges(f"{root}/f.bin", [(0, 10), (2 * 2**20, 3)]),
        ):
            with pytest.raises(OSError, match="serves no byte ranges; copy the files"):
                read()
        with open_binary(f"{root}/f.bin") as file:
            file.seek(2**20)
            with pytest.raises(OSError, match="serves no byte ranges"):
                file.read(10)


def test_whole_files_need_no_ranges(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.jpg", jpeg(1)), ("a.txt", b"a picture")])
    with served(tmp_path, Without) as root:
        (pair,) = read_pairs(f"{root}/0.tar")
    assert isinstance(pair, Pair)
    assert (pair.image_bytes, pair.caption) == (jpeg(1), "a picture")


def test_parquet_on_a_server_without_ranges_is_one_reason(tmp_path: Path) -> None:
    table = pa.table({"image": [os.urandom(2**20)] * 8, "caption": ["a picture"] * 8})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1)
    with served(tmp_path, Without) as root, pytest.raises(OSError, match="serves no byte ranges"):
        list(read_pairs(f"{root}/t.parquet"))


@pytest.mark.parametrize("kind", [Without, Shifted])
def test_a_subset_of_shards_whose_ranges_are_wrong_is_not_written(tmp_path: Path, kind: type[Ranges]) -> None:
    write_shards(tmp_path / "in", (5, 6))
    table = pa.table({"uid": [uid(1), uid(4)], "pool": ["a", "a"], "repeats": pa.array([1, 2], pa.int32())})
    with served(tmp_path / "in", kind) as root:
        shards = [f"{root}/{place:05d}.tar" for place in range(2)]
        with pytest.raises((OSError, InputError), match="serves no byte ranges"):
            write_subset(table, str(tmp_path / "out"), format="shards", shards=shards, pairs_per_shard=3)
    assert not list((tmp_path / "out").glob("*.tar"))
