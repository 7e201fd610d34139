from pathlib import Path

import pytest

from thresher.errors import InputError
from thresher.executor.lock import folder_lock


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


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out: it is not a folder"), folder_lock(tmp_path / "out"):
        pass
