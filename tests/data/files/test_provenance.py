from pathlib import Path

from thresher.data.files.provenance import make_room


def test_a_folder_of_the_same_settings_stays(tmp_path: Path) -> None:
    assert make_room(tmp_path / "subset", "a") is None
    (tmp_path / "subset" / "subset.npy").touch()
    assert make_room(tmp_path / "subset", "a") is None
    assert (tmp_path / "subset" / "subset.npy").exists()


def test_a_folder_of_other_settings_is_kept_under_another_name(tmp_path: Path) -> None:
    make_room(tmp_path / "subset", "a")
    (tmp_path / "subset" / "subset.npy").touch()
    assert make_room(tmp_path / "subset", "b") == tmp_path / "old-subset-a"
    assert (tmp_path / "old-subset-a" / "subset.npy").exists()
    assert not (tmp_path / "subset" / "subset.npy").exists()
    assert make_room(tmp_path / "subset", "a") == tmp_path / "old-subset-b"


def test_a_filled_folder_without_a_mark_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "subset.npy").touch()
    assert make_room(tmp_path, "a") is None
    assert [path.name for path in tmp_path.iterdir()] == ["subset.npy"]
