"""A disk that is full in the middle of a run."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.small_pool import contents, write_shards
from thresher.cli import main
from thresher.data.files import atomic as writer

SMALL, LARGE, PAGE = 24 * 2**10, 2 * 2**20, 4096
Disk = tuple[Path, Callable[[], None]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A folder on a disk of its own, too small for the results, and what makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    try:
        mount(f"size={SMALL}")
    except (OSError, subprocess.CalledProcessError):  # nobody may mount here: the disk is acted out
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "_flush_to_disk", refuse_above(folder, SMALL))
            yield folder, lambda: patch.setattr(writer, "_flush_to_disk", refuse_above(folder, LARGE))
        return
    yield folder, lambda: mount(f"remount,size={LARGE}")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def refuse_above(folder: Path, num_bytes: int) -> Callable[[Path], None]:
    """Writing to the disk that finds no room once the files below the folder take so much."""

    def refuse(_: Path) -> None:
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        if sum(-(-size // PAGE) * PAGE for size in sizes) > num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return refuse


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(words)
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    "words",
    [("score", "--scorer", "caption"), ("dedup", "--workers", "0")],
    ids=["score", "dedup"],
)
def test_a_full_disk_is_one_sentence_and_with_room_the_run_goes_on(
    small_disk: Disk, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    shards = write_shards(tmp_path / "in", (30, 30, 30, 30, 30, 30))
    command, *options = words
    folder, grow = small_disk
    out = folder / "out"
    assert call(command, *shards, "--out", str(out), *options) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert ": no space left on device; free some space and run the same command again" in said[0]
    assert not list(out.rglob("*.tmp"))
    written = len(list(out.rglob("*.parquet")))
    assert 0 < written < 6
    assert str(out) in said[0]
    grow()
    assert call(command, *shards, "--out", str(out), *options) == 0
    assert call(command, *shards, "--out", str(tmp_path / "whole"), *options) == 0
    assert contents(out) == contents(tmp_path / "whole")
