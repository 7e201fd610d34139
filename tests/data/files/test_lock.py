from pathlib import Path

import pytest

from tests.small_pool import write_shards
from thresher.data.files.lock import LOCK_FILE, folder_lock
from thresher.errors import InputError
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards


def test_the_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    with (
        folder_lock(tmp_path),
        pytest.raises(InputError, match="another run is writing"),
        folder_lock(tmp_path),
    ):
        pass
    with folder_lock(tmp_path):
        pass


def test_the_folder_is_made(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


def test_the_lock_can_be_read_by_others_and_run_by_nobody(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        assert (tmp_path / LOCK_FILE).stat().st_mode & 0o7777 in (0o644, 0o640, 0o600)  # as the umask has it


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out: it is not a folder"), folder_lock(tmp_path / "out"):
        pass


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_second_run_on_one_output_folder_is_refused_before_it_does_anything(
    tmp_path: Path, executor: str
) -> None:
    if executor == "ray":
        pytest.importorskip("ray")
    shards = write_shards(tmp_path / "in", (3,))
    with (
        folder_lock(tmp_path / "out"),
        pytest.raises(InputError, match=r"another run is writing into .*out; wait for it to end"),
    ):
        score_shards(shards, tmp_path / "out", [parse_scorer("caption")], executor=executor)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
