import json
import os
import uuid

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.bad_pool import jpeg, write_tar
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


@pytest.fixture
def told(tmp_path):
    """An image folder of Hugging Face: captions in `metadata.jsonl`."""
    folder = tmp_path / "told"
    (folder / "train").mkdir(parents=True)
    for name in ("a.jpg", "b.jpe", "c.jfif", "train/d.avif", "lonely.jpg", "own.jpg"):
        (folder / name).write_bytes(jpeg(len(name)))
    (folder / "own.txt").write_text("its own", encoding="utf-8")
    rows = [
        {"file_name": "a.jpg", "text": "first\n", "uid": "0" * 31 + "1", "year": 7},
        {"file_name": "b.jpe", "Caption": "second"},
        {"file_name": "c.jfif", "objects": []},
        {"file_name": "own.jpg", "text": "another"},
        {"file_name": "gone.jpg", "text": "no image"},
        {"file_name": "./a.jpg", "text": "again"},
        {"file_name": "", "text": "no name"},
    ]
    lines = [*map(json.dumps, rows), "", "{", '{"image": "a.jpg"}']
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "train/metadata.jsonl").write_text('{"file_name": "d.avif", "caption": "third"}\n')
    return folder


def test_messages_that_mislead_captions_of_metadata_jsonl_are_read(told):
    items = list(read_pairs(str(told)))
    pairs = {item.key: item for item in items if isinstance(item, Pair)}
    assert {key: pair.caption for key, pair in pairs.items()} == {
        "a": "first",
        "b": "second",
        "own": "its own",
        "train/d": "third",
    }
    assert (pairs["a"].uid, pairs["a"].meta["year"]) == ("0" * 31 + "1", 7)
    assert [[member.ext for member in pairs[key].members] for key in ("a", "own")] == [
        ["jpg"],
        ["jpg", "txt"],
    ]
    reasons = [(item.key, item.reason) for item in items if isinstance(item, Reject)]
    assert reasons == [
        ("metadata.jsonl", "line 6 of metadata.jsonl names an image again; its first row counts"),
        *(
            ("metadata.jsonl", f"line {number} of metadata.jsonl is no JSON object with a text `file_name`")
            for number in (7, 9, 10)
        ),
        (
            "c",
            "no .txt beside the image, and its row of metadata.jsonl has none of caption, text, title, txt",
        ),
        ("gone", "metadata.jsonl names it, and there is no such image"),
        ("lonely", "no .txt member beside .jpg"),
    ]
    before = fingerprint_folder(str(told))
    (told / "metadata.jsonl").write_text('{"file_name": "a.jpg", "text": "other"}')
    assert fingerprint_folder(str(told)) != before


def test_messages_that_mislead_a_remote_folder_has_its_metadata_jsonl_too(told):
    memory, root = fsspec.filesystem("memory"), f"/told-{uuid.uuid4().hex}"
    memory.put(str(told), root, recursive=True)
    found = [(item.key, item.uid) for item in read_pairs(f"memory:/{root}") if isinstance(item, Pair)]
    assert found == [(item.key, item.uid) for item in read_pairs(str(told)) if isinstance(item, Pair)]


def test_messages_that_mislead_a_metadata_csv_beside_images_is_named(photos):
    (photos / "lonely.jpg").write_bytes(jpeg(4))
    (photos / "metadata.csv").write_text("file_name,text\nlonely.jpg,alone\n")
    (reject,) = (item for item in read_pairs(str(photos)) if isinstance(item, Reject))
    assert "captions of metadata.csv are read where that file is named in place of" in reject.reason
    (pair,) = read_pairs(str(photos / "metadata.csv"))
    assert (pair.caption, pair.image_bytes) == ("alone", jpeg(4))


@pytest.mark.parametrize("ext", ["jfif", "jpe", "avif"])
def test_messages_that_mislead_images_of_all_extensions_are_pairs_in_every_format(tmp_path, ext):
    """A folder, a tar, and a table that names the file or holds its bytes."""
    data = jpeg(1) if ext != "avif" else b"\0\0\0\x1cftypavif" + bytes(20)
    (tmp_path / f"in/a.{ext}").parent.mkdir()
    (tmp_path / f"in/a.{ext}").write_bytes(data)
    (tmp_path / "in/a.txt").write_text("one")
    write_tar(tmp_path / "a.tar", [(f"a.{ext}", data), ("a.txt", b"one")])
    (tmp_path / "a.csv").write_text(f"image,caption\nin/a.{ext},one\n")
    pq.write_table(pa.table({"image": [data], "caption": ["one"]}), tmp_path / "a.parquet")
    pairs = [
        pair for name in ("in", "a.tar", "a.csv", "a.parquet") for pair in read_pairs(str(tmp_path / name))
    ]
    assert len({pair.uid for pair in pairs}) == 1
    assert [pair.image.ext for pair in pairs] == [ext] * 3 + ["avif" if ext == "avif" else "jpg"]


def test_two_colons_in_a_name_make_no_address_of_it(tmp_path):
    for number, name in enumerate(("a::b", "filecache::c", "deep::er/d")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"{name}.txt").write_text(f"picture {number}")
    assert [(item.key, item.image_bytes) for item in read_pairs(str(tmp_path))] == [
        ("a::b", jpeg(0)),
        ("deep::er/d", jpeg(2)),
        ("filecache::c", jpeg(1)),
    ]
    (tmp_path / "t.csv").write_text("image,caption\na::b.jpg,one\nfilecache::c.jpg,two\n")
    assert [item.image_bytes for item in read_pairs(str(tmp_path / "t.csv"))] == [jpeg(0), jpeg(1)]
