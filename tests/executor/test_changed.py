"""A shard that changes while it is worked on."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.small_pool import contents, write_shards
from thresher.curate.duplicates.hashing import hash_folder
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards

CAPTION = parse_scorer("caption")
Work = Callable[[list[str], Path, Callable[..., None] | None], Any]


def score(shards: list[str], out: Path, progress: Callable[..., None] | None) -> Any:
    return score_shards(shards, out, [CAPTION], workers=0, progress=progress).unreadable


def hashes(shards: list[str], out: Path, progress: Callable[..., None] | None) -> Any:
    return hash_folder(out, shards, workers=0, progress=progress)


@pytest.mark.parametrize("work", [score, hashes])
def test_it_is_named_and_done_by_the_next_run(tmp_path: Path, work: Work) -> None:
    shards = write_shards(tmp_path / "in", (3, 4, 5))

    def change(*_: object) -> None:
        os.utime(shards[2], ns=(1, 1))

    unreadable = work(shards, tmp_path / "out", change)
    assert list(unreadable) == [shards[2]]
    assert "changed while it was read (size and time were" in unreadable[shards[2]]
    assert not (tmp_path / "out/parts/00002-00002.parquet").exists()
    assert (tmp_path / "out/parts/00001-00001.parquet").exists()
    assert work(shards, tmp_path / "out", None) == {}
    work(shards, tmp_path / "whole", None)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_one_that_is_taken_away_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (3, 4))
    unreadable = score(shards, tmp_path / "out", lambda _: Path(shards[1]).unlink(missing_ok=True))
    assert list(unreadable) == [shards[1]]
    assert "No such file" in unreadable[shards[1]]


def test_one_on_another_machine_is_asked_about_again(tmp_path: Path) -> None:
    (local,) = write_shards(tmp_path / "in", (3,))
    memory = fsspec.filesystem("memory")
    memory.pipe("/pool/00000.tar", Path(local).read_bytes())
    try:
        unreadable = score(
            *(["memory://pool/00000.tar"], tmp_path / "out"),
            lambda _: memory.pipe("/pool/00000.tar", Path(local).read_bytes() + bytes(10240)),
        )
    finally:
        memory.rm("/pool", recursive=True)
    assert "changed while it was read" in unreadable["memory://pool/00000.tar"]


@pytest.mark.parametrize(("failures", "unreadable"), [(2, False), (9, True)])
def test_one_on_another_machine_that_cannot_be_read_is_tried_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, unreadable: bool
) -> None:
    local = write_shards(tmp_path / "in", (3, 4))
    memory = fsspec.filesystem("memory")
    opened = type(memory)._open
    left = failures

    def sometimes(self: Any, path: str, *args: Any, **options: Any) -> Any:
        nonlocal left
        if path.endswith("00000.tar") and left:
            left -= 1
            raise OSError(errno.EIO, "the connection is gone")
        return opened(self, path, *args, **options)

    for path in local:
        memory.pipe(f"/pool/{Path(path).name}", Path(path).read_bytes())
    monkeypatch.setattr(type(memory), "_open", sometimes)
    monkeypatch.setattr("thresher.sharded.job.PAUSES_S", (0.0, 0.0))
    shards = ["memory://pool/00000.tar", "memory://pool/00001.tar"]
    try:
        summary = score_shards(shards, tmp_path / "out", [CAPTION], workers=0)
    finally:
        memory.rm("/pool", recursive=True)
    assert summary.unreadable == ({shards[0]: "cannot be read: the connection is gone"} if unreadable else {})
    assert left == max(failures - 3, 0)
    assert summary.num_pairs == (4 if unreadable else 7)
    assert summary.num_quarantined == int(unreadable)
