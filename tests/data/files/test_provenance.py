import json
from pathlib import Path

import pytest

from thresher.data.files.provenance import MARK_FILE, claim, is_empty, mark
from thresher.errors import InputError

SETTINGS = {"seed": 1, "how": {"lr": 0.1, "steps": (1, 2)}}
OTHER = {"seed": 2, "how": {"lr": 0.2, "steps": (1, 2)}}


def test_a_folder_of_the_same_settings_stays(tmp_path: Path) -> None:
    folder = tmp_path / "subset"
    assert claim(folder, SETTINGS, "set aside") is None
    mark(folder, SETTINGS)
    (folder / "subset.npy").touch()
    for on_other in ("refuse", "replace", "set aside"):
        found = claim(folder, SETTINGS, on_other)
        assert found is not None
        assert found["how"] == {"lr": 0.1, "steps": [1, 2]}
    assert (folder / "subset.npy").exists()


def test_a_folder_of_other_settings_is_kept_under_another_name(tmp_path: Path) -> None:
    folder, said = tmp_path / "subset", []
    mark(folder, SETTINGS)
    (folder / "subset.npy").touch()
    (tmp_path / "runs.jsonl").touch()
    assert claim(folder, OTHER, "set aside", along=[tmp_path / "runs.jsonl"], progress=said.append) is None
    (old,) = tmp_path.iterdir()
    assert old.name.startswith("old-subset-")
    assert {path.name for path in old.iterdir()} == {MARK_FILE, "subset.npy", "runs.jsonl"}
    assert said == [f"subset: what was there differs in seed, how.lr, and is now in {old}"]
    mark(folder, OTHER)
    assert claim(folder, SETTINGS, "set aside") is None
    assert len(list(tmp_path.glob("old-subset-*"))) == 2


def test_what_differs_is_named_where_another_folder_is_refused(tmp_path: Path) -> None:
    mark(tmp_path, SETTINGS)
    with pytest.raises(
        InputError, match=r"holds another model \(it differs in seed, how\.lr\); undo the change, name an"
    ):
        claim(tmp_path, OTHER, noun="model")
    with pytest.raises(InputError, match=r"\(it differs in how\.steps\)"):
        claim(tmp_path, {"seed": 1, "how": {"lr": 0.1}})
    with pytest.raises(InputError, match=r"\(it differs in loss\)"):
        claim(tmp_path, {**SETTINGS, "loss": "clip"})
    assert claim(tmp_path, OTHER, "replace") is None


@pytest.mark.parametrize("text", ["{", "[]", "7", "\udcff"])
def test_a_damaged_record_is_replaced_or_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text, errors="surrogateescape")
    assert claim(tmp_path, SETTINGS, "replace", record="record.json") is None
    for on_other in ("refuse", "set aside"):
        with pytest.raises(InputError, match=r"record\.json is damaged .* move .* away"):
            claim(tmp_path, SETTINGS, on_other, record="record.json")


@pytest.mark.parametrize("name", ["x/../../victim", "../victim", "/victim", "..", ""])
def test_no_text_of_a_record_becomes_part_of_a_path(tmp_path: Path, name: str) -> None:
    folder, victim = tmp_path / "work" / "trials", tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    mark(folder, SETTINGS)
    content = {"schema": name, "version": name, "made_of": name, "seed": name}
    (folder / MARK_FILE).write_text(json.dumps(content))
    assert claim(folder, SETTINGS, "set aside") is None
    assert (victim / "precious").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["victim", "work"]
    (old,) = (tmp_path / "work").iterdir()
    assert old.name.startswith("old-trials-")


def test_a_folder_with_hidden_files_alone_is_empty(tmp_path: Path) -> None:
    assert is_empty(tmp_path / "absent")
    (tmp_path / ".lock").touch()
    assert is_empty(tmp_path)
    (tmp_path / "subset.npy").touch()
    assert not is_empty(tmp_path)
