import fcntl
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.data.files.atomic import (
    append_jsonl,
    atomic_path,
    remove_leftovers,
    table_writer,
    write_json,
    write_table,
)
from thresher.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_writer_goes_on(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.txt"
    flushed = []

    def flush(descriptor: int) -> None:
        status = os.fstat(descriptor)
        flushed.append(
            (status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else None, path.exists())
        )

    monkeypatch.setattr(os, "fsync", flush)
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    file, folder = (one.stat().st_ino for one in (path, tmp_path))
    assert flushed == [(file, 5, False), (folder, None, True)]


def test_an_appended_line_is_on_the_disk_before_the_writer_goes_on(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    append_jsonl(tmp_path / "runs.jsonl", {"a": 1})
    append_jsonl(tmp_path / "runs.jsonl", {"a": 2})
    assert flushed == [9, 18]


def test_a_temporary_name_matches_no_reader(tmp_path):
    with atomic_path(tmp_path / "part.parquet") as temporary:
        temporary.write_bytes(b"x")
        assert temporary.parent == tmp_path
        assert not list(tmp_path.glob("*.parquet"))
        assert temporary.name.startswith(".")
    assert [path.name for path in tmp_path.glob("*")] == ["part.parquet"]


def test_a_file_is_not_written_over_a_folder(tmp_path):
    (tmp_path / "out.json").mkdir()
    with pytest.raises(InputError, match="a folder of that name exists"):
        write_json(tmp_path / "out.json", {})


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    code = (
        "import os, signal, sys; from thresher.data.files.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as p:\n"
        "    p.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.json")], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 1
    with atomic_path(tmp_path / "b.json") as living:  # the first write into the folder cleans it
        living.write_text("x")
        assert remove_leftovers(tmp_path) == 0
        assert names(tmp_path) == [living.name]


def test_a_process_looks_for_leftovers_in_a_folder_once(tmp_path, monkeypatch):
    looked, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: looked.append(folder) or iterdir(folder))
    for number in range(3):
        write_json(tmp_path / f"{number}.json", number)
    assert looked == [tmp_path]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, which tells ended processes")
def test_the_leftovers_of_a_process_that_ended_and_was_not_asked_how_go(tmp_path):
    code = (
        "import os, signal, sys; from thresher.data.files.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as p:\n"
        "    p.write_text('half'); print('ready', flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.json")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert (
            killed.stdout.read() == "ready\n"
        )  # the end of the file: it has died, and nobody has waited for it
        while not Path(f"/proc/{killed.pid}/stat").read_text().rpartition(")")[2].startswith(" Z"):
            time.sleep(0.01)
        assert remove_leftovers(tmp_path) == 1


def test_json_keeps_its_order_and_takes_numpy_values(tmp_path):
    write_json(tmp_path / "a.json", {"b": np.float32(0.5), "a": [np.int64(2), np.arange(2)], "text": "é"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '"é"' in text
    assert list(json.loads(text).items()) == [("b", 0.5), ("a", [2, [0, 1]]), ("text", "é")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), np.array([1.0, np.nan])])
def test_a_number_that_json_cannot_hold_is_refused_by_its_place(tmp_path, value):
    with pytest.raises(InputError, match=r"pools\.1\.b"):
        write_json(tmp_path / "laws.json", {"pools": [{}, {"b": value}]})
    with pytest.raises(InputError, match=r"pools\.1\.b"):
        append_jsonl(tmp_path / "runs.jsonl", {"pools": [{}, {"b": value}]})
    assert names(tmp_path) == []


def test_a_value_without_json_form_is_refused(tmp_path):
    with pytest.raises(InputError, match="of type set has no JSON form"):
        write_json(tmp_path / "a.json", {"a": {1}})


def test_a_table_has_the_same_bytes_however_it_was_chunked(tmp_path):
    table = pa.table({"uid": [f"{row:032x}" for row in range(1000)], "score": np.arange(1000.0)})
    write_table(tmp_path / "one.parquet", table)
    write_table(tmp_path / "two.parquet", pa.concat_tables([table.slice(0, 7), table.slice(7)]))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize("rows", [0, 7, 10, 20, 23])
def test_a_table_written_piece_by_piece_has_the_bytes_of_the_whole_one(tmp_path, monkeypatch, rows):
    monkeypatch.setattr("thresher.data.files.atomic.ROW_GROUP_ROWS", 10)
    table = pa.table({"uid": [f"{row:032x}" for row in range(rows)], "score": np.arange(float(rows))})
    write_table(tmp_path / "whole.parquet", table)
    with table_writer(tmp_path / "pieces.parquet", table.schema) as add:
        for start in range(0, rows, 6):
            add(table.slice(start, 6))
    assert (tmp_path / "pieces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "whole.parquet").num_row_groups == max(1, -(-rows // 10))


def test_a_torn_last_line_goes_and_a_whole_one_without_its_end_stays(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": ' + "9" * 100_000)
    append_jsonl(path, {"a": 3})
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n{"a": 3}\n'
    path.write_text('{"a": 1}')
    append_jsonl(path, {"a": 2})
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def _append_many(path: Path, name: str) -> None:
    """In a process of its own, in which a line reaches the file in two halves with time between them."""
    write = os.write

    def write_slowly(descriptor: int, data: bytes) -> int:
        if len(data) < 2:
            return write(descriptor, data)
        half = len(data) // 2
        written = write(descriptor, data[:half])
        time.sleep(0.005)
        return written + write(descriptor, data[half:])

    os.write = write_slowly
    for number in range(20):
        append_jsonl(path, {"from": name, "number": number, "filler": "x" * 3000})


def test_processes_that_append_together_lose_no_line(tmp_path):
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_many, args=(path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["from"], line["number"]) for line in lines) == [
        (f, n) for f in "ab" for n in range(20)
    ]


def test_an_append_waits_for_the_one_that_has_begun(tmp_path):
    path = tmp_path / "runs.jsonl"
    with path.open("ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b'{"a": ')
        append = threading.Thread(target=append_jsonl, args=(path, {"b": 2}))
        append.start()
        append.join(0.1)
        assert path.read_text() == '{"a": '  # the half of a line is not taken for the rest of a killed writer
        other.write(b"1}\n")
    append.join()
    assert path.read_text() == '{"a": 1}\n{"b": 2}\n'
