import os
import uuid

import fsspec
import pytest

from tests.data.bad_pool import jpeg
from thresher.data.folder import fingerprint_folder
from thresher.data.pairs import Pair, Reject
from thresher.data.shards import read_pairs


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.1.jpg").write_bytes(jpeg(1))
    (folder / "b.1.txt").write_text("second\n", encoding="utf-8")
    (folder / "a.PNG").write_bytes(jpeg(2))
    (folder / "a.txt").write_text("first", encoding="utf-8")
    (folder / "sub/c.webp").write_bytes(jpeg(3))
    (folder / "sub/c.txt").write_text("third", encoding="utf-8")
    (folder / "sub/c.json").write_text('{"captions": ["third", "other"]}', encoding="utf-8")
    (folder / "notes.md").write_text("not ours", encoding="utf-8")
    (folder / "settings.json").write_text("{}", encoding="utf-8")
    (folder / ".hidden.jpg").write_bytes(b"x")
    return folder


def test_images_and_their_captions_become_pairs_sorted_by_key(photos):
    items = list(read_pairs(str(photos)))
    assert [(item.key, item.caption) for item in items] == [
        ("a", "first"),
        ("b.1", "second"),
        ("sub/c", "third"),
    ]
    assert [item.image_bytes for item in items] == [jpeg(2), jpeg(1), jpeg(3)]
    assert items[2].meta["captions"] == ["third", "other"]
    assert [member.ext for member in items[2].members] == ["json", "txt", "webp"]


def test_what_is_missing_or_no_file_is_refused(photos):
    (photos / "lonely.jpg").write_bytes(jpeg(4))
    (photos / "words.txt").write_text("no image", encoding="utf-8")
    (photos / "folder.jpg").mkdir()
    (photos / "folder.jpg/inner.jpg").write_bytes(jpeg(5))
    (photos / "folder.txt").write_text("a folder", encoding="utf-8")
    (photos / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "empty.txt").write_text("none", encoding="utf-8")
    rejects = {item.key: item.reason for item in read_pairs(str(photos)) if isinstance(item, Reject)}
    assert set(rejects) == {"lonely", "words", "folder", "broken", "pipe", "empty"}
    assert "no .txt" in rejects["lonely"]
    assert "no image" in rejects["words"]
    assert "is a folder" in rejects["folder"]
    assert "broken link" in rejects["broken"]
    assert "a pipe" in rejects["pipe"]
    assert "0 bytes" in rejects["empty"]


def test_a_remote_folder_reads_like_a_local_one(photos):
    url = f"memory://{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for path in sorted(photos.rglob("*")):
        if path.is_file():
            memory.pipe(f"{url}/{path.relative_to(photos)}", path.read_bytes())
    local, remote = list(read_pairs(str(photos))), list(read_pairs(url))
    assert [(item.key, item.uid, item.caption) for item in remote] == [
        (item.key, item.uid, item.caption) for item in local
    ]
    assert all(isinstance(item, Pair) for item in remote)


def test_the_fingerprint_changes_with_any_file(photos):
    before = fingerprint_folder(str(photos))
    assert fingerprint_folder(str(photos)) == before
    (photos / "a.txt").write_text("fresh", encoding="utf-8")
    os.utime(photos / "a.txt", ns=(1, 1))
    changed = fingerprint_folder(str(photos))
    (photos / "sub/c.webp").unlink()
    assert len({before, changed, fingerprint_folder(str(photos))}) == 3
