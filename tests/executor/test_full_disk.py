"""A disk that is full in the middle of a run."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_pool import contents, write_shards
from thresher.cli import main


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, too small for the results."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
    small_disk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    shards = write_shards(tmp_path / "in", (30, 30, 30, 30, 30, 30))
    command, *options = words
    out = small_disk / "out"
    assert call(command, *shards, "--out", str(out), *options) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert ": no space left on device; free some space and run the same command again" in said[0]
    assert not list(out.rglob("*.tmp"))
    written = len(list(out.rglob("*.parquet")))
    assert 0 < written < 6
    assert str(out) in said[0]
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    assert call(command, *shards, "--out", str(out), *options) == 0
    assert call(command, *shards, "--out", str(tmp_path / "whole"), *options) == 0
    assert contents(out) == contents(tmp_path / "whole")
